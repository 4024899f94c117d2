//! `gannet decode`: captures and raw datagrams from files through the same engine as the network's,
//! flows as JSON lines. For looking at an exporter without a log; also what the decoders are
//! checked with against real data.

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use crate::engine::batch::FlowBatch;
use crate::engine::limits::Limits;
use crate::engine::message::Message;
use crate::engine::problem::Problems;
use crate::engine::{Counts, DomainReport, Engine};

pub mod fuzz;
pub mod json;
pub mod pcap;

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("failed to read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to decode {path}: {reason}")]
    Capture { path: PathBuf, reason: pcap::PcapError },
    #[error("failed to write flows")]
    Write(#[from] io::Error),
}

/// One datagram of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Datagram {
    pub received: i64,
    pub source: IpAddr,
    pub payload: Vec<u8>,
}

/// What was found in all files.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub counts: Counts,
    pub problems: Problems,
    pub waiting_sets: usize,
    /// Packets of a capture that are no whole UDP datagram.
    pub packets_skipped: u64,
    pub domains: Vec<DomainReport>,
}

/// Datagrams of a file: a capture where it begins like one, else one raw datagram.
pub fn read_file(path: &Path) -> Result<(Vec<Datagram>, u64), DecodeError> {
    let read = |source| DecodeError::Read { path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(read)?;
    if !pcap::is_capture(&bytes) {
        // A file has no receive time: the exporter's own stands in.
        let received = Message::read(&bytes).map_or(0, |message| message.export_ms);
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        return Ok((vec![Datagram { received, source, payload: bytes }], 0));
    }
    let capture = |reason| DecodeError::Capture { path: path.to_owned(), reason };
    let found = pcap::datagrams(&bytes).map_err(capture)?;
    Ok((found.datagrams, found.packets_skipped))
}

/// Decodes files in the order given and writes their flows as JSON lines. Data may come before its
/// templates.
pub fn decode_files(paths: &[PathBuf], out: &mut dyn Write) -> Result<Summary, DecodeError> {
    let limits = Limits { waiting_ms_max: i64::MAX / 4, ..Limits::default() };
    let mut engine = Engine::new(limits, model::DEFAULT_DOMAIN, "decode");
    let mut packets_skipped = 0;
    let mut now = i64::MIN;
    for path in paths {
        let (datagrams, skipped) = read_file(path)?;
        packets_skipped += skipped;
        for datagram in datagrams {
            now = now.max(datagram.received);
            engine.datagram(now, datagram.source, &datagram.payload);
            write_flows(&engine.take_flows(), out)?;
            discard_rows(&mut engine);
        }
    }
    engine.flush_flows();
    write_flows(&engine.take_flows(), out)?;
    Ok(Summary {
        counts: engine.counts(),
        problems: engine.problems().clone(),
        waiting_sets: engine.usage().waiting_sets,
        packets_skipped,
        domains: engine.close(),
    })
}

/// The ledger's rows are in the summary.
fn discard_rows(engine: &mut Engine) {
    engine.take_metrics();
    engine.take_events();
    engine.take_changes();
    engine.take_rejects();
}

fn write_flows(batches: &[FlowBatch], out: &mut dyn Write) -> Result<(), DecodeError> {
    for batch in batches {
        for row in 0..batch.batch.num_rows() {
            writeln!(out, "{}", json::row(&batch.batch, row))?;
        }
    }
    Ok(())
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        write!(f, "{} datagrams, {} flows", counts.datagrams, counts.records)?;
        write!(f, ", {} options records", counts.options_records)?;
        write!(f, ", {} repeated datagrams", counts.duplicates)?;
        write!(f, ", {} sets without a template", self.waiting_sets)?;
        write!(f, ", {} packets skipped", self.packets_skipped)?;
        for (reason, count) in self.problems.iter() {
            write!(f, "\nproblem: {}: {count}", reason.name())?;
        }
        for report in self.domains.iter().filter(|report| report.totals.lost > 0) {
            let lost = report.totals.lost;
            write!(f, "\nloss: {} domain {}: {lost}", report.exporter, report.domain)?;
        }
        Ok(())
    }
}
