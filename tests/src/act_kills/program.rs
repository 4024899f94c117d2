//! The command: a program that writes a line into a file where it begins and one where its work is
//! done, and waits there where it is told to. It outlives the act that began it, as programs do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::gate::{Spot, Stop};

pub struct Program {
    folder: PathBuf,
}

/// `GANNET_KEY` is the driver's; a file holds the one program whose key stands in it.
const TEXT: &str = "#!/bin/sh\n\
cd \"$(dirname \"$0\")\" || exit 1\n\
say() {\n\
  echo \"$1 $GANNET_KEY\" >> program.log\n\
  while [ \"$(cat \"hold-$1\" 2>/dev/null)\" = \"$GANNET_KEY\" ]; do sleep 0.01; done\n\
}\n\
say arrived\n\
say made\n";
const LOG: &str = "program.log";
const LOOK: Duration = Duration::from_millis(5);

// === impl Program ===

impl Program {
    pub fn write(folder: &Path) -> Result<Program> {
        let program = Program { folder: folder.to_owned() };
        fs::write(program.path(), TEXT)?;
        fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755))?;
        Ok(program)
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join("program.sh")
    }

    /// Times that its work was done under a key that has this in it.
    pub fn made(&self, part: &str) -> u32 {
        self.lines(Stop::Made, |key| key.contains(part))
    }

    pub fn arm(&self, spot: &Spot) -> Result<()> {
        Ok(fs::write(self.hold(spot.stop), &spot.subject)?)
    }

    /// Whether it has come to the place, waited for until a deadline.
    pub fn wait(&self, spot: &Spot, deadline: Instant) -> bool {
        let is_there = || self.lines(spot.stop, |key| key.ends_with(&spot.subject)) > 0;
        while !is_there() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    pub fn open(&self) {
        for stop in [Stop::Arrived, Stop::Made] {
            // Most often there is none.
            let _ = fs::remove_file(self.hold(stop));
        }
    }

    fn lines(&self, stop: Stop, is_it: impl Fn(&str) -> bool) -> u32 {
        let text = fs::read_to_string(self.folder.join(LOG)).unwrap_or_default();
        let keys = text.lines().filter_map(|line| line.strip_prefix(word(stop))?.strip_prefix(' '));
        keys.filter(|key| is_it(key)).count() as u32
    }

    fn hold(&self, stop: Stop) -> PathBuf {
        self.folder.join(format!("hold-{}", word(stop)))
    }
}

fn word(stop: Stop) -> &'static str {
    match stop {
        Stop::Arrived => "arrived",
        Stop::Made | Stop::Answered => "made",
    }
}
