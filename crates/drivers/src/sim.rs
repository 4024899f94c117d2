//! The command line of a simulated device: a line over TCP; its output, then `ok` or
//! `error: REASON`.
//!
//! Parameters: `line`.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use act::{Call, Driver, DriverError};

use crate::config::SimConfig;

pub struct SimDriver {
    port: u16,
    answer_bytes_max: usize,
}

// === impl SimDriver ===

impl SimDriver {
    pub fn new(config: &SimConfig) -> SimDriver {
        SimDriver { port: config.port, answer_bytes_max: config.answer_bytes_max }
    }

    fn say(&self, call: &Call) -> Result<String, DriverError> {
        let (target, line) = (call.target()?, call.parameter("line")?);
        if line.contains(['\n', '\r']) {
            return Err(DriverError::Refused("a command is one line".to_owned()));
        }
        let unreached = |e: &dyn std::fmt::Display| DriverError::Unreached(e.to_string());
        let deadline = Instant::now() + call.timeout();
        let mut addresses =
            (target.address.as_str(), self.port).to_socket_addrs().map_err(|e| unreached(&e))?;
        let address = addresses.next().ok_or_else(|| unreached(&"it has no address"))?;
        let mut stream =
            TcpStream::connect_timeout(&address, left(deadline)).map_err(|e| unreached(&e))?;
        let unclear = |e: std::io::Error| DriverError::Unclear(e.to_string());
        stream.set_write_timeout(Some(left(deadline))).map_err(|e| unreached(&e))?;
        stream.write_all(format!("{line}\n").as_bytes()).map_err(unclear)?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 4_096]);
        loop {
            if Instant::now() >= deadline {
                return Err(DriverError::Unclear("no answer in time".to_owned()));
            }
            stream.set_read_timeout(Some(left(deadline))).map_err(unclear)?;
            let len = stream.read(&mut buffer).map_err(unclear)?;
            answer.extend_from_slice(&buffer[..len]);
            if let Some(end) = ended(&answer) {
                return end;
            }
            if len == 0 {
                return Err(DriverError::Unclear("it hung up without an answer".to_owned()));
            }
            if answer.len() > self.answer_bytes_max {
                return Err(DriverError::Unclear("its answer is too long".to_owned()));
            }
        }
    }
}

impl Driver for SimDriver {
    fn can_read(&self) -> bool {
        true
    }

    fn read(&self, call: &Call) -> Result<String, DriverError> {
        self.say(call)
    }

    fn write(&self, call: &Call) -> Result<String, DriverError> {
        self.say(call)
    }
}

/// A socket's timeout may not be zero.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// The whole answer, once its last line is there.
fn ended(answer: &[u8]) -> Option<Result<String, DriverError>> {
    let text = String::from_utf8_lossy(answer);
    let whole = text.strip_suffix('\n')?;
    let (output, last) = whole.rsplit_once('\n').unwrap_or(("", whole));
    if last == "ok" {
        return Some(Ok(output.to_owned()));
    }
    let reason = last.strip_prefix("error: ")?;
    Some(Err(DriverError::Refused(reason.to_owned())))
}
