//! The one thread that writes. Requests that came while the last commit ran share the next one, so
//! that many small commits cost one. Being the only writer, it also decides who may commit: what it
//! has refused is never on the log, and what comes after in its queue sees all before.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::Durability;

use super::batch::Batch;
use super::shared::Shared;
use super::store::Failure;
use crate::config::DurabilityConfig;
use crate::log::{CommitError, Committed, Delivery, LogError, TaskId, Transaction};
use crate::metrics as names;
use crate::record::OutRecord;

/// Requests that share a commit at most.
const GROUP_MAX: usize = 1_000;
const GROUP_BYTES_MAX: usize = 8 << 20;
/// The store reuses freed pages only after a synced commit, also in memory.
const SYNC_EVERY: Duration = Duration::from_millis(200);

/// What the thread is asked to do.
pub enum Request {
    Produce {
        record: OutRecord,
        ticket: u64,
        reports: Arc<Reports>,
    },
    Commit {
        member: Member,
        transaction: Transaction,
        answer: Answer<(), CommitError>,
    },
    Committed {
        stage: String,
        task: TaskId,
        answer: Answer<Option<Committed>, LogError>,
    },
    /// Administration runs alone, in a transaction of its own.
    Admin {
        work: AdminWork,
        answer: Answer<(), LogError>,
    },
}

pub type Answer<T, E> = SyncSender<Result<T, E>>;
pub type AdminWork = Box<dyn FnOnce(&Shared) -> Result<(), LogError> + Send>;

/// A member of a stage's group.
#[derive(Clone, Debug)]
pub struct Member {
    pub stage: String,
    pub id: u64,
    pub instance: String,
}

/// Delivery reports on their way to a producer.
#[derive(Default)]
pub struct Reports {
    done: Mutex<VecDeque<Delivery>>,
    some: Condvar,
}

/// The shared state and the thread; the last handle that is dropped ends the thread, which first
/// writes what it was given.
pub struct Core {
    pub shared: Arc<Shared>,
    requests: Mutex<Option<Sender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

// === impl Reports ===

impl Reports {
    fn put(&self, deliveries: Vec<Delivery>) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).extend(deliveries);
        self.some.notify_all();
    }

    /// What is there; waits for the first until the deadline.
    pub fn take(&self, deadline: Instant) -> Vec<Delivery> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        while done.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            done = self.some.wait_timeout(done, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        done.drain(..).collect()
    }
}

// === impl Core ===

impl Core {
    pub fn start(shared: Shared) -> Result<Arc<Core>, LogError> {
        let shared = Arc::new(shared);
        // Bounded: by what each producer may have in flight, and each member's one commit.
        let (requests, queue) = channel();
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || run(&writer, &queue))
            .map_err(|e| LogError::call("open", e))?;
        Ok(Arc::new(Core {
            shared,
            requests: Mutex::new(Some(requests)),
            thread: Mutex::new(Some(thread)),
        }))
    }

    /// Hands a request to the thread.
    pub fn submit(&self, request: Request) -> Result<(), LogError> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = requests.as_ref().is_some_and(|requests| requests.send(request).is_ok());
        if sent { Ok(()) } else { Err(closed()) }
    }

    /// Does administration on the thread and waits for it.
    pub fn administer(&self, work: AdminWork) -> Result<(), LogError> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        self.submit(Request::Admin { work, answer })?;
        answered.recv().map_err(|_| closed())?
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the log's writer thread panicked");
        }
    }
}

pub fn closed() -> LogError {
    LogError::Call { call: "write", reason: "the log is closed".to_owned() }
}

fn run(shared: &Shared, queue: &Receiver<Request>) {
    let mut synced = Synced { at: Instant::now(), dirty: false };
    loop {
        let first = if synced.dirty {
            queue.recv_timeout(SYNC_EVERY.saturating_sub(synced.at.elapsed()))
        } else {
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match first {
            Ok(Request::Admin { work, answer }) => {
                let result = work(shared);
                shared.notify();
                // Who asked may have gone; the work stands.
                answer.send(result).ok();
            }
            Ok(first) => group(shared, queue, first, &mut synced),
            Err(RecvTimeoutError::Timeout) => write(shared, Vec::new(), &mut synced),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if synced.dirty {
        synced.at = Instant::now().checked_sub(SYNC_EVERY).unwrap_or(synced.at);
        write(shared, Vec::new(), &mut synced);
    }
}

/// Whether commits wait for a sync, and since when.
struct Synced {
    at: Instant,
    dirty: bool,
}

/// Takes what else is waiting and writes it together.
fn group(shared: &Shared, queue: &Receiver<Request>, first: Request, synced: &mut Synced) {
    let mut bytes = first.bytes();
    let mut requests = vec![first];
    let mut admin = None;
    while requests.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
        match queue.try_recv() {
            Ok(Request::Admin { work, answer }) => {
                admin = Some((work, answer));
                break;
            }
            Ok(request) => {
                bytes += request.bytes();
                requests.push(request);
            }
            Err(_) => break,
        }
    }
    write(shared, requests, synced);
    if let Some((work, answer)) = admin {
        let result = work(shared);
        shared.notify();
        answer.send(result).ok();
    }
}

fn write(shared: &Shared, requests: Vec<Request>, synced: &mut Synced) {
    let relaxed =
        shared.settings.in_memory || shared.settings.durability == DurabilityConfig::Interval;
    let sync = !relaxed || synced.at.elapsed() >= SYNC_EVERY;
    let started = Instant::now();
    match write_all(shared, requests, sync) {
        Ok(Wrote::Nothing) => {}
        Ok(Wrote::Transaction) => {
            synced.dirty = !sync;
            if sync {
                synced.at = Instant::now();
            }
            metrics::histogram!(names::COMMIT_SECONDS).record(started.elapsed().as_secs_f64());
        }
        Err(reason) => {
            tracing::error!(%reason, "the embedded log cannot write");
            metrics::counter!(names::COMMITS_FAILED).increment(1);
        }
    }
}

enum Wrote {
    Nothing,
    Transaction,
}

/// Applies all requests in one transaction of the store, then answers them.
fn write_all(shared: &Shared, requests: Vec<Request>, sync: bool) -> Result<Wrote, String> {
    let mut replies = Vec::with_capacity(requests.len());
    let only_sync = requests.is_empty();
    let mut requests = requests.into_iter();
    let result = apply_all(shared, &mut requests, &mut replies, sync, only_sync);
    // Those that the store failed before their turn came.
    replies.extend(requests.map(Request::unserved));
    shared.notify();
    let stored = result.map_err(|e| e.to_string());
    let mut reports: Vec<(Arc<Reports>, Vec<Delivery>)> = Vec::new();
    for reply in replies {
        reply.send(stored.as_ref().err(), &mut reports);
    }
    for (to, deliveries) in reports {
        to.put(deliveries);
    }
    stored
}

fn apply_all(
    shared: &Shared,
    requests: &mut dyn Iterator<Item = Request>,
    replies: &mut Vec<Reply>,
    sync: bool,
    only_sync: bool,
) -> Result<Wrote, Failure> {
    let mut txn = shared.db.begin_write()?;
    let durability = if sync { Durability::Immediate } else { Durability::None };
    // It refuses only where savepoints are used, and none is.
    txn.set_durability(durability).map_err(|e| Failure::Corrupted(e.to_string()))?;
    let changes = {
        let mut batch = Batch::open(shared, &txn)?;
        replies.extend(requests.map(|request| batch.apply(request)));
        batch.finish()?
    };
    let Some(changes) = changes else {
        if only_sync {
            txn.commit()?;
            return Ok(Wrote::Transaction);
        }
        txn.abort()?;
        return Ok(Wrote::Nothing);
    };
    txn.commit()?;
    let mut state = shared.state();
    state.parts.extend(changes.parts);
    state.positions.extend(changes.positions);
    state.full = changes.full;
    Ok(Wrote::Transaction)
}

// === impl Request ===

impl Request {
    fn bytes(&self) -> usize {
        let of = |record: &OutRecord| record.payload.as_ref().map_or(0, bytes::Bytes::len);
        match self {
            Request::Produce { record, .. } => of(record),
            Request::Commit { transaction, .. } => transaction.outputs.iter().map(of).sum(),
            Request::Committed { .. } | Request::Admin { .. } => 0,
        }
    }

    /// The reply to a request that was never looked at, because the store failed before.
    fn unserved(self) -> Reply {
        match self {
            Request::Produce { record, ticket, reports } => {
                let delivery = Delivery { ticket, result: Ok(-1), record };
                Reply::Produced { delivery, reports }
            }
            Request::Commit { answer, .. } => Reply::Committed { result: Ok(()), answer },
            Request::Committed { answer, .. } => Reply::Position { result: Ok(None), answer },
            Request::Admin { .. } => Reply::Done,
        }
    }
}

/// What a request gets to hear once its transaction's fate is known.
pub enum Reply {
    Produced {
        delivery: Delivery,
        reports: Arc<Reports>,
    },
    Committed {
        result: Result<(), CommitError>,
        answer: Answer<(), CommitError>,
    },
    Position {
        result: Result<Option<Committed>, LogError>,
        answer: Answer<Option<Committed>, LogError>,
    },
    Done,
}

// === impl Reply ===

impl Reply {
    /// Answers; `failure` says why the transaction of the store was not committed. Who asked may
    /// have gone, then nobody needs the answer.
    fn send(self, failure: Option<&String>, reports: &mut Vec<(Arc<Reports>, Vec<Delivery>)>) {
        match self {
            Reply::Produced { mut delivery, reports: to } => {
                if let Some(reason) = failure {
                    delivery.result = Err(reason.clone());
                }
                match reports.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &to)) {
                    Some((_, deliveries)) => deliveries.push(delivery),
                    None => reports.push((to, vec![delivery])),
                }
            }
            Reply::Committed { result, answer } => {
                let aborted = failure.map(|reason| Err(CommitError::Aborted(reason.clone())));
                answer.send(aborted.unwrap_or(result)).ok();
            }
            Reply::Position { result, answer } => {
                let failed = failure.map(|reason| Err(LogError::call("committed", reason)));
                answer.send(failed.unwrap_or(result)).ok();
            }
            Reply::Done => {}
        }
    }
}
