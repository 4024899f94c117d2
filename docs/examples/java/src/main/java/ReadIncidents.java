import java.io.ByteArrayInputStream;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.ipc.ArrowStreamReader;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Incidents as they change. Arguments: bootstrap, and another topic if wanted. */
public final class ReadIncidents {
  public static void main(String[] args) throws Exception {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    settings.put("group.id", "my-team");
    // First of all: without it you read what was rolled back.
    settings.put("isolation.level", "read_committed");
    settings.put("auto.offset.reset", "earliest");
    String topic = args.length > 1 ? args[1] : "gannet.incidents.v1";
    ByteArrayDeserializer bytes = new ByteArrayDeserializer();
    try (RootAllocator memory = new RootAllocator();
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings, bytes, bytes)) {
      consumer.subscribe(List.of(topic));
      while (true) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
          // A tombstone of a compacted topic has no value.
          if (record.value() != null) {
            print(memory, record.value());
          }
        }
      }
    }
  }

  /** A message is one whole Arrow stream; one of no rows is a heartbeat. */
  private static void print(RootAllocator memory, byte[] message) throws Exception {
    try (ArrowStreamReader reader =
        new ArrowStreamReader(new ByteArrayInputStream(message), memory)) {
      VectorSchemaRoot root = reader.getVectorSchemaRoot();
      while (reader.loadNextBatch()) {
        for (int row = 0; row < root.getRowCount(); row++) {
          System.out.println(
              value(root, "updated", row) + " " + value(root, "id", row) + " "
                  + value(root, "state", row) + " " + value(root, "headline", row));
        }
      }
    }
  }

  /** Columns are looked up by name; one that is not there is null. */
  private static Object value(VectorSchemaRoot root, String column, int row) {
    FieldVector found = root.getVector(column);
    return found == null ? null : found.getObject(row);
  }
}
