//! Each driver against something that speaks its protocol.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use act::{Call, Driver, DriverError, Target};

use crate::config::{CommandConfig, NotifyConfig, Secret, SimConfig, SnmpConfig, WebhookConfig};
use crate::{CommandDriver, NotifyDriver, SimDriver, SnmpDriver, WebhookDriver};

fn call(parameters: &[(&str, &str)], port: Option<u16>) -> Call {
    let target = Target {
        name: "edge1".to_owned(),
        address: "127.0.0.1".to_owned(),
        class: None,
        snmp_port: port,
        credential: Some("lab".to_owned()),
    };
    let parameters =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Call {
        driver: "test".to_owned(),
        device: Some(target),
        parameters: parameters.collect(),
        timeout_ms: 3_000,
        key: "e1/0/apply".to_owned(),
    }
}

// --- command

fn command() -> CommandDriver {
    let program = |name: &str, path: &str| (name.to_owned(), PathBuf::from(path));
    let programs = [
        program("echo", "/bin/echo"),
        program("sleep", "/bin/sleep"),
        program("cat", "/bin/cat"),
        program("false", "/bin/false"),
    ];
    CommandDriver::new(&CommandConfig { programs: programs.into(), output_bytes_max: 64 })
}

#[test]
fn a_command_gets_its_arguments_as_they_are_and_only_what_is_allowed_runs() {
    let driver = command();
    let echo = call(&[("program", "echo"), ("arg0", "$(id); a"), ("arg1", "b")], None);
    assert_eq!(driver.write(&echo), Ok("$(id); a b\n".to_owned()));
    let other = call(&[("program", "rm")], None);
    assert!(matches!(driver.write(&other), Err(DriverError::Refused(_))));
    let gap = call(&[("program", "echo"), ("arg1", "b")], None);
    assert!(matches!(driver.write(&gap), Err(DriverError::Refused(_))));
    let fails = call(&[("program", "false")], None);
    assert!(matches!(driver.write(&fails), Err(DriverError::Refused(_))));
    let long = "x".repeat(10_000);
    let kept = driver.write(&call(&[("program", "cat"), ("input", &long)], None));
    assert_eq!(kept.map(|kept| kept.len()), Ok(64));
}

#[test]
fn a_command_that_does_not_end_is_ended_and_unclear() {
    let mut sleep = call(&[("program", "sleep"), ("arg0", "60")], None);
    sleep.timeout_ms = 100;
    assert!(matches!(command().write(&sleep), Err(DriverError::Unclear(_))));
}

// --- the simulated network's command line

fn line_server(answer: &'static str) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let served = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("somebody comes");
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).expect("a line comes");
        (&stream).write_all(answer.as_bytes()).expect("it is taken");
        line
    });
    (port, served)
}

#[test]
fn a_line_is_answered_by_output_and_ok_or_by_an_error() {
    let cases = [
        ("ok\n", Ok(String::new())),
        ("a\nb\nok\n", Ok("a\nb".to_owned())),
        ("error: no such policy\n", Err(DriverError::Refused("no such policy".to_owned()))),
    ];
    for (answer, expected) in cases {
        let (port, served) = line_server(answer);
        let driver = SimDriver::new(&SimConfig { port, ..SimConfig::default() });
        assert_eq!(driver.write(&call(&[("line", "show policies")], None)), expected);
        assert_eq!(served.join().expect("it ends"), "show policies\n");
    }
    let (port, _served) = line_server("half");
    let driver = SimDriver::new(&SimConfig { port, ..SimConfig::default() });
    let made = driver.write(&call(&[("line", "x")], None));
    assert!(matches!(made, Err(DriverError::Unclear(_))), "{made:?}");
    let two = driver.write(&call(&[("line", "x\ny")], None));
    assert!(matches!(two, Err(DriverError::Refused(_))));
}

// --- webhooks

/// Answers one request with a status; what it was asked, head and body.
fn http_server(status: &'static str) -> (Secret, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let served = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("somebody comes");
        let mut reader = BufReader::new(&stream);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a head comes");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("it is a number");
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body comes");
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi");
        (&stream).write_all(answer.as_bytes()).expect("it is taken");
        format!("{head}\n{}", String::from_utf8_lossy(&body))
    });
    (Secret::new(&format!("http://127.0.0.1:{port}/hook")), served)
}

fn webhook(url: Secret) -> WebhookDriver {
    let urls = BTreeMap::from([("ticket".to_owned(), url)]);
    WebhookDriver::new(&WebhookConfig { urls, retries: 1 })
}

#[test]
fn a_webhook_posts_json_with_the_steps_key() {
    let (url, served) = http_server("200 OK");
    let post = call(&[("url", "ticket"), ("body", "edge1 is back")], None);
    assert_eq!(webhook(url).write(&post), Ok("200 OK: hi".to_owned()));
    let asked = served.join().expect("it ends").to_ascii_lowercase();
    assert!(asked.contains("idempotency-key: e1/0/apply"), "{asked}");
    assert!(asked.ends_with("{\"text\":\"edge1 is back\"}"), "{asked}");
}

#[test]
fn what_a_webhook_answers_says_what_was_done() {
    let post = call(&[("url", "ticket"), ("body", "{}")], None);
    let (url, _served) = http_server("403 Forbidden");
    assert!(matches!(webhook(url).write(&post), Err(DriverError::Refused(_))));
    let (url, _served) = http_server("500 Oops");
    assert!(matches!(webhook(url).write(&post), Err(DriverError::Unclear(_))));
    let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = free.local_addr().expect("it is bound").port();
    drop(free);
    let nobody = Secret::new(&format!("http://127.0.0.1:{port}/s3cret"));
    let made = webhook(nobody).write(&post).expect_err("nobody listens");
    assert!(matches!(made, DriverError::Unreached(_)), "{made}");
    assert!(!made.to_string().contains("s3cret"));
    let unknown = call(&[("url", "other")], None);
    let (url, _served) = http_server("200 OK");
    assert!(matches!(webhook(url).write(&unknown), Err(DriverError::Refused(_))));
}

#[test]
fn a_notification_goes_to_its_channel_or_the_log() {
    let (url, served) = http_server("200 OK");
    let channels = BTreeMap::from([("#netops".to_owned(), url)]);
    let driver = NotifyDriver::new(&NotifyConfig { channels, retries: 0 });
    driver.write(&call(&[("channel", "#netops"), ("message", "m")], None)).expect("it is sent");
    let asked = served.join().expect("it ends");
    assert!(asked.ends_with("{\"channel\":\"#netops\",\"text\":\"m\"}"), "{asked}");
    let logged = driver.write(&call(&[("channel", "#other"), ("message", "m")], None));
    assert!(logged.expect("it is logged").contains("no address"));
}

#[test]
fn a_secret_is_never_shown() {
    let secret = Secret::new("hush");
    assert_eq!(format!("{secret:?}"), "***");
    assert_eq!(serde_json::to_string(&secret).expect("it is JSON"), "\"***\"");
}

// --- SNMP

/// An agent of one object: answers each request with the value that it now has, or an error.
fn agent(answers: usize, error: u8) -> (u16, JoinHandle<Vec<Vec<u8>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let port = socket.local_addr().expect("it is bound").port();
    let served = thread::spawn(move || {
        let mut asked = Vec::new();
        for _ in 0..answers {
            let mut buffer = [0; 1_500];
            let (len, from) = socket.recv_from(&mut buffer).expect("a request comes");
            let mut datagram = buffer[..len].to_vec();
            asked.push(datagram.clone());
            answer(&mut datagram, error);
            socket.send_to(&datagram, from).expect("it is sent");
        }
        asked
    });
    (port, served)
}

/// Turns a request of one variable into its response, in place: `A2` for the PDU, the error status,
/// and for a get (whose value is a null, `05 00`) the integer 2.
fn answer(datagram: &mut Vec<u8>, error: u8) {
    // SEQUENCE len, version (3), community (2 + n), PDU tag.
    let community = usize::from(datagram[6]);
    let pdu = 7 + community;
    let is_get = datagram[pdu] == 0xa0;
    datagram[pdu] = 0xa2;
    let id = usize::from(datagram[pdu + 3]);
    let status = pdu + 4 + id;
    assert_eq!(datagram[status..status + 2], [2, 1], "the error status is one byte");
    datagram[status + 2] = error;
    datagram[status + 5] = u8::from(error != 0);
    if is_get {
        // The value grows by a byte, and with it every length around it.
        let binds = status + 6;
        datagram.truncate(datagram.len() - 2);
        datagram.extend([2, 1, 2]);
        for at in [1, pdu + 1, binds + 1, binds + 3] {
            datagram[at] += 1;
        }
    }
}

fn snmp() -> SnmpDriver {
    let credentials = BTreeMap::from([("lab".to_owned(), Secret::new("private"))]);
    let config = SnmpConfig { credentials, timeout_ms: 200, retries: 1, ..SnmpConfig::default() };
    SnmpDriver::new(&config).expect("it starts")
}

const ADMIN: &str = "1.3.6.1.2.1.2.2.1.7.2";

#[test]
fn an_object_is_set_and_read() {
    let (port, served) = agent(2, 0);
    let driver = snmp();
    let set = call(&[("set", ADMIN), ("integer", "1")], Some(port));
    assert_eq!(driver.write(&set), Ok("1".to_owned()));
    assert_eq!(driver.read(&call(&[("get", ADMIN)], Some(port))), Ok("2".to_owned()));
    let asked = served.join().expect("it ends");
    // 1.3.6.1.2.1.2.2.1.7.2 = integer 1, as RFC 3416 has it.
    let bind = [0x06, 0x0a, 0x2b, 6, 1, 2, 1, 2, 2, 1, 7, 2, 2, 1, 1];
    assert!(asked[0].windows(bind.len()).any(|window| window == bind), "{:02x?}", asked[0]);
}

#[test]
fn an_agents_error_is_a_no_and_silence_is_not_known() {
    // notWritable.
    let (port, _served) = agent(1, 17);
    let set = call(&[("set", ADMIN), ("integer", "1")], Some(port));
    assert!(matches!(snmp().write(&set), Err(DriverError::Refused(_))));
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let port = silent.local_addr().expect("it is bound").port();
    let set = call(&[("set", ADMIN), ("integer", "1")], Some(port));
    let made = snmp().write(&set);
    assert!(matches!(made, Err(DriverError::Unclear(_))), "{made:?}");
    let get = snmp().read(&call(&[("get", ADMIN)], Some(port)));
    assert!(matches!(get, Err(DriverError::Unreached(_))), "{get:?}");
    let mut other = call(&[("get", ADMIN)], Some(port));
    other.device.as_mut().expect("it has one").credential = None;
    assert!(matches!(snmp().read(&other), Err(DriverError::Refused(_))));
}
