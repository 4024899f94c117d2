"""Reads a topic as another team would: a Kafka client, Arrow, and none of the project's code.
Prints one JSON object a row.

usage: read_topic.py BOOTSTRAP TOPIC [--check SCHEMA] [--expect ROWS] [--count]"""

import argparse
import json
import sys

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, TopicPartition

import contract

# For a broker that answers; a dead one must not hang the caller.
TIMEOUT_S = 30.0


def messages(bootstrap, topic):
    """Every committed message of the topic from its beginning to its present end."""
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": "contract-reader",
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    }
    consumer = Consumer(settings)
    try:
        known = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
        if known.error:
            raise SystemExit(f"topic {topic}: {known.error}")
        consumer.assign([TopicPartition(topic, number, 0) for number in known.partitions])
        open_partitions = set(known.partitions)
        while open_partitions:
            message = consumer.poll(TIMEOUT_S)
            if message is None:
                raise SystemExit(f"topic {topic}: nothing within {TIMEOUT_S:.0f} s")
            if message.error() is None:
                yield message
            elif message.error().code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
            else:
                raise SystemExit(f"topic {topic}: {message.error()}")
    finally:
        consumer.close()


def shown(value):
    """Bytes have no JSON form; addresses and hashes are read as hex."""
    return value.hex() if isinstance(value, bytes) else str(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("--check", help="stem of the schema file to hold every message against")
    parser.add_argument("--expect", type=int, help="number of rows that must be there")
    parser.add_argument("--count", action="store_true", help="print only how many rows there are")
    args = parser.parse_args()
    schema = contract.schemas()[args.check] if args.check else None
    count, found = 0, []
    for message in messages(args.bootstrap, args.topic):
        # The three lines of the contract: a message is a whole Arrow IPC stream.
        reader = pa.ipc.open_stream(message.value())
        table = reader.read_all()
        rows = table.to_pylist()
        count += len(rows)
        for row in [] if args.count else rows:
            print(json.dumps(row, default=shown))
        # A message of no rows is a heartbeat: it has no columns.
        if schema and rows:
            place = f"{args.topic}/{message.partition()}@{message.offset()}"
            found += [f"{place}: {breach}" for breach in contract.breaches(schema, table)]
    if args.expect is not None and count != args.expect:
        found.append(f"{args.topic}: {count} rows, not {args.expect}")
    if args.count:
        print(count)
    for breach in found:
        print(breach, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
