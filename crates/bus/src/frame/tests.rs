//! Framing: what goes in comes out, whole, within limits, each row in its partition.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StringViewArray};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use proptest::prelude::*;

use super::{DeadLetter, Outgoing, ReadError, Time, Where, dead_letter, frame, heartbeat, read};
use crate::config::LimitsConfig;
use crate::meta::Meta;
use crate::partition::{murmur2, partition};
use crate::record::{Name, OutRecord, Record, Writer};
use model::ipc;

fn meta() -> Meta {
    let writer = Writer::Task { stage: "s".to_owned(), topic_id: "id".to_owned(), partition: 3 };
    Meta {
        schema: "flows/1".to_owned(),
        schema_fp: "0123456789abcdef".to_owned(),
        producer: "s/3/0.1.0".to_owned(),
        rows: 0,
        min_ts_ms: 0,
        max_ts_ms: 0,
        wm_ms: Some(17),
        name: Name { writer, offset: 42, index: 5 },
        config_fp: Some("cafe".to_owned()),
        replay_id: None,
        extra: vec![("x".to_owned(), "y".to_owned())],
    }
}

fn outgoing(batch: RecordBatch, to: Where) -> Outgoing {
    let time = Time::Column("at".to_owned());
    Outgoing { topic: Arc::from("t"), to, batch, key: None, time, meta: meta() }
}

fn batch(devices: &[String]) -> RecordBatch {
    let at = Int64Array::from_iter_values(0..devices.len() as i64);
    let columns: [(&str, ArrayRef); 3] = [
        ("device", Arc::new(StringArray::from_iter_values(devices))),
        ("view", Arc::new(StringViewArray::from_iter_values(devices))),
        ("at", Arc::new(at)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn received(out: OutRecord) -> Record {
    Record {
        topic: out.topic,
        partition: out.partition,
        offset: 9,
        timestamp_ms: out.timestamp_ms,
        key: out.key,
        headers: out.headers,
        payload: out.payload,
    }
}

#[test]
fn murmur2_is_that_of_java() {
    // Kafka's own UtilsTest values (testMurmur2).
    let golden: [(&str, i32); 7] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
        ("", 275_646_681),
    ];
    for (key, hash) in golden {
        assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key:?}");
        assert_eq!(partition(key.as_bytes(), 12), (hash & 0x7fff_ffff) as u32 % 12);
    }
}

proptest! {
    #[test]
    fn every_row_arrives_once_in_its_partition_and_in_order(
        devices in prop::collection::vec("[a-z]{0,12}", 0..400),
        rows_max in 1usize..100,
        bytes_aim in 1_000usize..20_000,
    ) {
        let limits = LimitsConfig { rows_max, bytes_aim, ..LimitsConfig::default() };
        let to = Where::ByColumn("device".to_owned());
        let framed = frame(outgoing(batch(&devices), to), 4, &limits).unwrap();
        prop_assert!(framed.refused.is_empty());
        let mut seen = vec![Vec::new(); 4];
        for (index, out) in framed.records.into_iter().enumerate() {
            let record = received(out);
            let (meta, batch) = read(&record, &limits).unwrap();
            prop_assert_eq!(meta.name.index as usize, 5 + index);
            prop_assert!(batch.num_rows() <= rows_max);
            let at = batch.column_by_name("at").unwrap().as_primitive::<Int64Type>();
            prop_assert_eq!(meta.max_ts_ms, at.values().iter().max().copied().unwrap_or(0));
            prop_assert_eq!(meta.min_ts_ms, at.values().iter().min().copied().unwrap_or(0));
            prop_assert_eq!(record.timestamp_ms, meta.max_ts_ms);
            seen[record.partition as usize].extend_from_slice(at.values());
        }
        for (to, seen) in seen.iter().enumerate() {
            let mut wanted = Vec::new();
            for (at, device) in devices.iter().enumerate() {
                if partition(device.as_bytes(), 4) as usize == to {
                    wanted.push(at as i64);
                }
            }
            prop_assert_eq!(seen, &wanted);
        }
    }

    #[test]
    fn no_input_makes_the_readers_panic(data in prop::collection::vec(any::<u8>(), 0..2_000)) {
        crate::fuzz::arrow(&data);
        crate::fuzz::meta(&data);
    }

    #[test]
    fn a_damaged_message_is_an_error_or_a_batch(at in 0usize..2_000, with in any::<u8>()) {
        let devices: Vec<String> = (0..50).map(|i| format!("device-{i}")).collect();
        let mut bytes = ipc::encode(&batch(&devices)).unwrap().to_vec();
        let at = at % bytes.len();
        bytes[at] = with;
        crate::fuzz::arrow(&bytes);
    }
}

#[test]
fn a_large_batch_splits_and_a_row_over_the_hard_limit_is_refused() {
    let devices: Vec<String> = (0..100).map(|i| format!("{i:0>10000}")).collect();
    let limits = LimitsConfig::default();
    let framed = frame(outgoing(batch(&devices), Where::Fixed(1)), 4, &limits).unwrap();
    let sizes: Vec<usize> =
        framed.records.iter().map(|r| r.payload.as_ref().unwrap().len()).collect();
    assert!(sizes.iter().all(|bytes| *bytes <= limits.bytes_aim), "{sizes:?}");
    assert!(sizes.len() < 20, "{sizes:?}");

    let devices = ["x".repeat(10), "y".repeat(1_000_000), "z".repeat(10)];
    let framed = frame(outgoing(batch(&devices), Where::Fixed(1)), 4, &limits).unwrap();
    assert_eq!(framed.refused.len(), 1);
    assert_eq!(framed.refused[0].row.num_rows(), 1);
    assert!(framed.refused[0].bytes > limits.bytes_max);
    let rows: usize = framed
        .records
        .into_iter()
        .map(|record| read(&received(record), &limits).unwrap().1.num_rows())
        .sum();
    assert_eq!(rows, 2);
}

#[test]
fn headers_come_back_as_they_went() {
    let framed =
        frame(outgoing(batch(&["a".to_owned()]), Where::Spread(3)), 4, &LimitsConfig::default());
    let record = received(framed.unwrap().records.remove(0));
    let (found, _) = read(&record, &LimitsConfig::default()).unwrap();
    assert_eq!(found, Meta { rows: 1, ..meta() });
}

#[test]
fn a_heartbeat_has_no_rows_and_says_the_watermark() {
    let beat = heartbeat(&Arc::from("t"), 2, 1_000, meta().name, "p", Vec::new());
    assert_eq!((beat.partition, beat.timestamp_ms), (2, 1_000));
    let (meta, batch) = read(&received(beat), &LimitsConfig::default()).unwrap();
    assert!(meta.is_heartbeat());
    assert_eq!((meta.wm_ms, batch.num_rows(), batch.num_columns()), (Some(1_000), 0, 0));
}

#[test]
fn what_is_no_message_of_ours_is_refused_with_its_reason() {
    let limits = LimitsConfig::default();
    let good = || {
        let framed = frame(outgoing(batch(&["a".to_owned()]), Where::Fixed(0)), 1, &limits);
        received(framed.unwrap().records.remove(0))
    };
    let tombstone = Record { payload: None, ..good() };
    assert!(matches!(read(&tombstone, &limits), Err(ReadError::Tombstone)));
    let no_headers = Record { headers: Vec::new(), ..good() };
    assert!(matches!(read(&no_headers, &limits), Err(ReadError::Meta(_))));
    let json = Record { payload: Some(Bytes::from_static(b"{}")), ..good() };
    assert!(matches!(read(&json, &limits), Err(ReadError::Payload(_))));
    let two = ipc::encode(&batch(&["a".to_owned(), "b".to_owned()])).unwrap();
    let rows = Record { payload: Some(two), ..good() };
    assert!(matches!(read(&rows, &limits), Err(ReadError::Rows { stated: 1, found: 2 })));
}

#[test]
fn a_dead_letter_carries_the_message_and_the_reason() {
    let framed =
        frame(outgoing(batch(&["a".to_owned()]), Where::Fixed(0)), 1, &LimitsConfig::default());
    let record = received(framed.unwrap().records.remove(0));
    let letter = DeadLetter { stage: "score", kind: "panic", reason: "boom" };
    let dead = received(dead_letter(&record, &letter));
    assert_eq!(&*dead.topic, "t.dlq");
    assert_eq!(dead.payload, record.payload);
    assert_eq!(dead.header("dlq-reason"), Some("boom"));
    assert_eq!(dead.header("dlq-offset"), Some("9"));
    assert_eq!(dead.header("schema"), Some("flows/1"));

    let huge = Record { payload: Some(Bytes::from(vec![0; 1_048_000])), ..record };
    let dead = dead_letter(&huge, &letter);
    assert!(dead.payload.unwrap().len() < crate::RECORD_BYTES_MAX);
}
