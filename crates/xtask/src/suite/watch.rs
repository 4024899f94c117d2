//! A part that hangs: at its limit every program that it started is ended, so that it fails and the
//! run goes on. The broker that parts share is spared.

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::process;

/// Between two rounds of ending what a part over its limit still starts.
const AGAIN: Duration = Duration::from_secs(1);
/// A part that does not come back although all its programs are gone hangs in code of ours.
const ROUNDS_MAX: u32 = 60;

/// Watches one part while it lives.
pub struct Watch {
    over: SyncSender<()>,
    thread: JoinHandle<bool>,
}

// === impl Watch ===

impl Watch {
    /// Ends all descendants of the process `root` at the limit, but those whose command line holds
    /// `spared` and their own.
    pub fn start(root: u32, spared: &'static str, limit: Duration) -> Watch {
        let (over, is_over) = sync_channel(1);
        let thread = thread::spawn(move || watch(root, spared, limit, &is_over));
        Watch { over, thread }
    }

    /// The part is over; whether it was ended.
    pub fn end(self) -> bool {
        // The watcher waits for nothing else.
        let _ = self.over.send(());
        self.thread.join().unwrap_or(false)
    }
}

fn watch(root: u32, spared: &str, limit: Duration, is_over: &Receiver<()>) -> bool {
    if is_over.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
        return false;
    }
    for _ in 0..ROUNDS_MAX {
        for pid in descendants(root, spared) {
            // It may have ended by itself by now.
            let _ = process::signal(pid, "KILL");
        }
        if is_over.recv_timeout(AGAIN) != Err(RecvTimeoutError::Timeout) {
            return true;
        }
    }
    eprintln!("xtask: a part hangs in xtask itself");
    descendants(root, "").into_iter().for_each(|pid| drop(process::signal(pid, "KILL")));
    std::process::exit(1)
}

/// Every living process below `root`, without those that are spared and what is below them.
fn descendants(root: u32, spared: &str) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some((pid, parent)) = pid.and_then(|pid| Some((pid, parent(pid)?))) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let is_spared = |pid: u32| {
        let line = process::command_line(pid).unwrap_or_default();
        !spared.is_empty() && line.contains(spared)
    };
    let (mut found, mut open) = (Vec::new(), vec![root]);
    while let Some(next) = open.pop() {
        let below = children.remove(&next).unwrap_or_default();
        let below: Vec<u32> = below.into_iter().filter(|pid| !is_spared(*pid)).collect();
        open.extend(&below);
        found.extend(below);
    }
    found
}

/// Field 4 of `/proc/PID/stat`; the name before it stands in brackets and may hold any character
/// (proc(5)).
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(1)?.parse().ok()
}
