//! The binary as a process: started, waited for, asked by its pages, ended. The tests beside it
//! run it on the embedded log on disk, which one process has at a time; those on Kafka are in
//! modules of their own.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// For a start with an empty log, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The shipped drain, and what ends around it.
const STOP_WITHIN: Duration = Duration::from_secs(25);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Lines of its output that a failure shows.
const TAIL_LINES: usize = 40;

/// The binary beside the one that runs, a test's or the lab's: `cargo xtask test` builds both.
pub fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own.ancestors().map(|dir| dir.join("gannet")).find(|path| path.is_file());
    found.context("no gannet binary beside this one: cargo build --release")
}

/// A process of the product; killed when it goes out of scope.
pub struct Gannet {
    /// What it was started as: `detect`, `all`, …
    pub name: String,
    pub admin: SocketAddr,
    child: Child,
    log: PathBuf,
}

/// Copies a folder's files into another, and those of the folders in it.
pub fn copied(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("no folder {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&to)?;
            copied(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

/// An address of loopback that nobody had a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

// === impl Gannet ===

impl Gannet {
    /// Starts `gannet ARGS` in a folder, its admin server on a free port, its output in a file.
    pub fn start(folder: &Path, args: &[&str]) -> Result<Gannet> {
        let admin = free_address()?;
        let name = args.first().copied().unwrap_or_default().to_owned();
        let log = folder.join(format!("{name}-{}.log", admin.port()));
        let output = fs::File::create(&log)?;
        let mut command = Command::new(binary()?);
        command.args(args).current_dir(folder).env("GANNET__ADMIN__LISTEN", admin.to_string());
        command.env("GANNET__CONSOLE__LISTEN", "127.0.0.1:0");
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        Ok(Gannet { name, admin, child: command.spawn()?, log })
    }

    pub fn wait_until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.check()?;
            let answer = get(self.admin, "/-/ready");
            if answer.as_ref().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(());
            }
            ensure!(begun.elapsed() < READY_WITHIN, "not ready: {answer:?}\n{}", self.output());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Fails where it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} ended with {status}:\n{}", self.name, self.output());
        }
        Ok(())
    }

    /// The sum of a metric over all samples whose line has each of the words.
    pub fn metric(&self, name: &str, words: &[&str]) -> Result<f64> {
        let page = page(self.admin, "/metrics")?;
        let is_name = |line: &&str| line.split(['{', ' ']).next() == Some(name);
        let has_words = |line: &&str| words.iter().all(|word| line.contains(word));
        let samples = page.lines().filter(is_name).filter(has_words);
        Ok(samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Waits until a metric (the sum over its labels) has at least a value.
    pub fn wait_for_metric(&self, name: &str, least: f64) -> Result<()> {
        let begun = Instant::now();
        loop {
            let value = self.metric(name, &[])?;
            if value >= least {
                return Ok(());
            }
            ensure!(begun.elapsed() < READY_WITHIN, "{name} is {value}\n{}", self.output());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// SIGTERM; the exit code.
    pub fn stop(mut self) -> Result<i32> {
        self.terminate()?;
        self.end(STOP_WITHIN)
    }

    pub fn terminate(&self) -> Result<()> {
        let id = self.child.id().to_string();
        ensure!(Command::new("kill").args(["-TERM", &id]).status()?.success(), "kill failed");
        Ok(())
    }

    /// Waits for its end; the exit code.
    pub fn end(&mut self, limit: Duration) -> Result<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return status.code().with_context(|| format!("{status}:\n{}", self.output()));
            }
            let name = &self.name;
            ensure!(begun.elapsed() < limit, "{name} still runs:\n{}", self.output());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The last lines of what it said.
    pub fn output(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }
}

impl Drop for Gannet {
    fn drop(&mut self) {
        // Already ended where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer of a page, its head included, whatever its status.
pub fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The body of a page; an error where its status is not 200.
pub fn page(address: SocketAddr, path: &str) -> Result<String> {
    let answer = get(address, path)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of the headers")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
    Ok(body.to_owned())
}

/// A command of the binary, to its end.
pub fn gannet(folder: &Path, args: &[&str]) -> Result<Output> {
    Ok(Command::new(binary()?).args(args).current_dir(folder).output()?)
}

/// Octets of the one flow in a `v5_datagram`.
pub const V5_OCTETS: u32 = 4_200;

/// One NetFlow v5 datagram with one record (Cisco NetFlow Export Datagram Format, tables B-3, B-4).
pub fn v5_datagram(sequence: u32, seconds: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(72);
    let mut put = |part: &[u8]| bytes.extend_from_slice(part);
    put(&5_u16.to_be_bytes());
    put(&1_u16.to_be_bytes());
    put(&60_000_u32.to_be_bytes()); // uptime, ms
    put(&seconds.to_be_bytes());
    put(&0_u32.to_be_bytes());
    put(&sequence.to_be_bytes());
    put(&[0, 0, 0, 0]); // engine, no sampling
    put(&[192, 0, 2, 1]); // source
    put(&[198, 51, 100, 7]); // destination
    put(&[0, 0, 0, 0]); // next hop
    put(&1_u16.to_be_bytes());
    put(&2_u16.to_be_bytes());
    put(&10_u32.to_be_bytes()); // packets
    put(&V5_OCTETS.to_be_bytes());
    put(&50_000_u32.to_be_bytes()); // first, uptime
    put(&59_000_u32.to_be_bytes()); // last
    put(&40_000_u16.to_be_bytes());
    put(&443_u16.to_be_bytes());
    put(&[0, 0x18, 6, 0]); // pad, flags, TCP, ToS
    put(&[0; 8]); // AS numbers, masks, pad
    bytes
}

#[cfg(test)]
mod print;
pub mod site;
#[cfg(test)]
mod tests;
