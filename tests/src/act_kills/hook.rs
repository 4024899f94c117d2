//! The webhook's receiver: a tiny HTTP server that counts by the key that goes along.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use super::gate::{Gate, Stop};

/// Between two looks for a connection.
const LOOK: Duration = Duration::from_millis(5);
const READ_MAX: Duration = Duration::from_secs(5);

pub struct Hook {
    pub gate: Gate,
    pub port: u16,
    listener: TcpListener,
    /// The key of each request that was taken.
    made: Mutex<Vec<String>>,
}

// === impl Hook ===

impl Hook {
    pub fn bind() -> Result<Arc<Hook>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Arc::new(Hook { gate: Gate::default(), port, listener, made: Mutex::default() }))
    }

    /// Requests taken whose key has this in it.
    pub fn made(&self, part: &str) -> u32 {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.iter().filter(|key| key.contains(part)).count() as u32
    }

    /// Answers until it is told to stop, one connection after the other.
    pub fn serve(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            match self.listener.accept() {
                // A request that broke off is none.
                Ok((stream, _)) => drop(self.answer(stream)),
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }

    fn answer(&self, mut stream: TcpStream) -> Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(READ_MAX))?;
        let key = key_of(&stream)?;
        if self.gate.pass(&key, Stop::Arrived) {
            return Ok(());
        }
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(key.clone());
        if self.gate.pass(&key, Stop::Made) {
            return Ok(());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")?;
        self.gate.pass(&key, Stop::Answered);
        Ok(())
    }
}

/// Reads a whole request.
fn key_of(stream: &TcpStream) -> Result<String> {
    let (mut reader, mut key, mut len) = (BufReader::new(stream), None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() { break } else { continue }
        };
        match name.to_ascii_lowercase().as_str() {
            "idempotency-key" => key = Some(value.to_owned()),
            "content-length" => len = value.parse()?,
            _ => {}
        }
    }
    std::io::copy(&mut reader.take(len), &mut std::io::sink())?;
    key.context("a request without a key")
}
