//! A network namespace: its management interface is reached from here, and the other ends of its
//! ports stay here, where a cable can be pulled. It goes with what is in it.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

pub struct Namespace {
    pub name: String,
    /// Its management address.
    pub address: Ipv4Addr,
    id: u32,
}

/// What this machine makes of the wish for one.
pub enum Made {
    Here(Namespace),
    /// With `ip`'s own words.
    NotAllowed(String),
}

/// Said where the user, the container or the kernel does not let us.
const NOT_ALLOWED: [&str; 5] = [
    "Operation not permitted",
    "Permission denied",
    "Operation not supported",
    "Unknown device type",
    "ip cannot be run",
];

// === impl Namespace ===

impl Namespace {
    /// With a management interface and these ports, all of them up.
    pub fn make(ports: &[&str]) -> Result<Made> {
        let id = std::process::id();
        // Networks of four addresses in what is set aside for benchmarks (RFC 2544, RFC 6815).
        let network = 0xc612_0000 | ((id << 2) & 0xffff);
        let (outer, address) = (Ipv4Addr::from(network + 1), Ipv4Addr::from(network + 2));
        let namespace = Namespace { name: format!("gannet-{id}"), address, id };
        let made = namespace.build(ports, outer);
        match made {
            Ok(()) => Ok(Made::Here(namespace)),
            Err(error) => {
                let reason = format!("{error:#}");
                let is_refusal = NOT_ALLOWED.iter().any(|words| reason.contains(words));
                if is_refusal { Ok(Made::NotAllowed(reason)) } else { Err(error) }
            }
        }
    }

    fn build(&self, ports: &[&str], outer: Ipv4Addr) -> Result<()> {
        ip(&["netns", "add", &self.name])?;
        ["mgmt0"].iter().chain(ports).try_for_each(|port| self.cable(port))?;
        ip(&["addr", "add", &format!("{outer}/30"), "dev", &self.outer("mgmt0")])?;
        self.ip(&["addr", "add", &format!("{}/30", self.address), "dev", "mgmt0"])?;
        self.set("lo", "up")
    }

    fn cable(&self, port: &str) -> Result<()> {
        let (outer, inside) = (self.outer(port), &self.name);
        let ends = ["type", "veth", "peer", "name", port, "netns", inside];
        ip(&[&["link", "add", &outer][..], &ends].concat())?;
        self.set(port, "up")?;
        self.set_outer(port, "up")
    }

    /// `up` or `down`, as an administrator says it.
    pub fn set(&self, port: &str, state: &str) -> Result<()> {
        self.ip(&["link", "set", port, state]).map(drop)
    }

    /// The same of the other end: the port itself stays as its administrator wants it.
    pub fn set_outer(&self, port: &str, state: &str) -> Result<()> {
        ip(&["link", "set", &self.outer(port), state]).map(drop)
    }

    /// Whether the kernel has the port up, and a carrier.
    pub fn is_up(&self, port: &str) -> Result<bool> {
        let line = self.ip(&["-o", "link", "show", port])?;
        let flags = line.split(['<', '>']).nth(1).context("ip shows no flags")?;
        let has = |flag| flags.split(',').any(|one| one == flag);
        Ok(has("UP") && has("LOWER_UP"))
    }

    /// A command that runs inside, still without its arguments.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    fn ip(&self, args: &[&str]) -> Result<String> {
        ip(&[&["-n", &self.name][..], args].concat())
    }

    /// At most the 15 characters that a name may have.
    fn outer(&self, port: &str) -> String {
        format!("g{}-{port}", self.id)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The kernel takes both ends of its cables with it.
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(args: &[&str]) -> Result<String> {
    let output = match Command::new("ip").args(args).output() {
        Ok(output) => output,
        Err(error) => bail!("ip cannot be run: {error}"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", args.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
