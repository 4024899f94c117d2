//! SNMP's order and its refusals, the wire form of it, and the command line.

use model::snmp::{NOT_WRITABLE, TOO_BIG, WRONG_TYPE, WRONG_VALUE};

use super::*;
use crate::net::ber::Message;

fn oid(text: &str) -> Oid {
    text.parse().unwrap()
}

#[test]
fn a_walk_of_everything_goes_up_and_bulk_sees_the_same() {
    let mut net = Net::new(params(1));
    net.advance(after(5));
    for device in ["edge1", "acc5", "mgmt1"] {
        let mut walked = vec![Oid(vec![1, 3])];
        loop {
            let last = walked[walked.len() - 1].clone();
            let mut response = net.snmp(device, after(5), &Request::GetNext(vec![last])).unwrap();
            let bind = response.binds.remove(0);
            if bind.value == Value::EndOfMibView {
                break;
            }
            walked.push(bind.oid);
        }
        assert!(walked.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(walked.len() > 60, "{}", walked.len());
        let mut bulk = vec![Oid(vec![1, 3])];
        loop {
            let oids = vec![bulk[bulk.len() - 1].clone()];
            let request = Request::GetBulk { non_repeaters: 0, max_repetitions: 25, oids };
            let response = net.snmp(device, after(5), &request).unwrap();
            assert!(!response.binds.is_empty());
            let is_there = |bind: &&VarBind| bind.value.is_there();
            bulk.extend(response.binds.iter().filter(is_there).map(|bind| bind.oid.clone()));
            if response.binds.iter().any(|bind| bind.value == Value::EndOfMibView) {
                break;
            }
        }
        assert_eq!(walked, bulk, "{device}");
    }
}

#[test]
fn what_is_not_there_is_said_in_the_right_words() {
    let mut net = Net::new(params(1));
    let mut value = |oid: &str| get(&mut net, "core1", after(0), oid).unwrap();
    assert_eq!(value("1.3.6.1.2.1.1.5.0"), Value::OctetString(b"core1".to_vec()));
    assert_eq!(value("1.3.6.1.2.1.1.5.1"), Value::NoSuchInstance);
    assert_eq!(value("1.3.6.1.2.1.2.2.1.8.77"), Value::NoSuchInstance);
    assert_eq!(value("1.3.6.1.2.1.2.2.1.99.1"), Value::NoSuchObject);
    assert_eq!(value("1.3.6.1.2.1.31.1.1.1.15.1"), Value::Gauge32(10_000));
    assert_eq!(value("1.3.6.1.2.1.2.2.1.5.1"), Value::Gauge32(u32::MAX));
    assert_eq!(net.snmp("nobody", after(0), &Request::Get(Vec::new())), None);
}

#[test]
fn an_answer_that_does_not_fit_is_too_big_and_bulk_is_cut() {
    let mut net = Net::new(params(1));
    let many = vec![oid("1.3.6.1.2.1.1.1.0"); 40];
    let response = net.snmp("core1", after(0), &Request::Get(many)).unwrap();
    assert_eq!((response.error_status, response.binds.len()), (TOO_BIG, 0));
    let oids = vec![oid("1.3.6.1.2.1.2.2.1")];
    let request = Request::GetBulk { non_repeaters: 0, max_repetitions: u32::MAX, oids };
    let response = net.snmp("core1", after(0), &request).unwrap();
    assert!((20..120).contains(&response.binds.len()), "{}", response.binds.len());
    let message = Message {
        community: b"public".to_vec(),
        request_id: i32::MIN,
        request: Request::Get(Vec::new()),
    };
    assert!(message.answer(&response).len() <= 1_400, "{}", message.answer(&response).len());
}

#[test]
fn only_an_interfaces_state_can_be_set_and_only_to_up_or_down() {
    let mut net = Net::new(params(1));
    let mut set = |oid_text: &str, value: Value| {
        let binds = vec![VarBind { oid: oid(oid_text), value }];
        net.snmp("dist1", after(0), &Request::Set(binds)).unwrap().error_status
    };
    let admin = "1.3.6.1.2.1.2.2.1.7.4";
    assert_eq!(set("1.3.6.1.2.1.1.5.0", Value::OctetString(vec![1])), NOT_WRITABLE);
    assert_eq!(set("1.3.6.1.9", Value::Integer(1)), NOT_WRITABLE);
    assert_eq!(set(admin, Value::Integer(3)), WRONG_VALUE);
    assert_eq!(set(admin, Value::OctetString(b"2".to_vec())), WRONG_TYPE);
    assert_eq!(set(admin, Value::Integer(2)), 0);
    assert_eq!(number(&mut net, "dist1", after(0), admin), 2);
    assert_eq!(number(&mut net, "dist1", after(0), "1.3.6.1.2.1.2.2.1.8.4"), 2);
    // All or nothing.
    let bind = |oid_text: &str| VarBind { oid: oid(oid_text), value: Value::Integer(1) };
    let request = Request::Set(vec![bind(admin), bind("1.3.6.1.2.1.1.7.0")]);
    let response = net.snmp("dist1", after(0), &request).unwrap();
    assert_eq!((response.error_status, response.error_index), (NOT_WRITABLE, 2));
    assert_eq!(number(&mut net, "dist1", after(0), admin), 2);
}

/// snmpget -v2c -c public … sysUpTime.0, as net-snmp sends it.
pub const ASKED: &[u8] = &[
    0x30, 0x29, 0x02, 0x01, 0x01, 0x04, 0x06, b'p', b'u', b'b', b'l', b'i', b'c', 0xa0, 0x1c, 0x02,
    0x04, 0x71, 0x2a, 0x3b, 0x4c, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00, 0x30, 0x0e, 0x30, 0x0c, 0x06,
    0x08, 0x2b, 0x06, 0x01, 0x02, 0x01, 0x01, 0x03, 0x00, 0x05, 0x00,
];

#[test]
fn a_request_is_read_and_its_answer_has_the_rfcs_form() {
    let message = Message::decode(ASKED).unwrap();
    assert_eq!(message.community, b"public");
    assert_eq!(message.request, Request::Get(vec![oid("1.3.6.1.2.1.1.3.0")]));
    let value = Value::Counter64(u64::MAX);
    let bind = VarBind { oid: oid("1.3.6.1.4.1.9.9.109.1.1.1.1.6.1"), value };
    let response = model::snmp::Response { error_status: 0, error_index: 0, binds: vec![bind] };
    let answer = message.answer(&response);
    let tail = [0x46, 9, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert!(answer.ends_with(&tail), "{answer:02x?}");
    assert_eq!(answer[1] as usize, answer.len() - 2);
    assert_eq!(answer[13], 0xa2);
}

#[test]
fn no_octets_from_outside_are_more_than_refused() {
    for len in 0..ASKED.len() {
        assert_eq!(Message::decode(&ASKED[..len]), None, "{len}");
    }
    let mut net = Net::new(params(1));
    let mut read = 0;
    for place in 0..ASKED.len() {
        for octet in 0..=255 {
            let mut spoilt = ASKED.to_vec();
            spoilt[place] = octet;
            if let Some(message) = Message::decode(&spoilt) {
                read += 1;
                let response = net.snmp("core1", after(0), &message.request).unwrap();
                message.answer(&response);
            }
        }
    }
    assert!(read > 100, "most spoilt requests are still requests: {read}");
}

#[test]
fn commands_say_a_state_and_are_read_back_as_they_were_said() {
    let mut net = Net::new(params(1));
    let mut run = |line: &str| net.command("edge1", after(0), line);
    let limit = "rate-limit add a src 198.18.0.9 dst 203.0.113.7 mbps 50";
    for _ in 0..2 {
        assert_eq!(run(limit), Ok(String::new()));
        assert_eq!(run("drop add b dst 203.0.113.8 protocol tcp flags syn"), Ok(String::new()));
    }
    let both = "rate-limit a src 198.18.0.9 dst 203.0.113.7 mbps 50\n\
                drop b dst 203.0.113.8 protocol tcp flags syn\n";
    assert_eq!(run("show policies").unwrap(), both);
    assert!(
        run("show interfaces").unwrap().starts_with("Te0/1 admin up oper up speed 10000000000")
    );
    assert!(run("show cpu").unwrap().starts_with("five seconds "));
    // A policy of another kind keeps its name.
    assert_eq!(run("drop remove a"), Ok(String::new()));
    assert_eq!(run("show policies").unwrap(), both);
    for _ in 0..2 {
        assert_eq!(run("rate-limit remove a"), Ok(String::new()));
        assert_eq!(run("drop remove b"), Ok(String::new()));
    }
    assert_eq!(run("show policies").unwrap(), "");
    assert_eq!(run("interface Te0/1 down"), Ok(String::new()));
    assert!(run("show interfaces").unwrap().starts_with("Te0/1 admin down oper down"));
}

#[test]
fn bad_lines_are_told_what_is_wrong_and_tables_have_an_end() {
    let mut net = Net::new(params(1));
    let mut run = |line: &str| net.command("edge1", after(0), line);
    for line in [
        "",
        "reload",
        "drop add a dst here protocol tcp",
        "drop add a dst 1.2.3.4 protocol udp",
        "drop add <b> dst 1.2.3.4 protocol tcp",
        "rate-limit add a src 1.2.3.4 dst 1.2.3.5 mbps 0",
        "rate-limit add a src 1.2.3.4 dst 1.2.3.5 mbps -1",
        "interface Te9/9 up",
        "interface Te0/1 sideways",
        "\u{0}\u{fffd} show",
    ] {
        assert!(run(line).is_err(), "{line}");
    }
    assert!(run(&"x".repeat(10_000)).is_err());
    let refused = (0..100)
        .filter(|nth| run(&format!("drop add n{nth} dst 1.2.3.4 protocol tcp")).is_err())
        .count();
    assert_eq!(refused, 36);
    assert!(net.command("nobody", after(0), "show cpu").is_err());
}

#[test]
fn devices_speak_as_cisco_ios_does() {
    let mut params = broken(1, Fault::LinkDown);
    params.faults[0].at = Some("edge1 Te0/1".to_owned());
    params.chatter_per_h = 0.0;
    // 2026-11-26 10:00:00.000 UTC
    params.start_ms = 1_795_687_200_000;
    let mut net = Net::new(params);
    let outputs = net.advance(1_795_687_200_000 + 60_000);
    let texts: Vec<String> = said(&net, &outputs).into_iter().map(|(_, _, text)| text).collect();
    let has = |start: &str, words: &str| {
        texts.iter().any(|text| {
            text.starts_with(start) && text.contains(": *Nov 26 10:00:3") && text.contains(words)
        })
    };
    let port = "Interface TenGigabitEthernet0/1, changed state to";
    assert!(has("<189>", "edge1: *"), "{texts:?}");
    assert!(has("<189>", &format!("%LINK-5-CHANGED: {port} administratively down")));
    assert!(has("<187>", "core1: *"));
    assert!(has("<187>", &format!("%LINK-3-UPDOWN: {port} down")));
    assert!(has("<189>", &format!("%LINEPROTO-5-UPDOWN: Line protocol on {port} down")));
    assert!(has("<189>", "%BGP-5-ADJCHANGE: neighbor 127.77.0.3 Down Interface flap"));
    assert!(has(
        "<189>",
        "%SYS-5-CONFIG_I: Configured from console by admin on vty0 (10.255.0.10)"
    ));
}
