//! `gannet ingest --print`: flows and messages as JSON lines, with no log and no file.

use std::io::Write;

use anyhow::Result;
use ingest::{IngestConfig, Listeners};
use runtime::process;
use runtime::shutdown::Shutdown;

pub fn run(listen: Vec<String>, out: &mut (dyn Write + Send)) -> Result<()> {
    let mut config = IngestConfig::default();
    if !listen.is_empty() {
        config.listen = listen;
    }
    let shutdown = Shutdown::new();
    process::handle_signals(shutdown.clone())?;
    let listeners = Listeners::bind(&config)?;
    for name in listeners.names() {
        eprintln!("receiving on {name}, Ctrl-C ends");
    }
    let report = ingest::print(&config, &listeners, &shutdown, out)?;
    eprintln!("{} datagrams, {} flows", report.counts.datagrams, report.counts.records);
    Ok(())
}
