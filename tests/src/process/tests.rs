//! One process on the embedded log: through, drained, resumed; refused with a reason.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Gannet, free_address, gannet, v5_datagram};

/// The shipped rules on ports of our own.
fn configuration(folder: &Path, admin: SocketAddr, flows: SocketAddr) -> Result<PathBuf> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/rules.yaml");
    fs::copy(rules, folder.join("rules.yaml"))?;
    let text = format!(
        "instance: test\nadmin: {{ listen: '{admin}' }}\n\
         bus: {{ engine: embedded, embedded: {{ path: log.redb }} }}\n\
         ingest: {{ listen: ['udp://{flows}'], sockets: 1 }}\n\
         detect: {{ rules: !include rules.yaml }}\n"
    );
    let file = folder.join("gannet.yaml");
    fs::write(&file, text)?;
    Ok(file)
}

fn flows_on_log(folder: &Path) -> Result<Vec<serde_json::Value>> {
    let tail = gannet(folder, &["tail", "flows", "--json", "--config", "gannet.yaml"])?;
    let text = String::from_utf8(tail.stdout)?;
    ensure!(tail.status.success(), "tail: {}", String::from_utf8_lossy(&tail.stderr));
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

#[test]
fn a_flow_comes_through_a_process_that_drains_and_resumes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let flows = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let config = configuration(folder, free_address()?, flows)?.display().to_string();
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    for run in 1..=2_u32 {
        let mut gannet = Gannet::start(folder, &["all", "--config", &config])?;
        gannet.wait_until_ready()?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        sender.send_to(&v5_datagram(run - 1, u32::try_from(now.as_secs())?), flows)?;
        gannet.wait_for_metric("gannet_ingest_datagrams_total", 1.0)?;
        let begun = Instant::now();
        assert_eq!(gannet.stop()?, 0);
        assert!(begun.elapsed() < Duration::from_secs(20), "drained within its deadline");
        let found = flows_on_log(folder)?;
        assert_eq!(found.len(), run as usize, "{found:?}");
        assert_eq!(found[0]["src_addr"], "192.0.2.1");
        assert_eq!(found[0]["dst_addr"], "198.51.100.7");
        assert_eq!(found[0]["bytes"], 4_200);
    }
    Ok(())
}

#[test]
fn a_taken_port_is_said_before_any_work() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (folder, taken) = (folder.path(), TcpListener::bind("127.0.0.1:0")?);
    let admin = taken.local_addr()?;
    let config = configuration(folder, admin, free_address()?)?;
    let output = gannet(folder, &["all", "--config", &config.display().to_string()])?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("cannot listen on {admin}")), "{said}");
    assert!(said.contains("GANNET__ADMIN__LISTEN"), "{said}");
    assert!(!folder.join("log.redb").exists(), "the log was made before the port was bound");
    Ok(())
}

#[test]
fn a_broken_configuration_ends_with_code_2_and_a_caret() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("bad.yaml"), "admin:\n  lisen: 127.0.0.1:1\n")?;
    let output = gannet(folder.path(), &["all", "--config", "bad.yaml"])?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2), "{said}");
    let wanted = "error: unknown key `lisen`\n --> bad.yaml:2:3\n  |\n2 |   lisen: 127.0.0.1:1\n  \
                  |   ^^^^^\n  = help: did you mean `listen`?\n";
    assert_eq!(said, wanted);
    Ok(())
}

/// The README's first command, with the default ports taken: it says its four times and the root,
/// and ends well. Where devices are deaf the repair is taken back, and it ends badly.
#[test]
fn the_demo_repairs_what_broke_or_says_that_it_did_not() -> Result<()> {
    let _taken = TcpListener::bind("127.0.0.1:8080");
    let demo = |more: &[&str]| -> Result<(bool, String)> {
        let folder = tempfile::tempdir()?;
        let args = [&["demo", "--approve", "--exit-after-repair"], more].concat();
        let output = gannet(folder.path(), &args)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success(), said + &String::from_utf8_lossy(&output.stderr)))
    };
    let (good, deaf) = std::thread::scope(|scope| {
        let good = scope.spawn(|| demo(&[]));
        let deaf = scope.spawn(|| demo(&["--deaf"]));
        (good.join().unwrap(), deaf.join().unwrap())
    });
    let (ended_well, said) = good?;
    ensure!(ended_well, "{said}");
    for words in ["ended as confirmed", "times: page", "root: interface", "peak memory"] {
        ensure!(said.contains(words), "no {words:?} in:\n{said}");
    }
    let (ended_well, said) = deaf?;
    ensure!(!ended_well && said.contains("ended as rolled-back"), "{said}");
    Ok(())
}
