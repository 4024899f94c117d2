//! The one transactional producer of a process and stage, and the order of calls of a commit. What
//! cannot be aborted cleanly ends the producer: the next one has the same transactional id, and its
//! first call fences whatever of the last is still under way.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::{ClientConfig, Offset};

use super::membership::{Membership, client_error};
use super::{convert, dispose::dispose};
use crate::log::{CommitError, LogError, Transaction};
use crate::metrics as names;

/// `flush` and `commit_transaction` wait 100 ms at least while anything is in flight (rust-rdkafka
/// polls in such steps), so deliveries are polled for in these steps first (measured: 14 ms a
/// transaction instead of 200).
const STEP: Duration = Duration::from_millis(1);

/// What a call may take over its limit before it is given up: its own error says more.
const GRACE: Duration = Duration::from_millis(100);

pub struct Transactions {
    options: ClientConfig,
    /// Limit of each call.
    limit: Duration,
    /// How long `init_transactions` may wait for a predecessor's transaction to be ended.
    init_limit: Duration,
    producer: Option<Arc<BaseProducer<Failures>>>,
}

/// The first delivery that failed.
#[derive(Default)]
pub struct Failures(Mutex<Option<String>>);

/// How a call inside a transaction failed.
enum Failure {
    /// Nothing was decided: abort.
    Abort(String),
    /// The end was asked for and not heard of, or the producer is stuck.
    Unknown(String),
    Fenced(String),
}

// === impl Failures ===

impl Failures {
    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Failures {
    fn error(&self, error: KafkaError, reason: &str) {
        client_error(&error, reason);
    }
}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        if let Err((error, _)) = result {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.to_string());
        }
    }
}

// === impl Failure ===

impl Failure {
    /// Sorts an error of a call before the end of the transaction was asked for.
    fn of(call: &str, error: &KafkaError) -> Failure {
        let reason = format!("{call}: {error}");
        match error {
            KafkaError::Transaction(e) if is_fenced(e.code()) => Failure::Fenced(reason),
            KafkaError::Transaction(e) if e.is_fatal() => Failure::Unknown(reason),
            KafkaError::Transaction(e) if e.txn_requires_abort() => Failure::Abort(reason),
            // A timeout is retriable in name, but the call may hang for ever (librdkafka 5511).
            _ => Failure::Unknown(reason),
        }
    }
}

fn is_fenced(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

// === impl Transactions ===

impl Transactions {
    pub fn new(options: ClientConfig, limit: Duration, init_limit: Duration) -> Transactions {
        Transactions { options, limit, init_limit, producer: None }
    }

    /// Makes the producer where there is none. From its return on, no transaction of a producer
    /// before with this id is open, and none can end any more.
    pub fn ready(&mut self) -> Result<(), LogError> {
        if self.producer.is_some() {
            return Ok(());
        }
        let made = self.options.create_with_context(Failures::default());
        let made: BaseProducer<Failures> = made.map_err(|e| LogError::call("producer", e))?;
        match made.init_transactions(self.init_limit) {
            Ok(()) => {
                self.producer = Some(Arc::new(made));
                Ok(())
            }
            Err(error) => {
                dispose(made);
                Err(LogError::call("init_transactions", error))
            }
        }
    }

    pub fn commit(
        &mut self,
        consumer: &BaseConsumer<Membership>,
        wanted: &Transaction,
    ) -> Result<(), CommitError> {
        self.ready()?;
        let Some(producer) = &self.producer else {
            return Err(CommitError::Log(LogError::call("commit", "there is no producer")));
        };
        let started = Instant::now();
        let result = run(producer, consumer, wanted, self.limit);
        let Err(failure) = result else {
            metrics::histogram!(names::COMMIT_SECONDS).record(started.elapsed().as_secs_f64());
            return Ok(());
        };
        let error = match failure {
            Failure::Abort(reason) => self.abort(reason),
            Failure::Unknown(reason) => self.remake(reason),
            Failure::Fenced(reason) => {
                self.end();
                CommitError::Fenced(reason)
            }
        };
        let kind = match &error {
            CommitError::Aborted(_) => "aborted",
            CommitError::Fenced(_) => "fenced",
            CommitError::Indeterminate(_) | CommitError::Log(_) => "indeterminate",
        };
        metrics::counter!(names::COMMITS_FAILED, "kind" => kind).increment(1);
        Err(error)
    }

    /// Aborts; a producer that cannot even do that is ended.
    fn abort(&mut self, reason: String) -> CommitError {
        let Some(producer) = &self.producer else {
            return CommitError::Aborted(reason);
        };
        // The abort waits for deliveries, which only a poll beforehand takes in.
        let drained = drain(producer, Instant::now() + self.limit);
        let aborted = drained.map_err(|why| Failure::Unknown(why.to_string())).and_then(|()| {
            let limit = self.limit;
            limited("abort_transaction", producer, limit, move |p| p.abort_transaction(limit))
        });
        // Deliveries that failed belong to what was just aborted.
        producer.context().take();
        match aborted {
            Ok(()) => CommitError::Aborted(reason),
            Err(Failure::Fenced(why)) => {
                self.end();
                CommitError::Fenced(format!("{reason}, then {why}"))
            }
            Err(Failure::Abort(why) | Failure::Unknown(why)) => {
                self.remake(format!("{reason}, then {why}"))
            }
        }
    }

    /// Ends the producer; the next call makes another with the same id, which fences this one.
    fn remake(&mut self, reason: String) -> CommitError {
        self.end();
        metrics::counter!(names::PRODUCERS_REMADE).increment(1);
        CommitError::Indeterminate(reason)
    }

    pub fn end(&mut self) -> Option<std::sync::mpsc::Receiver<()>> {
        self.producer.take().map(dispose)
    }
}

/// One transaction: outputs, their deliveries, positions, end.
fn run(
    producer: &Arc<BaseProducer<Failures>>,
    consumer: &BaseConsumer<Membership>,
    wanted: &Transaction,
    limit: Duration,
) -> Result<(), Failure> {
    producer.begin_transaction().map_err(|e| Failure::of("begin_transaction", &e))?;
    let deadline = Instant::now() + limit;
    for record in &wanted.outputs {
        let mut out = convert::outgoing(record, ());
        while let Err((error, back)) = producer.send(out) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || Instant::now() >= deadline {
                return Err(Failure::Abort(format!("send to {}: {error}", record.topic)));
            }
            serve(producer);
            out = back;
        }
    }
    // An abort would wait for the same deliveries once more.
    drain(producer, deadline).map_err(|why| Failure::Unknown(why.to_owned()))?;
    if let Some(reason) = producer.context().take() {
        return Err(Failure::Abort(format!("delivery: {reason}")));
    }
    send_positions(producer, consumer, wanted, limit)?;
    limited("commit_transaction", producer, limit, move |p| p.commit_transaction(limit))
}

fn send_positions(
    producer: &Arc<BaseProducer<Failures>>,
    consumer: &BaseConsumer<Membership>,
    wanted: &Transaction,
    limit: Duration,
) -> Result<(), Failure> {
    if wanted.positions.is_empty() {
        return Ok(());
    }
    let mut list = TopicPartitionList::with_capacity(wanted.positions.len());
    for (task, to) in &wanted.positions {
        let partition = i32::try_from(task.partition).unwrap_or(i32::MAX);
        let mut element = list.add_partition(&task.topic, partition);
        element
            .set_offset(Offset::Offset(to.offset))
            .map_err(|e| Failure::Abort(format!("offset {}: {e}", to.offset)))?;
        element.set_metadata(&to.metadata);
    }
    // Taken fresh: it carries the generation by which a moved task is fenced.
    let Some(group) = consumer.group_metadata() else {
        return Err(Failure::Abort("not in a group".to_owned()));
    };
    limited("send_offsets_to_transaction", producer, limit, move |p| {
        p.send_offsets_to_transaction(&list, &group, limit)
    })
}

/// A call that must not take longer than its limit, on a thread of its own: librdkafka holds some
/// for the transaction's timeout instead (8 s measured for the offsets with the broker stopped). A
/// call that is given up keeps its producer alive until it returns.
fn limited(
    call: &'static str,
    producer: &Arc<BaseProducer<Failures>>,
    limit: Duration,
    run: impl FnOnce(&BaseProducer<Failures>) -> Result<(), KafkaError> + Send + 'static,
) -> Result<(), Failure> {
    let (done, waiting) = sync_channel(1);
    let producer = Arc::clone(producer);
    let spawned = std::thread::Builder::new().name("log-commit".to_owned()).spawn(move || {
        let result = run(&producer);
        drop(producer);
        // Nobody may wait any more.
        done.send(result).ok();
    });
    if let Err(error) = spawned {
        return Err(Failure::Unknown(format!("{call}: no thread: {error}")));
    }
    match waiting.recv_timeout(limit + GRACE) {
        Ok(result) => result.map_err(|e| Failure::of(call, &e)),
        Err(_) => Err(Failure::Unknown(format!("{call} took longer than {limit:?}"))),
    }
}

/// Waits until nothing is in flight.
fn drain(producer: &BaseProducer<Failures>, deadline: Instant) -> Result<(), &'static str> {
    while producer.in_flight_count() > 0 {
        if Instant::now() >= deadline {
            return Err("deliveries took too long");
        }
        serve(producer);
    }
    Ok(())
}

/// Takes a report that is there, or waits a step for one. rust-rdkafka counts a timeout's rest in
/// whole milliseconds and asks again and again for the last of them: a fifth of rollup's CPU time
/// went there (measured), so the waiting is done here.
fn serve(producer: &BaseProducer<Failures>) {
    let before = producer.in_flight_count();
    producer.poll(Duration::ZERO);
    if producer.in_flight_count() == before {
        std::thread::sleep(STEP);
    }
}
