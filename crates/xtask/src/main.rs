//! The command line of the project's automation; the work is in the library's modules.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use xtask::{compose, fuzz, kafka, lab, python, reference, suite, tidy, workspace};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and check Gannet")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the tests; the last line is `N passed, N failed, N skipped`
    Test {
        /// Leave out what needs more than Rust
        #[arg(long)]
        fast: bool,
        /// What must be there: its absence is a failure (kafka, python, softflowd, snmpd, browser)
        #[arg(long, value_delimiter = ',')]
        require: Vec<String>,
        /// Run these parts only
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Check what STYLE.md and ARCHITECTURE.md say, as far as a program can
    Tidy {
        /// First write the columns of schemas/*.toml into the list of what is promised
        #[arg(long)]
        promise: bool,
    },
    /// Make the pages of docs/reference from the code and the schemas
    Docs,
    /// Apache Kafka on this machine
    #[command(subcommand)]
    Kafka(Kafka),
    /// Check docker-compose.yml, and start what it says as processes
    Compose,
    /// Queries cut in two against the whole
    #[command(disable_help_flag = true)]
    Cut(Passed),
    /// Crashes at every step, and kills on Kafka
    #[command(disable_help_flag = true)]
    Crash(Passed),
    /// Act killed at each named point on Kafka, against a device that counts
    #[command(disable_help_flag = true)]
    ActKills(Passed),
    /// A real exporter and a real SNMP agent, Kafka and every stage, to the incident
    #[command(disable_help_flag = true)]
    E2e(Passed),
    /// Run the fuzz targets, see docs/fuzzing.md
    Fuzz {
        /// One target; all if not given
        target: Option<String>,
        /// Inputs of each; as many as its table says if not given
        #[arg(long)]
        runs: Option<u64>,
    },
    /// Measurements
    #[command(disable_help_flag = true)]
    Bench(Passed),
    /// `gannet demo` in chromium, from the list to the verified repair
    #[command(disable_help_flag = true)]
    Browser(Passed),
    /// Each kind of fault, seed by seed, from the simulated network to the verified repair
    #[command(disable_help_flag = true)]
    Scenarios(Passed),
    /// Days of ordinary traffic through every stage, in simulated time
    #[command(disable_help_flag = true)]
    History(Passed),
}

/// What the lab's own subcommand reads.
#[derive(clap::Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

#[derive(Subcommand)]
enum Kafka {
    /// Fetch its jars from Maven
    Fetch,
    /// Start one broker in the background and print its address
    Start {
        /// Port on 127.0.0.1; a free one if not given
        #[arg(long)]
        port: Option<u16>,
        /// Allow consumer sessions of 1 s
        #[arg(long)]
        fast_timeouts: bool,
        /// Ask clients who they are: SASL/PLAIN, and what nobody has allowed is refused
        #[arg(long)]
        sasl: bool,
    },
    /// Stop it
    Stop,
    /// Say whether it runs and where
    Status,
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `false` when what was checked did not pass.
fn run(command: Command) -> Result<bool> {
    match command {
        Command::Test { fast, require, only } => {
            return suite::run(&suite::Options { fast, require, only });
        }
        Command::Tidy { promise } => run_tidy(promise)?,
        Command::Docs => println!("{}", reference::write(&workspace::root())?.join(", ")),
        Command::Kafka(command) => run_kafka(command)?,
        Command::Compose => {
            let python = python::interpreter()?;
            compose::check_file(&python)?;
            lab::build("gannet")?;
            println!("started and ended: {}", compose::start_each(Some(&python))?);
        }
        Command::Cut(passed) => lab::run("cut", &passed.args)?,
        Command::Crash(passed) => lab::run("crash", &passed.args)?,
        Command::ActKills(passed) => lab::run("act-kills", &passed.args)?,
        Command::E2e(passed) => lab::run("e2e", &passed.args)?,
        Command::Fuzz { target, runs } => fuzz::run(target.as_deref(), runs)?,
        Command::Bench(passed) => lab::run("bench", &passed.args)?,
        Command::Browser(passed) => lab::run("browser", &passed.args)?,
        Command::Scenarios(passed) => lab::run("scenarios", &passed.args)?,
        Command::History(passed) => lab::run("history", &passed.args)?,
    }
    Ok(true)
}

fn run_tidy(promise: bool) -> Result<()> {
    if promise {
        tidy::promise(&workspace::root())?;
    }
    let findings = tidy::run(&workspace::root())?;
    for finding in &findings {
        println!("{finding}");
    }
    ensure!(findings.is_empty(), "{} findings", findings.len());
    println!("tidy");
    Ok(())
}

fn run_kafka(command: Kafka) -> Result<()> {
    match command {
        Kafka::Fetch => println!("{}", kafka::fetch()?.display()),
        Kafka::Start { port, fast_timeouts, sasl } => {
            let access = if sasl { kafka::Access::Asked } else { kafka::Access::Open };
            println!("{}", kafka::start(port, fast_timeouts, access)?);
        }
        Kafka::Stop => println!("{}", if kafka::stop()? { "stopped" } else { "none ran" }),
        Kafka::Status => match kafka::status() {
            Some((bootstrap, pid)) => println!("{bootstrap} (process {pid})"),
            None => println!("not running; start it with `cargo xtask kafka start`"),
        },
    }
    Ok(())
}
