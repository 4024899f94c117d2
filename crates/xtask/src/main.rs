//! The command line of the project's automation; the work is in the library's modules.

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use xtask::{kafka, tidy, workspace};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and check Gannet")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check what STYLE.md and ARCHITECTURE.md say, as far as a program can
    Tidy,
    /// Apache Kafka on this machine
    #[command(subcommand)]
    Kafka(Kafka),
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
    },
    /// Stop it
    Stop,
    /// Say whether it runs and where
    Status,
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Tidy => run_tidy(),
        Command::Kafka(command) => run_kafka(command),
    }
}

fn run_tidy() -> Result<()> {
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
        Kafka::Start {
            port,
            fast_timeouts,
        } => println!("{}", kafka::start(port, fast_timeouts)?),
        Kafka::Stop => println!(
            "{}",
            if kafka::stop()? {
                "stopped"
            } else {
                "none ran"
            }
        ),
        Kafka::Status => match kafka::status() {
            Some((bootstrap, pid)) => println!("{bootstrap} (process {pid})"),
            None => println!("not running; start it with `cargo xtask kafka start`"),
        },
    }
    Ok(())
}
