//! Runs a program of the allow-list with a list of arguments: never a shell, never an inherited
//! environment, never longer than its time, never more output than is kept.
//!
//! Parameters: `program` (its name in the configuration); `arg0`, `arg1`, …; `input` (its standard
//! input).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use act::{Call, Driver, DriverError};

use crate::config::CommandConfig;

pub struct CommandDriver {
    programs: BTreeMap<String, PathBuf>,
    output_bytes_max: usize,
}

/// Between two looks at whether a program has ended.
const LOOK: Duration = Duration::from_millis(5);
/// Where programs are looked for by what they run.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

// === impl CommandDriver ===

impl CommandDriver {
    pub fn new(config: &CommandConfig) -> CommandDriver {
        let (programs, output_bytes_max) = (config.programs.clone(), config.output_bytes_max);
        CommandDriver { programs, output_bytes_max }
    }

    fn run(&self, call: &Call) -> Result<String, DriverError> {
        let name = call.parameter("program")?;
        let program = self.programs.get(name).ok_or_else(|| {
            DriverError::Refused(format!("{name:?} is not in drivers.command.programs"))
        })?;
        let mut child = Command::new(program)
            .args(arguments(call)?)
            .env_clear()
            .env("PATH", PATH)
            .env("GANNET_KEY", &call.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| DriverError::Unreached(format!("{}: {e}", program.display())))?;
        self.wait(&mut child, call)
    }

    fn wait(&self, child: &mut Child, call: &Call) -> Result<String, DriverError> {
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), call.parameters.get("input")) {
            let input = input.clone();
            // A program that does not read must not hold us.
            thread::spawn(move || stdin.write_all(input.as_bytes()));
        }
        let most = self.output_bytes_max;
        let stdout = child.stdout.take().map(|out| thread::spawn(move || bounded(out, most)));
        let stderr = child.stderr.take().map(|err| thread::spawn(move || bounded(err, most)));
        let deadline = Instant::now() + call.timeout();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
                Ok(None) => {
                    // It is ours alone; what it has begun outside is not known.
                    let _ = child.kill();
                    let _ = child.wait();
                    let limit = call.timeout();
                    return Err(DriverError::Unclear(format!("it ran for more than {limit:?}")));
                }
                Err(error) => return Err(DriverError::Unclear(error.to_string())),
            }
        };
        let text = |out: Option<thread::JoinHandle<String>>| {
            out.and_then(|out| out.join().ok()).unwrap_or_default()
        };
        let (stdout, stderr) = (text(stdout), text(stderr));
        match status.code() {
            Some(0) => Ok(stdout),
            // By convention it says that it failed; whether it did part of it, only it knows.
            Some(code) => {
                Err(DriverError::Refused(format!("it ended with {code}: {}", stderr.trim())))
            }
            None => Err(DriverError::Unclear("it was ended by a signal".to_owned())),
        }
    }
}

impl Driver for CommandDriver {
    /// A binding may have a command of its own that reads.
    fn can_read(&self) -> bool {
        true
    }

    fn read(&self, call: &Call) -> Result<String, DriverError> {
        self.run(call)
    }

    fn write(&self, call: &Call) -> Result<String, DriverError> {
        self.run(call)
    }
}

/// `arg0`, `arg1`, … without a gap.
fn arguments(call: &Call) -> Result<Vec<String>, DriverError> {
    let given = call.parameters.keys().filter(|name| name.starts_with("arg")).count();
    (0..given).map(|n| call.parameter(&format!("arg{n}")).map(str::to_owned)).collect()
}

/// The beginning of an output; the rest is read, so that the program can end, and forgotten.
fn bounded(mut out: impl Read, most: usize) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4_096]);
    while let Ok(len) = out.read(&mut buffer) {
        if len == 0 {
            break;
        }
        let room = most.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..len.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
