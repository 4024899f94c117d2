//! What Gannet does a second and how late it is, on real Kafka: rows per CPU second exactly once,
//! the delay of evidence, the time of a commit. `cargo xtask bench` starts the broker.

mod feed;
mod input;
mod latency;
mod machine;
mod process;
mod throughput;
mod timed;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

pub use machine::load;
pub use process::{BenchArgs, main as run_process};

/// What is measured.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchOptions {
    /// `host:port` of a broker.
    #[arg(long, env = "KAFKA_BOOTSTRAP")]
    pub kafka: String,
    /// Rows of the throughput runs.
    #[arg(long, default_value_t = 18_000_000)]
    pub rows: u64,
    /// Partitions of their topics.
    #[arg(long, default_value_t = 1)]
    pub partitions: u32,
    /// Leave the throughput out.
    #[arg(long)]
    pub latency_only: bool,
}

pub fn run(options: &BenchOptions) -> Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let now_ms = i64::try_from(since.as_millis())?;
    println!("evidence and commits on Kafka, load {}", machine::load());
    latency::run(&options.kafka, now_ms)?;
    if options.latency_only {
        return Ok(());
    }
    println!("rows from Kafka, load {}", machine::load());
    throughput::Bench::new(&options.kafka, options.rows, options.partitions, now_ms).run()
}
