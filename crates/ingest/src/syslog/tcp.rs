//! Senders over TCP: one thread serves all connections of an address, waiting for any of them to
//! have something. What cannot be taken now is not read, so that the sender waits and nothing that
//! the kernel has acknowledged is thrown away.

use std::io::{self, Read};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};

use super::SyslogConfig;
use super::frame::Framer;
use crate::clock::Clock;
use crate::metrics as names;
use crate::receive::{Chunk, Kind, Shared, readable};

/// Taken of one connection before the next one's turn.
const READ_BYTES: usize = 64 << 10;
/// How long to wait where the queue is full or no descriptor is free, before looking again.
const FULL_WAIT: Duration = Duration::from_millis(10);

/// What a listener keeps to.
#[derive(Clone, Debug)]
pub struct Rules {
    pub message_bytes_max: usize,
    pub connections_max: usize,
    pub idle: Duration,
    pub queue_bytes_max: usize,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The sender ended it.
    Ended,
    /// It was silent for too long.
    Idle,
    /// It was one too many.
    Refused,
    /// A length beyond all bounds: the stream cannot be read on.
    Length,
    Error,
    Shutdown,
}

/// All connections of one address.
pub struct Tcp<'a> {
    listener: &'a TcpListener,
    rules: Rules,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    from: IpAddr,
    framer: Framer,
    heard: Instant,
}

// === impl Closed ===

impl Closed {
    fn reason(self) -> &'static str {
        match self {
            Closed::Ended => "ended",
            Closed::Idle => "idle",
            Closed::Refused => "refused",
            Closed::Length => "length",
            Closed::Error => "error",
            Closed::Shutdown => "shutdown",
        }
    }
}

// === impl Rules ===

impl Rules {
    pub fn new(config: &SyslogConfig, queue_bytes_max: usize) -> Rules {
        Rules {
            message_bytes_max: config.message_bytes_max,
            connections_max: config.connections_max,
            idle: Duration::from_secs(config.idle_s),
            queue_bytes_max,
        }
    }
}

// === impl Tcp ===

impl Tcp<'_> {
    pub fn new(listener: &TcpListener, rules: Rules) -> Tcp<'_> {
        Tcp { listener, rules, connections: Vec::new(), buffer: vec![0; READ_BYTES] }
    }

    /// Receives until `stop` says so or the decoder is gone.
    pub fn receive(
        &mut self,
        clock: &Clock,
        queue: &Sender<Chunk>,
        shared: &Shared,
        stop: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        while !stop() {
            if shared.is_full(self.rules.queue_bytes_max) {
                // The sender's own buffers hold it: TCP is not read and not acknowledged further.
                std::thread::sleep(FULL_WAIT);
                continue;
            }
            let ready = readable(&self.descriptors())?;
            let mut chunk = Chunk::new(Kind::Syslog, clock.now());
            // From the last: one that ends leaves its place to one that was looked at.
            for at in (0..self.connections.len()).rev().filter(|at| ready[at + 1]) {
                self.read(at, &mut chunk);
            }
            if ready[0] {
                self.accept()?;
            }
            self.end_idle(&mut chunk);
            if !shared.put(queue, chunk) {
                break;
            }
        }
        let mut chunk = Chunk::new(Kind::Syslog, clock.now());
        while let Some(last) = self.connections.len().checked_sub(1) {
            self.close(last, Closed::Shutdown, &mut chunk);
        }
        shared.put(queue, chunk);
        Ok(())
    }

    /// The listener's, then those of the connections in their order.
    fn descriptors(&self) -> Vec<RawFd> {
        let connections = self.connections.iter().map(|one| one.stream.as_raw_fd());
        std::iter::once(self.listener.as_raw_fd()).chain(connections).collect()
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let (stream, address) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The sender was gone before its turn, or no descriptor is free for it.
                Err(error) => {
                    tracing::debug!(%error, "a sender of syslog was not accepted");
                    count(Closed::Error);
                    std::thread::sleep(FULL_WAIT);
                    return Ok(());
                }
            };
            if self.connections.len() >= self.rules.connections_max {
                count(Closed::Refused);
                continue;
            }
            stream.set_nonblocking(true)?;
            let framer = Framer::new(self.rules.message_bytes_max);
            let (from, heard) = (address.ip().to_canonical(), Instant::now());
            self.connections.push(Connection { stream, from, framer, heard });
            gauge!(names::SYSLOG_CONNECTIONS).increment(1.0);
        }
    }

    /// Takes what one connection has, at most a buffer of it.
    fn read(&mut self, at: usize, chunk: &mut Chunk) {
        let connection = &mut self.connections[at];
        let from = connection.from;
        let closed = match connection.stream.read(&mut self.buffer) {
            Ok(0) => Some(Closed::Ended),
            Ok(len) => {
                connection.heard = Instant::now();
                let each = &mut |message: &[u8]| chunk.push(from, message);
                connection.framer.push(&self.buffer[..len], each).err().map(|_| Closed::Length)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => None,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => None,
            Err(_) => Some(Closed::Error),
        };
        if let Some(reason) = closed {
            self.close(at, reason, chunk);
        }
    }

    fn end_idle(&mut self, chunk: &mut Chunk) {
        let idle = self.rules.idle;
        for at in (0..self.connections.len()).rev() {
            if self.connections[at].heard.elapsed() >= idle {
                self.close(at, Closed::Idle, chunk);
            }
        }
    }

    /// What has come of a message that never ended is a message, too.
    fn close(&mut self, at: usize, reason: Closed, chunk: &mut Chunk) {
        let connection = self.connections.swap_remove(at);
        let unfinished = connection.framer.unfinished();
        if !unfinished.is_empty() {
            chunk.push(connection.from, unfinished);
            counter!(names::SYSLOG_UNFINISHED).increment(1);
        }
        count(reason);
        gauge!(names::SYSLOG_CONNECTIONS).decrement(1.0);
    }
}

fn count(reason: Closed) {
    counter!(names::SYSLOG_CLOSED, "reason" => reason.reason()).increment(1);
}
