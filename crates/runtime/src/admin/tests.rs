//! The pages over a real socket, and what a taken port says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{AdminConfig, Bound, Readiness};
use crate::shutdown::Shutdown;
use crate::telemetry::Telemetry;

fn free_port() -> AdminConfig {
    AdminConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)) }
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn ready_lists_what_is_not_and_drains() {
    let bound = Bound::bind(&free_port()).unwrap();
    let (address, readiness, shutdown) = (bound.address, Readiness::default(), Shutdown::new());
    let log = readiness.condition("log", "connecting");
    let tasks = readiness.condition("tasks", "restoring 3");
    bound.serve(readiness, Telemetry::detached(), shutdown.clone()).unwrap();

    let answer = get(address, "/-/ready");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("not ready: log: connecting\nnot ready: tasks: restoring 3\n"));
    log.met();
    tasks.met();
    assert!(get(address, "/-/ready").starts_with("HTTP/1.1 200"));
    assert!(get(address, "/-/healthy").starts_with("HTTP/1.1 200"));
    assert!(get(address, "/metrics").contains("content-type: text/plain; version=0.0.4"));
    shutdown.request();
    assert!(get(address, "/-/ready").ends_with("not ready: draining\n"));
}

#[test]
fn a_taken_port_is_named_with_the_way_to_change_it() {
    let first = Bound::bind(&free_port()).unwrap();
    let error = Bound::bind(&AdminConfig { listen: first.address }).unwrap_err().to_string();
    assert!(error.contains(&first.address.to_string()), "{error}");
    assert!(error.contains("change admin.listen, or GANNET__ADMIN__LISTEN"), "{error}");
}
