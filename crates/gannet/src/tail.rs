//! `gannet tail TOPIC`: what committed messages of any topic say, as JSON lines or a table.

mod show;

use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bus::topics::catalogue;
use bus::{BusConfig, Log, ReadEvent, Reader};
use clap::Args;
use runtime::config::nearest;
use runtime::process;
use runtime::shutdown::Shutdown;

use crate::cli::ConfigArgs;
use crate::config;
use show::{Shape, Shower};

const POLL: Duration = Duration::from_millis(200);
/// Silence after which a partition that did not end is given up, without `--follow`.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub struct TailArgs {
    /// The topic: `flows`, `incidents.v1`, `flows.v1.dlq` or a full name
    topic: String,
    #[command(flatten)]
    config: ConfigArgs,
    /// JSON lines instead of a table
    #[arg(long)]
    json: bool,
    /// Where to begin: a time (RFC 3339 or ms since 1970), `beginning` or `end`
    #[arg(long, default_value = "beginning")]
    from: String,
    /// Go on with what comes
    #[arg(long)]
    follow: bool,
    /// Each message's headers too, and messages without rows
    #[arg(long)]
    headers: bool,
}

pub fn run(args: &TailArgs, out: &mut (dyn Write + Send)) -> Result<()> {
    let loaded = config::load(&args.config.config)?;
    let bus = &loaded.value.bus;
    let topic = full_name(bus, &args.topic)?;
    let opened = bus::open(bus);
    let log = match bus.engine {
        bus::config::Engine::Kafka => opened?,
        bus::config::Engine::Embedded => {
            opened.context("cannot open the embedded log (one process at a time may have it)")?
        }
    };
    let shutdown = Shutdown::new();
    process::handle_signals(shutdown.clone())?;
    let shape = if args.json { Shape::Json } else { Shape::Table };
    let mut out = BufWriter::new(out);
    let mut shower = Shower::new(shape, args.headers, bus.limits.clone());
    let ended = follow(args, &log, &topic, &shutdown, |record| {
        shower.record(record, &mut out)?;
        Ok(out.flush()?)
    });
    // A reader that has seen enough (`| head`) is no failure.
    match ended {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        ended => ended,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let broken = std::io::ErrorKind::BrokenPipe;
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == broken)
}

fn follow(
    args: &TailArgs,
    log: &Arc<dyn Log>,
    topic: &str,
    shutdown: &Shutdown,
    mut show: impl FnMut(&bus::Record) -> Result<()>,
) -> Result<()> {
    let mut reader = log.reader()?;
    let mut from = bus::from_start(&**log, &mut *reader, topic)?;
    for (_, partition, first) in &mut from {
        *first = first_offset(&mut *reader, topic, *partition, &args.from)?;
    }
    reader.assign(&from)?;
    let mut open: Vec<u32> = from.iter().map(|(_, partition, _)| *partition).collect();
    let mut heard = Instant::now();
    while !shutdown.requested() && (args.follow || !open.is_empty()) {
        match reader.poll(POLL)? {
            ReadEvent::Record(record) => {
                heard = Instant::now();
                show(&record)?;
            }
            ReadEvent::End { partition, .. } => open.retain(|p| *p != partition),
            ReadEvent::Idle if args.follow || heard.elapsed() < PATIENCE => {}
            ReadEvent::Idle => bail!("partitions {open:?} of {topic} did not come to their end"),
        }
    }
    Ok(())
}

fn first_offset(reader: &mut dyn Reader, topic: &str, partition: u32, from: &str) -> Result<i64> {
    let (start, end) = reader.range(topic, partition)?;
    Ok(match from {
        "beginning" => start,
        "end" => end,
        time => {
            let ms = model::time::parse(time)
                .with_context(|| format!("not a time, `beginning` or `end`: {time}"))?;
            reader.offset_at(topic, partition, ms)?
        }
    })
}

/// `flows` is `gannet.flows.v1`.
fn full_name(bus: &BusConfig, topic: &str) -> Result<String> {
    let known: Vec<String> = catalogue(bus).into_iter().map(|spec| spec.name).collect();
    let meant = [topic.to_owned(), bus.topic(topic), bus.topic(&format!("{topic}.v1"))];
    if let Some(name) = meant.iter().find(|name| known.contains(name)) {
        return Ok(name.clone());
    }
    let short = |name: &'_ str| name.trim_start_matches(&bus.prefix).to_owned();
    let short: Vec<String> = known.iter().map(|name| short(name)).collect();
    match nearest(topic, short.iter().map(String::as_str)) {
        Some(near) => bail!("there is no topic `{topic}`: did you mean `{near}`?"),
        None => bail!("there is no topic `{topic}`: {}", short.join(", ")),
    }
}
