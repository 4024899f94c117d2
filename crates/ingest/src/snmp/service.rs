//! The poller with real agents, time and a group: one thread follows the group, another asks
//! devices, as many at once as may be. What a poll gave goes to the publisher's thread, which alone
//! promises times to readers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bus::{BusConfig, Log};
use metrics::counter;
use model::snmp::Response;
use runtime::shutdown::Shutdown;
use tokio::sync::mpsc::{Receiver as Steps, channel};
use tokio::task::{Id, JoinSet};

use super::SnmpConfig;
use super::plan::{Plan, Step};
use super::poller::{Ask, Polled, Poller};
use super::transport::{Agents, UdpAgents};
use crate::clock::Clock;
use crate::interfaces::Interfaces;
use crate::metrics as names;

/// Polling under way; it ends when this is stopped.
pub struct Polling {
    polls: Receiver<Polled>,
    done: Shutdown,
    threads: Vec<JoinHandle<()>>,
}

/// What a poller needs of the process that it runs in.
pub struct Process<'a> {
    pub log: &'a Arc<dyn Log>,
    pub bus: &'a BusConfig,
    pub domain: &'a str,
    pub instance: &'a str,
    pub clock: &'a Arc<Clock>,
    pub interfaces: &'a Interfaces,
}

/// Changes of the plan that wait for the poller; the group waits with them.
const STEPS_MAX: usize = 1_024;
/// The poller looks after its schedule at least so often.
const LOOK: Duration = Duration::from_millis(500);

// === impl Polling ===

impl Polling {
    /// A poll that has ended, if there is one.
    pub fn next(&self) -> Option<Polled> {
        self.polls.try_recv().ok()
    }

    /// Leaves the group and ends; nothing is asked any more then.
    pub fn stop(self) {
        self.done.request();
        for thread in self.threads {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread of the poller has panicked");
            }
        }
    }
}

/// Joins the group and polls what is ours.
pub fn start(config: &SnmpConfig, process: &Process<'_>) -> std::io::Result<Polling> {
    let (out, polls) = sync_channel(config.queue_polls_max);
    // Bounded: by `STEPS_MAX`.
    let (sender, steps) = channel(STEPS_MAX);
    let done = Shutdown::new();
    let Process { log, bus, domain, instance, .. } = *process;
    let plan = Plan::new(Arc::clone(log), bus, domain, instance, sender);
    let stopped = done.clone();
    let planning = thread::Builder::new()
        .name("snmp-plan".to_owned())
        .spawn(move || plan.run(&|| stopped.requested()))?;
    let asking = Asking {
        poller: Poller::new(config.clone(), instance),
        clock: Arc::clone(process.clock),
        interfaces: process.interfaces.clone(),
        out,
        counted: names::PollsCounted::default(),
    };
    let config = config.clone();
    let asking = thread::Builder::new()
        .name("snmp-poll".to_owned())
        .spawn(move || asking.run(&config, steps))?;
    Ok(Polling { polls, done, threads: vec![planning, asking] })
}

/// The poller's thread.
struct Asking {
    poller: Poller,
    clock: Arc<Clock>,
    interfaces: Interfaces,
    out: SyncSender<Polled>,
    counted: names::PollsCounted,
}

/// Requests on their way, bounded by `in_flight_max`.
struct Answers {
    agents: Arc<dyn Agents>,
    tasks: JoinSet<Option<Response>>,
    asked: HashMap<Id, Ask>,
}

// === impl Asking ===

impl Asking {
    fn run(mut self, config: &SnmpConfig, steps: Steps<Step>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ended = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
            runtime.block_on(async {
                let agents = UdpAgents::bind(config).await?;
                self.ask(Arc::new(agents), steps).await;
                Ok(())
            })
        });
        if let Err(error) = ended {
            tracing::error!(error, "devices cannot be polled");
        }
    }

    /// Until the plan ends.
    async fn ask(&mut self, agents: Arc<dyn Agents>, mut steps: Steps<Step>) {
        let mut answers = Answers { agents, tasks: JoinSet::new(), asked: HashMap::new() };
        loop {
            for ask in self.poller.due(self.clock.now()) {
                answers.begin(ask);
            }
            self.hand_on();
            let wait = self.wait();
            tokio::select! {
                biased;
                step = steps.recv() => match step {
                    Some(step) => self.step(step),
                    None => return,
                },
                Some((ask, response)) = answers.next() => {
                    let next = self.poller.answer(&ask, self.clock.now(), response.as_ref());
                    if let Some(ask) = next {
                        answers.begin(ask);
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn wait(&self) -> Duration {
        let left_ms = self.poller.next_due().map(|due_ms| due_ms - self.clock.now());
        let left = left_ms.and_then(|ms| u64::try_from(ms.max(1)).ok()).map(Duration::from_millis);
        left.map_or(LOOK, |left| left.min(LOOK))
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Put(device) => {
                let (domain, name) = (device.domain.clone(), device.device.clone());
                let known = || self.interfaces.of_device(&domain, &name);
                self.poller.put(*device, self.clock.now(), known);
            }
            Step::Remove(key) => self.poller.remove(&key),
            Step::Done(done) => {
                // Who asked may have given up.
                let _ = done.try_send(());
            }
        }
    }

    fn hand_on(&mut self) {
        for polled in self.poller.take() {
            match self.out.try_send(polled) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
                Err(TrySendError::Full(_)) => counter!(names::SNMP_POLLS_DROPPED).increment(1),
            }
        }
        self.counted.step(self.poller.counts());
    }
}

// === impl Answers ===

impl Answers {
    fn begin(&mut self, ask: Ask) {
        let (agents, asked) = (Arc::clone(&self.agents), ask.clone());
        let task = self.tasks.spawn(async move {
            let limit = Duration::from_millis(u64::try_from(ask.limit_ms.max(1)).unwrap_or(1));
            agents.ask(&ask.target, &ask.request, limit).await
        });
        self.asked.insert(task.id(), asked);
    }

    /// The next answer; none while nothing is asked. A request that panicked has none.
    async fn next(&mut self) -> Option<(Ask, Option<Response>)> {
        let (id, response) = match self.tasks.join_next_with_id().await? {
            Ok((id, response)) => (id, response),
            Err(error) => {
                tracing::error!(%error, "a request to a device has panicked");
                (error.id(), None)
            }
        };
        self.asked.remove(&id).map(|ask| (ask, response))
    }
}
