//! The checks that take minutes, one subcommand each; `cargo xtask` calls them. Each ends with the
//! line `N passed, N failed, N skipped`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tests::crash::{Options, ProcessArgs, run_stage};

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    check: Check,
}

#[derive(Subcommand)]
enum Check {
    /// Queries cut in two phases against the same over the whole data.
    Cut {
        /// A dozen queries.
        #[arg(long)]
        short: bool,
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Rows a second of the two halves, and their cost a call.
    CutSpeed,
    /// Exactly once under crashes: in memory at every call, then kills on a real broker.
    Crash {
        /// A small input and six kills.
        #[arg(long)]
        short: bool,
        /// `host:port` of a broker to kill stages on.
        #[arg(long, env = "KAFKA_BOOTSTRAP")]
        kafka: Option<String>,
        /// Leave the part in memory out.
        #[arg(long)]
        kills_only: bool,
        #[arg(long, default_value_t = 0)]
        kills: u32,
    },
    /// A real exporter on a capture, and a real agent's interfaces, to an incident, on real Kafka;
    /// and two pollers.
    E2e {
        /// The capture; without one the check makes a SYN flood of its own.
        #[arg(long)]
        pcap: Option<PathBuf>,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Two exports instead of four.
        #[arg(long)]
        short: bool,
        #[arg(long, value_enum)]
        only: Option<tests::e2e::Part>,
    },
    /// Rows per CPU second from Kafka, the delay of evidence, the time of a commit.
    Bench(tests::bench::BenchOptions),
    /// Days of ordinary traffic through every stage: nothing may be said.
    History(tests::history::HistoryOptions),
    /// Each kind of fault, seed by seed, from the network to the verified repair.
    Scenarios(tests::scenarios::ScenarioOptions),
    /// `gannet demo` in a real browser, from the list to the verified repair.
    Browser(tests::browser::BrowserOptions),
    /// Act killed at each named point, against a device that counts.
    ActKills(tests::act_kills::ActKillsOptions),
    /// A run to be measured.
    #[command(hide = true)]
    BenchProcess(tests::bench::BenchArgs),
    /// A stage to be killed.
    #[command(hide = true)]
    StageProcess(ProcessArgs),
}

fn main() -> ExitCode {
    match Args::parse().check {
        Check::Cut { short, seed } => cut(tests::cut::CutOptions { short, seed }),
        Check::CutSpeed => speed(),
        Check::E2e { pcap, seed, short, only } => {
            e2e(&tests::e2e::E2eOptions { pcap, seed, short, only })
        }
        Check::Crash { short, kafka, kills_only, kills } => {
            crash(&Options { short, kafka, kills_only, kills })
        }
        Check::Bench(options) => done(tests::bench::run(&options)),
        Check::History(options) => done(tests::history::run(&options)),
        Check::Scenarios(options) => done(tests::scenarios::run(&options)),
        Check::Browser(options) => done(tests::browser::run(&options)),
        Check::ActKills(options) => done(tests::act_kills::run(&options)),
        Check::BenchProcess(args) => done(tests::bench::run_process(&args)),
        Check::StageProcess(args) => done(run_stage(&args)),
    }
}

fn cut(options: tests::cut::CutOptions) -> ExitCode {
    let report = tests::cut::run(options);
    println!("{report}");
    if report.failed() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn speed() -> ExitCode {
    match tests::cut::measure() {
        Ok(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn done(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn crash(options: &Options) -> ExitCode {
    match tests::crash::run(options) {
        Ok(score) if score.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn e2e(options: &tests::e2e::E2eOptions) -> ExitCode {
    match tests::e2e::run(options) {
        Ok(report) => {
            println!("{report}");
            if report.failed() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}
