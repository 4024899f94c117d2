//! `gannet ingest --print`: real datagrams of each protocol in, JSON lines out, with no log, no
//! configuration and no file.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sim::{Exporter, Flow, Identity, Protocol};

use super::{binary, v5_datagram};

const LIMIT: Duration = Duration::from_secs(30);
const NOW_MS: i64 = 1_780_000_000_000;

/// The process, ended with the test.
struct Printing(Child);

impl Drop for Printing {
    fn drop(&mut self) {
        // Already ended where the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lines of a stream as they come.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn flow(nth: u16) -> Flow {
    Flow {
        src: Ipv4Addr::new(192, 0, 2, 9).into(),
        dst: Ipv4Addr::new(203, 0, 113, 5).into(),
        src_port: 50_000 + nth,
        dst_port: 443,
        protocol: 6,
        tcp_flags: 0x1b,
        tos: 8,
        in_if: 3,
        out_if: 4,
        src_as: 64_500,
        dst_as: 64_501,
        first_ms: NOW_MS - 4_000,
        last_ms: NOW_MS - 1_000,
        packets: 12,
        bytes: 3_400 + u64::from(nth),
    }
}

/// Templates, then three flows.
fn exported(protocol: Protocol) -> Vec<Vec<u8>> {
    let identity = Identity {
        address: Ipv4Addr::LOCALHOST,
        protocol,
        domain: 7,
        sampling: 1,
        template_refresh_ms: 60_000,
        flush_ms: 500,
    };
    let mut exporter = Exporter::new(identity, NOW_MS - 3_600_000, 10);
    let (mut sent, mut rng) = (Vec::new(), ChaCha8Rng::seed_from_u64(1));
    exporter.tick(NOW_MS, &mut sent);
    (0..3).for_each(|nth| exporter.push(flow(nth), NOW_MS, &mut rng, &mut sent));
    exporter.flush(NOW_MS, &mut sent);
    sent.into_iter().map(|datagram| datagram.bytes.to_vec()).collect()
}

#[test]
fn flows_of_each_protocol_are_printed_without_log_or_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(binary()?);
    command.args(["ingest", "--listen", "udp://127.0.0.1:0", "--print"]);
    command.current_dir(folder.path()).env_remove("KAFKA_BOOTSTRAP");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut printing = Printing(command.spawn()?);
    let said = lines(printing.0.stderr.take().context("no standard error")?);
    let flows = lines(printing.0.stdout.take().context("no standard output")?);

    let first = said.recv_timeout(LIMIT).context("it does not say where it listens")?;
    let address = first.split("udp://").nth(1).and_then(|rest| rest.split(',').next());
    let address = address.with_context(|| format!("no address in {first:?}"))?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.send_to(&v5_datagram(1, (NOW_MS / 1000) as u32), address)?;
    for datagram in [exported(Protocol::V9), exported(Protocol::Ipfix)].concat() {
        sender.send_to(&datagram, address)?;
    }

    let mut printed: Vec<Value> = Vec::new();
    while printed.len() < 7 {
        let line = flows.recv_timeout(LIMIT).with_context(|| format!("only {printed:?}"))?;
        printed.push(serde_json::from_str(&line)?);
    }
    let of = |version: u64| printed.iter().filter(move |flow| flow["export_version"] == version);
    let v5: Vec<&Value> = of(5).collect();
    assert_eq!(v5.len(), 1, "{printed:?}");
    assert_eq!((&v5[0]["src_addr"], &v5[0]["bytes"]), (&json!("192.0.2.1"), &json!(4_200)));
    for version in [9, 10] {
        for (nth, found) in (0..3).zip(of(version)) {
            let wanted = flow(nth);
            assert_eq!(found["exporter"], "127.0.0.1");
            assert_eq!(found["observation_domain"], 7);
            assert_eq!(found["src_addr"], wanted.src.to_string());
            assert_eq!(found["dst_addr"], wanted.dst.to_string());
            assert_eq!(found["src_port"], wanted.src_port);
            assert_eq!(found["bytes"], wanted.bytes);
            assert_eq!(found["packets"], wanted.packets);
            assert_eq!(found["sampling_rate"], 1);
        }
        assert_eq!(of(version).count(), 3, "version {version}: {printed:?}");
    }

    let id = printing.0.id().to_string();
    ensure!(Command::new("kill").args(["-TERM", &id]).status()?.success(), "kill failed");
    let last = said.iter().last().unwrap_or_default();
    assert_eq!(printing.0.wait()?.code(), Some(0), "{last}");
    assert_eq!(last, "5 datagrams, 7 flows");
    assert_eq!(flows.iter().count(), 0, "nothing but flows is printed");
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0, "no file is written");
    Ok(())
}
