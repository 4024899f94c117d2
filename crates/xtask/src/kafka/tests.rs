//! What can be said without starting a broker; starting one is the test run's own part `kafka`.

use std::path::Path;

use super::properties::{Access, Ports, server};

const PORTS: Ports = Ports { client: 4001, controller: 4002 };

#[test]
fn a_broker_listens_on_loopback_only() {
    let text = server(PORTS, Path::new("data"), false, Access::Open);
    let listeners = text.lines().find(|line| line.starts_with("listeners=")).unwrap();
    assert_eq!(listeners, "listeners=PLAINTEXT://127.0.0.1:4001,CONTROLLER://127.0.0.1:4002");
    assert!(!text.contains("0.0.0.0"));
}

#[test]
fn short_sessions_are_allowed_only_on_request() {
    let key = "group.min.session.timeout.ms=1000";
    assert!(!server(PORTS, Path::new("data"), false, Access::Open).contains(key));
    assert!(server(PORTS, Path::new("data"), true, Access::Open).contains(key));
}

#[test]
fn a_broker_that_asks_has_no_way_round() {
    let text = server(PORTS, Path::new("data"), true, Access::Asked);
    let map = "listener.security.protocol.map=CONTROLLER:SASL_PLAINTEXT,\
               SASL_PLAINTEXT:SASL_PLAINTEXT\n";
    for line in [map, "allow.everyone.if.no.acl.found=false\n", "super.users=User:admin\n"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!server(PORTS, Path::new("data"), true, Access::Open).contains("sasl"));
}
