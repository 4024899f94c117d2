"""Incidents as they change, as another team would read them.

usage: read_incidents.py BOOTSTRAP [TOPIC]"""

import sys

import pyarrow
from confluent_kafka import Consumer


def main():
    bootstrap = sys.argv[1]
    topic = sys.argv[2] if len(sys.argv) > 2 else "gannet.incidents.v1"
    consumer = Consumer({
        "bootstrap.servers": bootstrap,
        "group.id": "my-team",
        # First of all: without it you read what was rolled back.
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
    })
    consumer.subscribe([topic])
    try:
        while True:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                raise SystemExit(message.error())
            # A tombstone of a compacted topic has no value.
            if message.value() is None:
                continue
            # A message is one whole Arrow stream; one of no rows is a heartbeat.
            table = pyarrow.ipc.open_stream(message.value()).read_all()
            for row in table.to_pylist():
                print(row.get("updated"), row.get("id"), row.get("state"), row.get("headline"))
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
