//! The rules over the file shown red, and the words of its network on this machine.

use std::path::Path;

use super::file::File;
use super::others::number;
use super::services::{on_loopback, properties};
use super::{kafka, read};
use crate::kafka::Ports;

const PORTS: Ports = Ports { client: 4001, controller: 4002 };

#[test]
fn the_file_is_as_the_project_needs_it() {
    assert_eq!(read().unwrap().breaches(kafka::VERSION), Vec::<String>::new());
}

#[test]
fn what_is_not_as_needed_is_named() {
    let text = std::fs::read_to_string(crate::workspace::root().join(super::NAME)).unwrap();
    for (from, to, expected) in [
        ("apache/kafka:4.3.1", "apache/kafka:4.0.0", "kafka is apache/kafka:4.0.0"),
        ("  ingest:", "  ingress:", "no service `ingest`"),
        ("[gannet, detect,", "[gannet, correlate,", "`detect` starts another stage"),
        ("[gannet, topics,", "[kafka, topics,", "`topics` does not start gannet"),
        ("/-/ready", "/metrics", "no health check on /-/ready"),
        ("condition: service_completed_successfully", "condition: service_started", "wait for"),
    ] {
        assert!(text.contains(from), "{from}");
        let breaches = File::parse(&text.replace(from, to)).unwrap().breaches(kafka::VERSION);
        assert!(breaches.iter().any(|breach| breach.contains(expected)), "{breaches:?}");
    }
    assert!(File::parse("services: [").is_err());
}

#[test]
fn the_containers_network_becomes_loopback() {
    assert_eq!(on_loopback("kafka:9092", PORTS), "127.0.0.1:4001");
    assert_eq!(on_loopback("0.0.0.0:9641", PORTS), "127.0.0.1:9641");
    assert_eq!(on_loopback("1@kafka:9093", PORTS), "1@127.0.0.1:4002");
}

#[test]
fn the_brokers_environment_spells_its_properties() {
    let file = read().unwrap();
    let text = properties(file.service("kafka").unwrap(), PORTS, Path::new("data"));
    for line in [
        "process.roles=broker,controller",
        "listeners=PLAINTEXT://127.0.0.1:4001,CONTROLLER://127.0.0.1:4002",
        "log.dirs=data",
        "auto.create.topics.enable=false",
    ] {
        assert!(text.lines().any(|has| has == line), "no {line} in\n{text}");
    }
}

#[test]
fn a_number_is_read_behind_its_words() {
    assert_eq!(number("a line\nsent 120 flows in 7 datagrams\n", "sent ").unwrap(), 120);
    assert!(number("sent nothing", "sent ").is_err());
    assert!(number("nothing", "sent ").is_err());
}
