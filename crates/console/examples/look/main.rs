//! `cargo run --release -p console --example look [ADDRESS]`: the pages over a log in memory with
//! incidents of every kind, to look at them while working on them. Approving a repair here writes
//! the approval to that log, and nobody acts on it.

mod seed;

use std::sync::Arc;

use bus::{BusConfig, EmbeddedLog, Log};
use console::{Bound, ConsoleConfig};
use runtime::process;
use runtime::shutdown::Shutdown;
use runtime::task::{Clock, SystemClock};

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut config = ConsoleConfig { fallback: true, ..ConsoleConfig::default() };
    if let Some(address) = std::env::args().nth(1) {
        config.listen = address.parse()?;
    }
    let bound = Bound::bind(&config)?;
    let bus = BusConfig::default();
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::in_memory()?);
    bus::topics::apply(log.admin(), &bus::topics::catalogue(&bus))?;
    seed::network(&*log, &bus, SystemClock::default().wall_ms())?;
    let shutdown = Shutdown::new();
    process::handle_signals(shutdown.clone())?;
    println!("{}", bound.url());
    console::run(&config, bound, &log, &bus, "look", None, &shutdown)?;
    Ok(())
}
