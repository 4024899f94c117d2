"""The reader on a real topic: it sees what was committed, all of it, and nothing that was rolled
back. Needs a broker in KAFKA_BOOTSTRAP."""

import os
import subprocess
import sys
import unittest
import uuid

import pyarrow as pa
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP")
TIMEOUT_S = 30.0


def message(*names):
    """A whole Arrow IPC stream of one column."""
    batch = pa.record_batch({"name": pa.array(names, pa.string())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def read(topic, *args):
    command = [sys.executable, "read_topic.py", BOOTSTRAP, topic, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@unittest.skipUnless(BOOTSTRAP, "KAFKA_BOOTSTRAP names no broker")
class Topic(unittest.TestCase):
    def setUp(self):
        self.topic = f"contract-{uuid.uuid4()}"
        admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
        made = admin.create_topics([NewTopic(self.topic, 2, 1)], operation_timeout=TIMEOUT_S)
        made[self.topic].result(TIMEOUT_S)
        self.addCleanup(lambda: admin.delete_topics([self.topic])[self.topic].result(TIMEOUT_S))

    def write(self):
        settings = {"bootstrap.servers": BOOTSTRAP, "transactional.id": self.topic}
        producer = Producer(settings)
        producer.init_transactions(TIMEOUT_S)
        for names, is_kept in [("ab", True), ("xy", False), ("c", True), ("z", False)]:
            producer.begin_transaction()
            for partition, name in enumerate(names):
                producer.produce(self.topic, message(name), partition=partition)
            producer.flush(TIMEOUT_S)
            if is_kept:
                producer.commit_transaction(TIMEOUT_S)
            else:
                producer.abort_transaction(TIMEOUT_S)

    def test_only_what_was_committed_is_read(self):
        self.write()
        done = read(self.topic, "--expect", "3")
        self.assertEqual(done.returncode, 0, done.stderr)
        rows = sorted(done.stdout.splitlines())
        self.assertEqual(rows, ['{"name": "a"}', '{"name": "b"}', '{"name": "c"}'])
        self.assertEqual(read(self.topic, "--count").stdout, "3\n")

    def test_a_row_too_few_or_a_wrong_column_is_an_error(self):
        self.write()
        done = read(self.topic, "--expect", "4")
        self.assertEqual((done.returncode, "3 rows, not 4" in done.stderr), (1, True))
        done = read(self.topic, "--check", "flows")
        self.assertEqual((done.returncode, "in no schema" in done.stderr), (1, True))

    def test_a_topic_that_is_not_there_is_an_error(self):
        self.assertNotEqual(read(f"{self.topic}-not").returncode, 0)


if __name__ == "__main__":
    unittest.main()
