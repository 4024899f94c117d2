//! The whole stage on the log in memory: its loop, its readers, its callers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bus::topics::catalogue;
use bus::{Admin, BusConfig, EmbeddedLog, Log, Meta, Name, OutRecord, Producer, ReadEvent, Writer};
use bytes::Bytes;
use model::rows::{
    Action, ActionState, Approval, ApprovalVerdict, Change, Device, Element, Incident,
    IncidentState, Interface,
};
use model::schema::{self, TopicSchema};
use runtime::shutdown::Shutdown;
use runtime::task::{LoopOptions, run};

use super::rig::{OBJECT, UP, actions, incident, link, playbook};
use crate::config::ActConfig;
use crate::driver::Drivers;
use crate::driver::fake::FakeDriver;
use crate::playbook::check_texts;
use crate::service::{ActStage, Time};

struct Bed {
    log: Arc<EmbeddedLog>,
    bus: BusConfig,
    producer: Mutex<Box<dyn Producer>>,
    sent: Mutex<i64>,
    device: Arc<FakeDriver>,
}

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

// === impl Bed ===

impl Bed {
    fn new() -> Bed {
        let (log, bus) = (EmbeddedLog::in_memory().expect("memory opens"), BusConfig::default());
        for spec in catalogue(&bus) {
            log.create(&spec).expect("the topic is new");
        }
        let producer = Mutex::new(log.producer("test", "t").expect("a producer"));
        let device = Arc::new(FakeDriver::readable());
        device.set(OBJECT, "2");
        Bed { log: Arc::new(log), bus, producer, sent: Mutex::new(0), device }
    }

    fn put(&self, topic: &str, schema: &TopicSchema, batch: &RecordBatch, key: Option<&str>) {
        let topic = self.bus.topic(topic);
        let info = self.log.describe(&topic).expect("it answers").expect("it is there");
        let mut sent = self.sent.lock().expect("no panic holds it");
        *sent += 1;
        let evidence = self.bus.topic("evidence.v1");
        let evidence = self.log.describe(&evidence).expect("it answers").expect("it is there");
        let writer =
            Writer::Task { stage: "correlate".to_owned(), topic_id: evidence.id, partition: 0 };
        let meta = Meta {
            schema: schema.header(),
            schema_fp: schema.fingerprint.clone(),
            producer: "test".to_owned(),
            rows: batch.num_rows() as u32,
            min_ts_ms: 0,
            max_ts_ms: 0,
            wm_ms: Some(1),
            name: Name { writer, offset: *sent, index: 0 },
            config_fp: None,
            replay_id: None,
            extra: Vec::new(),
        };
        let record = OutRecord {
            partition: bus::partition::partition(b"default", info.partitions),
            topic: Arc::from(topic),
            timestamp_ms: 1,
            key: key.map(|key| Bytes::from(key.to_owned())),
            headers: meta.headers(),
            payload: Some(model::ipc::encode(batch).expect("it encodes")),
        };
        let mut producer = self.producer.lock().expect("no panic holds it");
        producer.send(&record).expect("the log takes it").expect("the queue has room");
        while producer.in_flight() > 0 {
            producer.poll(Duration::from_secs(1));
        }
    }

    fn inventory(&self) {
        let elements = [link(("edge1", "Gi0/2"), ("core1", "Gi0/1"))];
        for element in &elements {
            let batch = Element::to_topology(std::slice::from_ref(element)).expect("rows");
            self.put("topology.v1", schema::topology(), &batch, Some(&element.record_key()));
        }
        let device = Device {
            domain: "default".to_owned(),
            device: "edge1".to_owned(),
            address: "192.0.2.1".to_owned(),
            exporter: None,
            role: "router".to_owned(),
            class: None,
            site: None,
            snmp_port: None,
            snmp_credential: None,
            updated_ms: 0,
        };
        let batch = Device::to_batch(std::slice::from_ref(&device)).expect("rows");
        self.put("inventory.v1", schema::inventory(), &batch, Some(&device.record_key()));
        let interface = Interface {
            domain: "default".to_owned(),
            device: "edge1".to_owned(),
            name: "Gi0/2".to_owned(),
            if_index: 2,
            alias: None,
            descr: None,
            speed_bps: None,
            admin_up: None,
            oper_up: None,
            address: None,
            from_ms: 0,
            received_ms: 0,
        };
        let batch = Interface::to_batch(std::slice::from_ref(&interface)).expect("rows");
        self.put("interfaces.v1", schema::interfaces(), &batch, Some(&interface.record_key()));
    }

    fn incident(&self, incident: &Incident) {
        let batch = Incident::to_batch(std::slice::from_ref(incident)).expect("rows");
        self.put("incidents.v1", schema::incidents(), &batch, Some(&incident.id));
    }

    /// All rows of a schema on a topic, in order.
    fn rows<T>(&self, topic: &str, schema: &str, read: impl Fn(&RecordBatch) -> Vec<T>) -> Vec<T> {
        let topic = self.bus.topic(topic);
        let mut reader = self.log.reader().expect("a reader");
        let from = bus::from_start(&*self.log, reader.as_mut(), &topic).expect("it is there");
        let mut left: BTreeMap<u32, ()> = from.iter().map(|(_, p, _)| (*p, ())).collect();
        reader.assign(&from).expect("it is there");
        let mut all = Vec::new();
        while !left.is_empty() {
            match reader.poll(Duration::from_secs(5)).expect("the log answers") {
                ReadEvent::Record(record)
                    if record.header("schema").is_some_and(|s| s.starts_with(schema)) =>
                {
                    let payload = record.payload.expect("data has a payload");
                    let limits = model::ipc::Limits::default();
                    all.extend(read(&model::ipc::decode(&payload, limits).expect("it decodes")));
                }
                ReadEvent::End { partition, .. } => {
                    left.remove(&partition);
                }
                ReadEvent::Record(_) => {}
                ReadEvent::Idle => panic!("the end of {topic} did not come"),
            }
        }
        all
    }

    fn actions(&self) -> Vec<Action> {
        self.rows("actions.v1", "actions/", |batch| Action::from_batch(batch).expect("rows"))
    }

    /// Until the last step is this one.
    fn wait_for(&self, state: ActionState) -> Action {
        let deadline = Instant::now() + LIMIT;
        loop {
            let last = self.actions().pop();
            if let Some(row) = last.clone().filter(|row| row.state == state) {
                return row;
            }
            assert!(Instant::now() < deadline, "no {state:?}, the last is {last:#?}");
            thread::yield_now();
        }
    }

    /// Runs the stage while `during` looks on.
    fn run(&self, during: impl FnOnce()) {
        let books = playbook("up", "approve", "admin-down", UP);
        let library = check_texts(&actions("approve"), &[("p", &books)]).expect("it is whole");
        let drivers = Drivers::default().with("snmp", self.device.clone());
        let topic = self.bus.topic("incidents.v1");
        let partitions = self.log.describe(&topic).expect("ok").expect("it is there").partitions;
        let config = ActConfig::default();
        let stage =
            ActStage::new(config, library, drivers, &self.bus, partitions, "fp", Time::Wall);
        let helpers = stage.helpers(&self.bus);
        let shutdown = Shutdown::new();
        let options = LoopOptions::new("a", &self.bus.topic("snapshots.act.v1"));
        let log: Arc<dyn Log> = self.log.clone();
        thread::scope(|scope| {
            let (of_loop, of_helpers) = (shutdown.clone(), shutdown.clone());
            let looped = scope.spawn({
                let log = Arc::clone(&log);
                move || run(log, stage, options, &of_loop)
            });
            let helped = scope.spawn({
                let log = Arc::clone(&log);
                move || helpers.run(&log, &of_helpers)
            });
            // Whatever `during` finds, the threads must end.
            let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(during));
            shutdown.request();
            looped.join().expect("no panic").expect("it stops when told");
            helped.join().expect("no panic").expect("it stops when told");
            if let Err(panic) = seen {
                std::panic::resume_unwind(panic);
            }
        });
    }
}

fn word(row: &Action, until_ms: i64) -> Approval {
    Approval {
        domain: row.domain.clone(),
        time_ms: row.time_ms,
        execution: row.execution.clone(),
        incident: row.incident.clone(),
        plan_hash: row.plan_hash.clone().expect("a plan has one"),
        verdict: ApprovalVerdict::Approve,
        who: "ann".to_owned(),
        reason: None,
        until_ms,
    }
}

#[test]
fn a_repair_goes_from_incident_to_confirmed_over_the_log_and_two_lives() {
    let bed = Bed::new();
    bed.inventory();
    let mut broken = incident("admin-down", "interface", "edge1 Gi0/2");
    bed.incident(&broken);
    bed.run(|| {
        bed.wait_for(ActionState::AwaitingApproval);
    });
    assert!(bed.device.writes().is_empty());
    // Another life takes it from there.
    bed.run(|| {
        let waits = bed.wait_for(ActionState::AwaitingApproval);
        let approval = word(&waits, waits.time_ms + 600_000);
        let batch = Approval::to_batch(&[approval]).expect("rows");
        bed.put("approvals.v1", schema::approvals(), &batch, None);
        bed.wait_for(ActionState::Verifying);
        broken.revision = 2;
        broken.state = IncidentState::Quiet;
        broken.members[0].cleared_ms = Some(broken.opened_ms + 1);
        bed.incident(&broken);
        bed.wait_for(ActionState::Confirmed);
    });
    assert_eq!(bed.device.writes(), [(OBJECT.to_owned(), "1".to_owned())]);
    let rows = bed.actions();
    let serials: Vec<u32> = rows.iter().map(|row| row.serial).collect();
    assert_eq!(serials, (0..rows.len() as u32).collect::<Vec<_>>(), "no step twice, none missing");
    let changes =
        bed.rows("evidence.v1", "evidence.change/", |b| Change::from_batch(b).expect("rows"));
    assert_eq!(changes.len(), 2);
}
