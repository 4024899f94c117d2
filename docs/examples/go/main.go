// Incidents as they change. Arguments: bootstrap, and another topic if wanted.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	topic := "gannet.incidents.v1"
	if len(os.Args) > 2 {
		topic = os.Args[2]
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(os.Args[1]),
		kgo.ConsumerGroup("my-team"),
		kgo.ConsumeTopics(topic),
		// First of all: without it you read what was rolled back.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(context.Background())
		if err := fetches.Err(); err != nil {
			log.Fatal(err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			// A tombstone of a compacted topic has no value.
			if record.Value == nil {
				return
			}
			if err := print(record.Value); err != nil {
				log.Fatal(err)
			}
		})
	}
}

// A message is one whole Arrow stream; one of no rows is a heartbeat.
func print(message []byte) error {
	reader, err := ipc.NewReader(bytes.NewReader(message))
	if err != nil {
		return err
	}
	defer reader.Release()
	for reader.Next() {
		batch := reader.RecordBatch()
		for row := 0; row < int(batch.NumRows()); row++ {
			fmt.Println(value(batch, "updated", row), value(batch, "id", row),
				value(batch, "state", row), value(batch, "headline", row))
		}
	}
	return reader.Err()
}

// Columns are looked up by name; one that is not there is null.
func value(batch arrow.RecordBatch, column string, row int) string {
	found := batch.Schema().FieldIndices(column)
	if len(found) == 0 {
		return ""
	}
	return batch.Column(found[0]).ValueStr(row)
}
