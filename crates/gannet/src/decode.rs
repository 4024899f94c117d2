//! `gannet decode`: flows of captures and raw datagrams, with no log.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

#[derive(Debug, Args)]
pub struct DecodeArgs {
    /// Captures (pcap, pcapng), or files of one datagram each; templates and data in any order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Flows as JSON lines; without it only what was found in all
    #[arg(long)]
    json: bool,
}

pub fn run(args: &DecodeArgs, out: &mut (dyn Write + Send)) -> Result<()> {
    if !args.json {
        let summary = ingest::decode_files(&args.files, &mut std::io::sink())?;
        writeln!(out, "{summary}")?;
        return Ok(());
    }
    let mut out = BufWriter::new(out);
    let summary = ingest::decode_files(&args.files, &mut out)?;
    out.flush()?;
    eprintln!("{summary}");
    Ok(())
}
