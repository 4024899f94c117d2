//! Debian's snmpd inside a namespace: a real agent that tells of real interfaces, and lets them be
//! set by who has the other community.

use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};

use super::namespace::Namespace;

pub const READS: &str = "reading";
pub const WRITES: &str = "writing";
pub const PORT: u16 = 161;

/// Ended when it goes out of scope.
pub struct Snmpd {
    child: Child,
    log: std::path::PathBuf,
}

// === impl Snmpd ===

impl Snmpd {
    /// All of its files are in `dir`.
    pub fn start(namespace: &Namespace, dir: &Path) -> Result<Snmpd> {
        let address = namespace.address;
        let (config, log) = (dir.join("snmpd.conf"), dir.join("snmpd.log"));
        let text = format!(
            "agentAddress udp:{address}:{PORT}\nrocommunity {READS}\nrwcommunity {WRITES}\n"
        );
        std::fs::write(&config, text)?;
        let mut command = namespace.command("snmpd");
        // In the foreground, with this configuration and no other.
        command.args(["-f", "-C", "-c"]).arg(&config).arg("-Lf").arg(&log);
        command.arg("-p").arg(dir.join("snmpd.pid"));
        command.env("MIBS", "").env("SNMP_PERSISTENT_DIR", dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().context("snmpd does not start")?;
        Ok(Snmpd { child, log })
    }

    /// Fails where it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            bail!("snmpd ended with {status}: {log}");
        }
        Ok(())
    }
}

impl Drop for Snmpd {
    fn drop(&mut self) {
        // Already ended where it has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
