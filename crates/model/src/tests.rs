//! Tests of the schema files, the rows and the hardened reader.

mod golden;

use arrow::array::RecordBatch;
use proptest::prelude::*;

use crate::rows::*;
use crate::{addr, ipc, schema};

fn anomaly(n: i64) -> Anomaly {
    let entity = (n % 2 == 0).then(|| Entity { kind: "host".into(), name: format!("192.0.2.{n}") });
    let contributor = Contributor { name: "198.51.100.1".into(), weight: 7.0, share: 0.5 };
    Anomaly {
        domain: "default".into(),
        id: format!("a{n}"),
        time_ms: 1_700_000_000_000 + n,
        rule: "syn-flood".into(),
        key: format!("dst_addr=192.0.2.{n}"),
        kind: AnomalyKind::Open,
        model: "syn-flood".into(),
        entity,
        value_name: "syn_packets".into(),
        value: Some(n as f64),
        expected: None,
        lower: None,
        upper: Some(3.0),
        score: Some(6.5),
        why: "because".into(),
        window_start_ms: 1_699_999_990_000,
        contributors: if n % 3 == 0 { vec![contributor] } else { vec![] },
    }
}

#[test]
fn every_schema_file_parses_and_says_its_version_for_each_field() {
    for (name, schema) in schema::all() {
        assert!(!schema.doc.is_empty(), "{name}");
        for field in &schema.fields {
            assert!((1..=schema.version).contains(&field.since), "{name}.{}", field.name);
            assert!(field.doc.ends_with('.'), "{name}.{}: {}", field.name, field.doc);
            assert!(field.since == 1 || field.nullable, "{name}.{}: new is nullable", field.name);
        }
        if !schema.fields.is_empty() {
            assert!(schema.arrow.field_with_name(&schema.time).is_ok(), "{name}: its time");
        }
    }
}

#[test]
fn rows_survive_the_way_to_arrow_and_back() {
    let rows: Vec<Anomaly> = (0..7).map(anomaly).collect();
    let batch = Anomaly::to_batch(&rows).unwrap();
    let payload = ipc::encode(&schema::prune(&batch)).unwrap();
    let read = ipc::decode(&payload, ipc::Limits::default()).unwrap();
    assert_eq!(Anomaly::from_batch(&read).unwrap(), rows);
}

#[test]
fn an_absent_nullable_column_is_null_and_an_absent_other_is_refused() {
    let batch = Anomaly::to_batch(&[anomaly(1)]).unwrap();
    assert!(schema::prune(&batch).num_columns() < batch.num_columns());
    let without_rule = batch.project(&[0, 1, 2]).unwrap();
    let error = Anomaly::from_batch(&without_rule).unwrap_err();
    assert_eq!(error.to_string(), "column rule of evidence.anomaly is missing and may not be null");
}

#[test]
fn addresses_keep_their_family() {
    for text in ["192.0.2.1", "2001:db8::1", "::", "0.0.0.0"] {
        let ip = text.parse().unwrap();
        assert_eq!(addr::to_ip(&addr::mapped(ip)), Some(ip), "{text}");
    }
    assert_eq!(addr::to_ip(&[1, 2, 3, 4]), None);
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
    let zeros = arrow::array::UInt64Array::from(vec![0u64; 1 << 20]);
    let batch = RecordBatch::try_from_iter([("zeros", std::sync::Arc::new(zeros) as _)]).unwrap();
    let options =
        IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
    let mut writer =
        StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    let payload = writer.into_inner().unwrap();
    assert!(payload.len() < 10_000, "{}", payload.len());
    let limits = ipc::Limits { bytes_max: 1 << 20, rows_max: 1 << 30, columns_max: 10 };
    let error = ipc::decode(&payload, limits).unwrap_err().to_string();
    assert!(error.starts_with("uncompressed size 8388608"), "{error}");
}

#[test]
fn some_columns_are_those_of_the_whole_wherever_the_bytes_lie() {
    let rows: Vec<Anomaly> = (0..7).map(anomaly).collect();
    let batch = Anomaly::to_batch(&rows).unwrap();
    let payload = ipc::encode(&batch).unwrap();
    let wanted = |name: &str| ["key", "score", "contributors"].contains(&name);
    let schema = batch.schema();
    let places = schema.fields().iter().enumerate().filter(|(_, f)| wanted(f.name()));
    let places: Vec<usize> = places.map(|(at, _)| at).collect();
    let expected = batch.project(&places).unwrap();
    // A store hands out slices: not every one begins where numbers may lie.
    for shift in 0..9 {
        let mut bytes = vec![0; shift];
        bytes.extend_from_slice(&payload);
        let shifted = bytes::Bytes::from(bytes).slice(shift..);
        let read = ipc::decode_columns(&shifted, ipc::Limits::default(), &wanted).unwrap();
        assert_eq!(read, expected, "{shift}");
    }
}

#[test]
fn some_columns_of_a_stream_with_dictionaries_or_of_two_batches() {
    use arrow::array::{DictionaryArray, Int64Array};
    use arrow::datatypes::Int32Type;
    let words: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let numbers = Int64Array::from(vec![1, 2, 3]);
    let columns =
        [("words", std::sync::Arc::new(words) as _), ("n", std::sync::Arc::new(numbers) as _)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let payload = ipc::encode(&batch).unwrap();
    let read = ipc::decode_columns(&payload, ipc::Limits::default(), &|name| name == "words");
    assert_eq!(read.unwrap(), batch.project(&[0]).unwrap());
    let batch = batch.project(&[1]).unwrap();
    let mut writer =
        arrow::ipc::writer::StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.write(&batch).unwrap();
    let payload = bytes::Bytes::from(writer.into_inner().unwrap());
    let read = ipc::decode_columns(&payload, ipc::Limits::default(), &|_| true);
    assert_eq!(read.unwrap_err().to_string(), "expected one batch, found 2");
}

proptest! {
    #[test]
    fn a_damaged_payload_is_an_error_or_a_batch_but_never_a_panic(
        at in 0usize..2000, byte in any::<u8>(), cut in 0usize..4000,
    ) {
        let batch = Anomaly::to_batch(&[anomaly(3), anomaly(4)]).unwrap();
        let mut payload = ipc::encode(&batch).unwrap().to_vec();
        let at = at % payload.len();
        payload[at] = byte;
        payload.truncate(cut);
        let payload = bytes::Bytes::from(payload);
        let whole = ipc::decode(&payload, ipc::Limits::default());
        let wanted = |name: &str| ["key", "score"].contains(&name);
        let some = ipc::decode_columns(&payload, ipc::Limits::default(), &wanted);
        if let (Ok(whole), Ok(some)) = (&whole, &some) {
            // A damaged name may be another's.
            prop_assert_eq!(whole.num_rows(), some.num_rows());
        }
        if let Ok(batch) = whole {
            let _ = Anomaly::from_batch(&batch);
        }
    }
}

/// A table's fields are its schema's columns, in their order.
#[test]
fn tables_have_the_columns_of_their_schemas() {
    let tables: [(&schema::TopicSchema, &[&str]); 8] = [
        (schema::inventory(), Device::COLUMNS),
        (schema::interfaces(), Interface::COLUMNS),
        (schema::topology_evidence(), Element::COLUMNS),
        (schema::topology(), Element::COLUMNS),
        (schema::actions(), Action::COLUMNS),
        (schema::approvals(), Approval::COLUMNS),
        (schema::changes(), Change::COLUMNS),
        (schema::feedback(), Feedback::COLUMNS),
    ];
    for (schema, columns) in tables {
        let names: Vec<&str> = schema.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, columns, "{}", schema.name);
    }
}

#[test]
fn tables_survive_the_way_to_arrow_and_back() {
    let gate = |verdict| Gate { name: "redundancy".into(), verdict, reason: "two paths".into() };
    let action = |serial: u32| Action {
        domain: "default".into(),
        time_ms: 1_700_000_000_000,
        execution: "e1".into(),
        incident: "i1".into(),
        playbook: "link-up".into(),
        serial,
        state: ActionState::ALL[serial as usize],
        step: (serial > 1).then_some(serial),
        attempt: 0,
        device: Some("edge1".into()),
        entity: None,
        action: None,
        driver: None,
        command: None,
        result: None,
        reason: "because".into(),
        plan_hash: None,
        plan: None,
        gates: (0..serial % 3).map(|_| gate(GateVerdict::Hold)).collect(),
        who: None,
        until_ms: Some(1),
    };
    let rows: Vec<Action> = (0..ActionState::ALL.len() as u32).map(action).collect();
    assert_eq!(Action::from_batch(&Action::to_batch(&rows).unwrap()).unwrap(), rows);
    let element = |members: &[&str]| Element {
        domain: "default".into(),
        time_ms: 1,
        id: Element::link_id(("b", "Gi0/1"), ("a", "Gi0/2")),
        kind: ElementKind::Link,
        name: "a to b".into(),
        role: None,
        site: None,
        address: None,
        exporter: None,
        class: None,
        a_device: Some("a".into()),
        a_interface: Some("Gi0/2".into()),
        b_device: Some("b".into()),
        b_interface: Some("Gi0/1".into()),
        speed_bps: Some(1_000_000_000),
        management: Some(false),
        members: members.iter().map(|member| (*member).to_owned()).collect(),
        removed: false,
    };
    let rows = [element(&[]), element(&["node/a", "node/b"])];
    let batch = Element::to_topology(&rows).unwrap();
    assert_eq!(Element::from_topology(&batch).unwrap(), rows);
    assert_eq!(rows[0].id, "link/a Gi0/2--b Gi0/1");
}

#[test]
fn an_incident_keeps_its_cause() {
    let root = |name: &str| Entity { kind: "interface".into(), name: name.into() };
    let incident = |cause: Option<Cause>| Incident {
        domain: "default".into(),
        id: "i1".into(),
        revision: 2,
        state: IncidentState::Open,
        opened_ms: 1,
        updated_ms: 2,
        resolved_ms: None,
        grouping: Grouping::Cause,
        entity: Some(root("edge1 Gi0/1")),
        headline: "edge1 Gi0/1 is down".into(),
        score: None,
        members: vec![],
        contributors: vec![],
        cause,
        changes: vec!["e1 0 began".into()],
        reopened: 1,
        merged_into: None,
    };
    let runner_up =
        RunnerUp { entity: root("core1 Gi0/2"), fault: "link-down".into(), probability: 0.1 };
    let cause = Cause {
        fault: "admin-down".into(),
        probability: 0.9,
        runner_up: Some(runner_up),
        why: "both ends say so".into(),
        path: vec!["interface edge1 Gi0/1".into(), "node core1".into()],
        affected: vec![],
        unexplained: vec!["a7".into()],
    };
    let rows = [incident(None), incident(Some(cause))];
    assert_eq!(Incident::from_batch(&Incident::to_batch(&rows).unwrap()).unwrap(), rows);
}
