//! The checks that take minutes, one subcommand each; `cargo xtask` calls them. Each ends with the
//! line `N passed, N failed, N skipped`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    check: Check,
}

#[derive(Subcommand)]
enum Check {
    /// Exactly once under crashes: in memory at every call, then kills on a real broker.
    Crash {
        /// A small input and six kills.
        #[arg(long)]
        short: bool,
        /// `host:port` of a broker to kill stages on.
        #[arg(long, env = "KAFKA_BOOTSTRAP")]
        kafka: Option<String>,
    },
}

fn main() -> ExitCode {
    match Args::parse().check {
        Check::Crash { short, kafka } => crash(&tests::crash::Options { short, kafka }),
    }
}

fn crash(options: &tests::crash::Options) -> ExitCode {
    match tests::crash::run(options) {
        Ok(score) if score.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}
