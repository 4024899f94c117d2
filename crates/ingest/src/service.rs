//! Sockets, the engine and the log put together: receive threads fill a bounded queue, one thread
//! decodes and publishes. `IngestFeed` is the same without sockets and clock, for simulated time.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use bus::{BusConfig, Log, LogError, Time};
use metrics::counter;
use model::rows::{Event, Metric, RowError};
use model::schema;
use runtime::shutdown::Shutdown;

use crate::clock::Clock;
use crate::config::{BadListener, IngestConfig};
use crate::decode::json;
use crate::devices::Devices;
use crate::engine::domain::Change;
use crate::engine::join::Names;
use crate::engine::problem::Problems;
use crate::engine::{Counts, DomainReport, Engine};
use crate::interfaces::Interfaces;
use crate::ledger;
use crate::listeners::Listeners;
use crate::metrics as names;
use crate::polled::InProcess;
use crate::publish::{Aside, PublishError, Publisher, Rows, Stored};
use crate::receive::{self, Chunk, Kind, Shared};
use crate::resume::Look;
use crate::snmp::links::Heard;
use crate::snmp::{self, Poller, Polling, Process};
use crate::store;
use crate::syslog::{self, Rules, Syslog, SyslogConfig, Tcp};
use crate::watch::Watch;

/// The decoder looks this often after its deliveries and its time when nothing comes.
const IDLE: Duration = Duration::from_millis(20);
/// Flow batches end with the interval `flush_ms`, but the log is asked for reports at least so
/// often.
const POLL_EVERY: u32 = 64;

#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error(transparent)]
    Listener(#[from] BadListener),
    #[error("failed to bind {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("failed to use the log")]
    Log(#[from] LogError),
    #[error("failed to make rows")]
    Rows(#[from] RowError),
    #[error("failed to make a row of templates")]
    Templates(#[from] schema::SchemaError),
    #[error("failed to write flows")]
    Print(#[source] std::io::Error),
    #[error("failed to start a thread")]
    Thread(#[source] std::io::Error),
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub counts: Counts,
    pub problems: Problems,
    pub stored: Stored,
    pub kernel_drops: u64,
    pub queue_drops: u64,
    pub domains: Vec<DomainReport>,
}

/// The engine and what publishes its outputs; time and datagrams come from outside.
pub struct IngestFeed {
    engine: Engine,
    pub(crate) publisher: Publisher,
    now: i64,
    flush_due: i64,
    heartbeat_due: i64,
    flush_ms: i64,
    heartbeat_ms: i64,
    dead_letters_max: u32,
    dead_letters: (i64, u32),
    counted: names::Counted,
    devices: Devices,
    pub(crate) interfaces: Interfaces,
    watch: Watch,
    pub(crate) in_process: InProcess,
    /// Rows that polls gave and that no message has yet.
    pub(crate) polled_rows: Vec<Metric>,
    pub(crate) links: Heard,
    syslog: Syslog,
    syslog_config: SyslogConfig,
    domain: String,
}

// === impl IngestFeed ===

impl IngestFeed {
    /// What earlier runs of this instance left is read back first: templates, and where their
    /// exporters' sequences stood. `start_ms` is the time at which the feed
    /// begins; `epoch` must be larger than that of every earlier run of this instance.
    pub fn new(
        config: &IngestConfig,
        log: &dyn Log,
        bus: &BusConfig,
        instance: &str,
        epoch: u64,
        start_ms: i64,
    ) -> Result<IngestFeed, IngestError> {
        let mut publisher = Publisher::new(config, log, bus, instance, epoch)?;
        let mut engine = Engine::new(config.limits.clone(), &config.domain, instance);
        let limit = Duration::from_millis(config.templates_wait_ms);
        for change in store::read(log, &bus.topic(store::TOPIC), &bus.limits, limit)? {
            engine.restore(change);
        }
        let (now, interval_ms) = (start_ms, config.limits.ledger_interval_ms);
        let look = Look { log, bus, instance, now, interval_ms, limit };
        for mark in look.marks(publisher.spooled()?)? {
            engine.resume(&mark, start_ms);
        }
        engine.tick(start_ms);
        let devices = Devices::new(config.devices_max);
        let interfaces = Interfaces::new(config.interfaces_max);
        let mut watch = Watch::open(log, bus, &config.domain, &devices, &interfaces)?;
        watch.catch_up(limit)?;
        let names = Names { devices: devices.clone(), interfaces: interfaces.clone() };
        engine.name_with(names);
        Ok(IngestFeed {
            engine,
            publisher,
            now: start_ms,
            flush_due: start_ms + config.flush_ms,
            heartbeat_due: start_ms,
            flush_ms: config.flush_ms,
            heartbeat_ms: config.heartbeat_ms,
            dead_letters_max: config.dead_letters_per_second,
            dead_letters: (0, 0),
            counted: names::Counted::default(),
            devices,
            interfaces,
            watch,
            in_process: InProcess::new(Poller::new(config.snmp.clone(), instance)),
            polled_rows: Vec::new(),
            links: Heard::new(config.interfaces_max),
            syslog: Syslog::default(),
            syslog_config: config.syslog.clone(),
            domain: config.domain.clone(),
        })
    }

    /// The inventory as this instance knows it: whose address is whose.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// The interfaces as this instance knows them.
    pub fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// One datagram, received at `received_ms`; earlier than what came before counts as now. Blocks
    /// while the log is slow.
    pub fn datagram(
        &mut self,
        received_ms: i64,
        source: IpAddr,
        bytes: &[u8],
    ) -> Result<(), IngestError> {
        self.pass(received_ms)?;
        self.engine.datagram(self.now, source, bytes);
        self.full_batches()
    }

    /// Something was received at this time: ends what waited for it.
    pub(crate) fn pass(&mut self, received_ms: i64) -> Result<(), IngestError> {
        let syslog_due = self.syslog.due_ms().unwrap_or(i64::MAX);
        if received_ms >= self.flush_due.min(self.heartbeat_due).min(syslog_due) {
            self.advance(received_ms)?;
        }
        self.now = self.now.max(received_ms);
        self.engine.tick(self.now);
        if self.engine.has_marks() {
            self.ledger()?;
        }
        Ok(())
    }

    pub(crate) fn now(&self) -> i64 {
        self.now
    }

    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    pub(crate) fn syslog_config(&self) -> &SyslogConfig {
        &self.syslog_config
    }

    pub(crate) fn syslog_rows(&mut self) -> &mut Syslog {
        &mut self.syslog
    }

    /// Time has come to `now_ms`: ends what waits for it, sends heartbeats, takes delivery reports.
    pub fn advance(&mut self, now_ms: i64) -> Result<(), IngestError> {
        self.now = self.now.max(now_ms);
        self.engine.tick(self.now);
        // Before the next heartbeat promises that nothing older comes.
        self.small_rows()?;
        if self.now >= self.flush_due {
            self.flush_due = self.now + self.flush_ms;
            self.flush()?;
        }
        self.publisher.poll(Duration::ZERO)?;
        if self.now >= self.heartbeat_due {
            self.heartbeat_due = self.now + self.heartbeat_ms;
            self.watch.look();
            self.heartbeats()?;
        }
        Ok(())
    }

    fn heartbeats(&mut self) -> Result<(), IngestError> {
        if self.publisher.may_beat() {
            let units = self.engine.take_units();
            self.publisher.heartbeats(self.watermark(), units)?;
        }
        Ok(())
    }

    /// Publishes what is decoded, waits until the log has it, at most `limit`, and then says that
    /// time has come so far: whoever waits for the stages before time goes on needs that word.
    pub fn settle(&mut self, limit: Duration) -> Result<(), IngestError> {
        self.flush()?;
        // Heartbeats that overtake what stays in the spool would have it taken for a repetition.
        if self.publisher.drain(Instant::now() + limit)? {
            self.heartbeats()?;
            self.publisher.drain(Instant::now() + limit)?;
        }
        Ok(())
    }

    /// Settles, and says what the run did.
    pub fn finish(mut self, limit: Duration) -> Result<Report, IngestError> {
        self.settle(limit)?;
        Ok(Report {
            counts: self.engine.counts(),
            problems: self.engine.problems().clone(),
            stored: self.publisher.stored(),
            domains: self.engine.close(),
            ..Report::default()
        })
    }

    /// Nothing older than this comes any more.
    pub(crate) fn watermark(&self) -> i64 {
        let polled = self.polled_rows.first().map(|row| row.received_ms);
        let said = self.syslog.oldest_ms();
        let oldest = [self.engine.oldest_row(), self.publisher.oldest(), polled, said];
        let oldest = oldest.into_iter().flatten().min();
        oldest.map_or(self.now, |oldest| oldest.min(self.now))
    }

    fn flush(&mut self) -> Result<(), IngestError> {
        self.engine.flush_flows();
        self.full_batches()?;
        self.small_rows()?;
        self.templates()?;
        self.rejects()?;
        self.counted.engine(&self.engine);
        Ok(())
    }

    fn full_batches(&mut self) -> Result<(), IngestError> {
        let batches = self.engine.take_flows();
        if batches.is_empty() {
            return Ok(());
        }
        // Every row that is not in these batches is younger than the oldest of them.
        for flows in batches {
            let wm = self.watermark().min(flows.received_min);
            let time = Time::Between(flows.received_min, flows.received_max);
            let (topic, schema, aside) = ("flows.v1", schema::flows(), Aside::Units(flows.units));
            let (batch, wm_ms) = (flows.batch, wm);
            self.publisher.rows(Rows { topic, schema, batch, time, wm_ms, aside })?;
        }
        Ok(())
    }

    fn small_rows(&mut self) -> Result<(), IngestError> {
        self.ledger()?;
        self.flush_polled()?;
        self.flush_syslog()?;
        let events = self.engine.take_events();
        self.events(&events)
    }

    /// What devices have said goes out, in one message for each partition.
    pub(crate) fn flush_syslog(&mut self) -> Result<(), IngestError> {
        let rows = self.syslog.take();
        self.events(&rows)
    }

    pub(crate) fn events(&mut self, events: &[Event]) -> Result<(), IngestError> {
        let Some(first) = events.iter().map(|event| event.received_ms).min() else {
            return Ok(());
        };
        let wm_ms = self.watermark().min(first);
        let batch = schema::prune(&Event::to_batch(events)?);
        let (topic, schema, aside) = ("events.v1", schema::events(), Aside::Nothing);
        self.publisher.rows(Rows { topic, schema, batch, time: received(), wm_ms, aside })?;
        Ok(())
    }

    /// Rows of the intervals that ended, and the marks that go with them, by partition.
    fn ledger(&mut self) -> Result<(), IngestError> {
        let (metrics, marks) = (self.engine.take_metrics(), self.engine.take_marks());
        let Some(first) = metrics.iter().map(|row| row.received_ms).min() else {
            return Ok(());
        };
        let wm_ms = self.watermark().min(first);
        for (rows, marks) in ledger::parts(metrics, marks, self.publisher.partitions("metrics.v1"))
        {
            let batch = schema::prune(&Metric::to_batch(&rows)?);
            let (topic, schema, aside) = ("metrics.v1", schema::metrics(), Aside::Marks(marks));
            self.publisher.rows(Rows { topic, schema, batch, time: received(), wm_ms, aside })?;
        }
        Ok(())
    }

    fn templates(&mut self) -> Result<(), IngestError> {
        for change in self.engine.take_changes() {
            let (key, time) = (store::key(&change), change.received);
            match store::row(&change)? {
                Some(row) => {
                    self.publisher.element(store::TOPIC, store::schema(), row, &key, time)?;
                }
                None => self.tombstone(&key, &change)?,
            }
        }
        Ok(())
    }

    fn tombstone(&mut self, key: &str, change: &Change) -> Result<(), IngestError> {
        let (topic, schema) = (store::TOPIC, store::schema());
        Ok(self.publisher.tombstone(topic, schema, key, &change.exporter, change.received)?)
    }

    fn rejects(&mut self) -> Result<(), IngestError> {
        for reject in self.engine.take_rejects() {
            let second = reject.received.div_euclid(1000);
            if self.dead_letters.0 != second {
                self.dead_letters = (second, 0);
            }
            self.dead_letters.1 += 1;
            if self.dead_letters.1 > self.dead_letters_max {
                counter!(names::DEAD_LETTERS_REFUSED).increment(1);
                continue;
            }
            let (reason, source) = (reject.reason.name(), reject.source.to_string());
            self.publisher.dead_letter(reason, &source, reject.received, reject.datagram)?;
        }
        Ok(())
    }
}

fn received() -> Time {
    Time::Column("received".to_owned())
}

/// Receives, decodes and publishes until `shutdown`, then drains. Blocks: give it a thread.
pub fn run(
    config: &IngestConfig,
    listeners: Listeners,
    log: &Arc<dyn Log>,
    bus: &BusConfig,
    instance: &str,
    shutdown: &Shutdown,
) -> Result<Report, IngestError> {
    let clock = Arc::new(Clock::start());
    let start = clock.now();
    // A start is later than the one before: the clock is the wall's then.
    let epoch = u64::try_from(start).unwrap_or(0);
    let mut feed = IngestFeed::new(config, log.as_ref(), bus, instance, epoch, start)?;
    let drain = Duration::from_millis(config.drain_ms);
    let polling = polling(config, log, bus, instance, &clock, &feed.interfaces)?;
    let received = receiving(config, &listeners, &clock, shutdown, |queue, shared| {
        feeding(&mut feed, queue, shared, &clock, polling.as_ref())
    });
    if let Some(polling) = polling {
        polling.stop();
    }
    let (shared, fed) = received?;
    fed?;
    let mut report = feed.finish(drain)?;
    report.kernel_drops = shared.kernel_drops.load(Ordering::Relaxed);
    report.queue_drops = shared.queue_drops.load(Ordering::Relaxed);
    Ok(report)
}

/// Flows as JSON lines, with no log at all.
pub fn print(
    config: &IngestConfig,
    listeners: &Listeners,
    shutdown: &Shutdown,
    out: &mut (dyn Write + Send),
) -> Result<Report, IngestError> {
    let clock = Clock::start();
    let mut engine = Engine::new(config.limits.clone(), &config.domain, "print");
    let (shared, printed) = receiving(config, listeners, &clock, shutdown, |queue, shared| {
        let domain = &config.domain;
        printing(Printing { engine: &mut engine, domain, out }, queue, shared, &clock)
    })?;
    printed.map_err(IngestError::Print)?;
    Ok(Report {
        counts: engine.counts(),
        problems: engine.problems().clone(),
        kernel_drops: shared.kernel_drops.load(Ordering::Relaxed),
        queue_drops: shared.queue_drops.load(Ordering::Relaxed),
        domains: engine.close(),
        ..Report::default()
    })
}

/// Runs `work` on what the receive threads queue; they end with it or with the shutdown.
fn receiving<T>(
    config: &IngestConfig,
    listeners: &Listeners,
    clock: &Clock,
    shutdown: &Shutdown,
    work: impl FnOnce(&Receiver<Chunk>, &Shared) -> T,
) -> Result<(Arc<Shared>, T), IngestError> {
    let shared = Arc::new(Shared::default());
    // Bounded: by `queue_bytes_max`, which the receive threads keep.
    let (sender, queue) = channel();
    let done = Shutdown::new();
    let result = thread::scope(|scope| {
        let queue_max = config.queue_bytes_max;
        for (i, bound) in listeners.bound.iter().enumerate() {
            let (sender, shared, done) = (sender.clone(), Arc::clone(&shared), done.clone());
            let stop = move || shutdown.requested() || done.requested();
            let receive = move || {
                let ended = receive::receive(bound, clock, &sender, queue_max, &shared, &stop);
                if let Err(error) = ended {
                    tracing::error!(%error, "a receive thread ended: datagrams are lost");
                }
            };
            let thread = thread::Builder::new().name(format!("receive-{i}"));
            thread.spawn_scoped(scope, receive).map_err(IngestError::Thread)?;
        }
        for (i, listener) in listeners.tcp.iter().enumerate() {
            let (sender, shared, done) = (sender.clone(), Arc::clone(&shared), done.clone());
            let stop = move || shutdown.requested() || done.requested();
            let rules = Rules::new(&config.syslog, queue_max);
            let receive = move || {
                let ended = Tcp::new(listener, rules).receive(clock, &sender, &shared, &stop);
                if let Err(error) = ended {
                    tracing::error!(%error, "a receive thread ended: its senders are not heard");
                }
            };
            let thread = thread::Builder::new().name(format!("receive-tcp-{i}"));
            thread.spawn_scoped(scope, receive).map_err(IngestError::Thread)?;
        }
        drop(sender);
        let result = work(&queue, &shared);
        done.request();
        Ok::<T, IngestError>(result)
    })?;
    Ok((shared, result))
}

/// The poller, where there is a credential to poll with.
fn polling(
    config: &IngestConfig,
    log: &Arc<dyn Log>,
    bus: &BusConfig,
    instance: &str,
    clock: &Arc<Clock>,
    interfaces: &Interfaces,
) -> Result<Option<Polling>, IngestError> {
    if config.snmp.credentials.is_empty() {
        return Ok(None);
    }
    let process = Process { log, bus, domain: &config.domain, instance, clock, interfaces };
    snmp::start(&config.snmp, &process).map(Some).map_err(IngestError::Thread)
}

/// Feeds until the receive threads are gone and the queue is empty.
fn feeding(
    feed: &mut IngestFeed,
    queue: &Receiver<Chunk>,
    shared: &Shared,
    clock: &Clock,
    polling: Option<&Polling>,
) -> Result<(), IngestError> {
    let mut since_poll = 0;
    let mut dropped = (0, 0);
    loop {
        match queue.recv_timeout(IDLE) {
            Ok(chunk) => {
                shared.queued_bytes.fetch_sub(chunk.size(), Ordering::Relaxed);
                for (source, bytes) in chunk.datagrams() {
                    match chunk.kind {
                        Kind::Flows => feed.datagram(chunk.received, source, bytes)?,
                        Kind::Syslog => feed.syslog(chunk.received, source, bytes)?,
                    }
                }
                since_poll += 1;
                if since_poll >= POLL_EVERY {
                    since_poll = 0;
                    feed.publisher.poll(Duration::ZERO)?;
                }
            }
            Err(RecvTimeoutError::Timeout) => feed.advance(clock.now())?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        while let Some(polled) = polling.and_then(Polling::next) {
            feed.polled(polled.at_ms, polled)?;
        }
        count_drops(shared, &mut dropped);
    }
}

fn count_drops(shared: &Shared, told: &mut (u64, u64)) {
    let kernel = shared.kernel_drops.load(Ordering::Relaxed);
    let queue = shared.queue_drops.load(Ordering::Relaxed);
    if (kernel, queue) != *told {
        counter!(names::DROPPED, "reason" => "kernel").increment(kernel - told.0);
        counter!(names::DROPPED, "reason" => "queue").increment(queue - told.1);
        *told = (kernel, queue);
    }
}

/// What shows rows in place of a log.
struct Printing<'a> {
    engine: &'a mut Engine,
    domain: &'a str,
    out: &'a mut dyn Write,
}

fn printing(
    printing: Printing<'_>,
    queue: &Receiver<Chunk>,
    shared: &Shared,
    clock: &Clock,
) -> std::io::Result<()> {
    let Printing { engine, domain, out } = printing;
    loop {
        match queue.recv_timeout(IDLE) {
            Ok(chunk) => {
                shared.queued_bytes.fetch_sub(chunk.size(), Ordering::Relaxed);
                for (source, bytes) in chunk.datagrams() {
                    match chunk.kind {
                        Kind::Flows => engine.datagram(chunk.received, source, bytes),
                        Kind::Syslog => print_said(domain, &chunk, source, bytes, out)?,
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => engine.tick(clock.now()),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        engine.flush_flows();
        for flows in engine.take_flows() {
            for row in 0..flows.batch.num_rows() {
                writeln!(out, "{}", json::row(&flows.batch, row))?;
            }
            out.flush()?;
        }
        engine.take_metrics();
        engine.take_marks();
        engine.take_events();
        engine.take_changes();
        engine.take_rejects();
    }
}

fn print_said(
    domain: &str,
    chunk: &Chunk,
    from: IpAddr,
    bytes: &[u8],
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let limit = SyslogConfig::default().message_bytes_max;
    let event = syslog::event(domain, &from.to_string(), chunk.received, bytes, limit);
    let batch = Event::to_batch(&[event]).map_err(std::io::Error::other)?;
    writeln!(out, "{}", json::row(&batch, 0))?;
    out.flush()
}
