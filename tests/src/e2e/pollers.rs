//! Two instances of ingest share the devices of one inventory: each device sees one stream of
//! polls, and after a kill -9 of one instance a gap of at most one session timeout, at whose end
//! the next poll of its interval comes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::POLL;
use super::relay::Relays;
use super::streams::{Gaps, Poll, is_one, polls};
use super::verdict::Check;
use crate::process::Gannet;
use crate::process::site::{CONFIG, Site};

/// The least that a broker allows as it comes.
const SESSION: Duration = Duration::from_secs(6);
const INTERVAL: Duration = Duration::from_secs(1);
/// For the group to agree, the partitions to be read from their start, and a busy machine.
const SLACK: Duration = Duration::from_millis(2_500);
/// What has not happened by then does not happen.
const LIMIT: Duration = Duration::from_secs(45);
/// Polls of each device that show a stream.
const POLLS: usize = 4;
const NAME: &str = "pollers";

struct Pollers {
    relays: Relays,
    running: Vec<Gannet>,
    site: Site,
}

/// What was seen by the end.
struct Seen {
    by_device: BTreeMap<String, Vec<Poll>>,
    killed: Instant,
    /// Devices that the one that was killed polled last.
    bereft: usize,
}

pub fn run(bootstrap: &str) -> Result<Vec<Check>> {
    let mut pollers = Pollers::start(bootstrap)?;
    let seen = match pollers.watch() {
        Ok(seen) => seen,
        Err(error) => {
            pollers.running.iter().for_each(|one| eprintln!("{}", one.output()));
            return Ok(vec![Check::of(NAME, Err(error))]);
        }
    };
    let mut checks = vec![
        Check::of(&format!("{NAME}: one stream a device"), seen.streams()),
        Check::of(&format!("{NAME}: gaps"), seen.gaps()),
    ];
    let left = pollers.running.pop().context("no poller is left")?;
    let code = left.stop()?;
    let drained = match code {
        0 => Ok("the one that is left drained on SIGTERM".to_owned()),
        code => Err(anyhow::anyhow!("it ended with {code}")),
    };
    checks.push(Check::of(&format!("{NAME}: drain"), drained));
    Ok(checks)
}

// === impl Pollers ===

impl Pollers {
    fn start(bootstrap: &str) -> Result<Pollers> {
        let relays = Relays::start()?;
        let mut site = Site::new(bootstrap, "e2e-pollers", 4)?;
        let (session, interval) = (SESSION.as_millis(), INTERVAL.as_millis());
        site.bus.kafka.timeouts.session_ms = u64::try_from(session)?;
        site.ingest = format!(
            "snmp: {{ interval_ms: {interval}, credentials: {{ sim: {{ community: public }} }} }}"
        );
        site.configure(CONFIG, &site.bus, "")?;
        site.apply_topics()?;
        // JSON is YAML.
        site.apply_inventory(&serde_json::to_string(&relays.inventory)?)?;
        Ok(Pollers { relays, running: Vec::new(), site })
    }

    /// One alone, then two, then the first is killed.
    fn watch(&mut self) -> Result<Seen> {
        self.add("a")?;
        self.until("a polls all devices", |all| all.values().all(|polls| polls.len() >= POLLS))?;
        let a = self.sources()?.into_iter().next().context("nobody polls")?;
        self.add("b")?;
        self.until("both poll", |all| {
            let by = |owner: fn(bool) -> bool| all.values().any(|polls| owner(last(polls) == a));
            let has_settled = |polls: &Vec<Poll>| {
                polls.iter().rev().take(POLLS).all(|poll| poll.from == last(polls))
            };
            by(|is_a| is_a) && by(|is_a| !is_a) && all.values().all(has_settled)
        })?;
        let bereft = self.seen()?.values().filter(|polls| last(polls) == a).count();
        let killed = Instant::now();
        // Dropped, it is killed.
        drop(self.running.remove(0));
        self.until("the other polls all devices", |all| {
            let since = |polls: &Vec<Poll>| polls.iter().filter(|p| p.begun > killed).count();
            all.values().all(|polls| since(polls) >= POLLS && last(polls) != a)
        })?;
        Ok(Seen { by_device: self.seen()?, killed, bereft })
    }

    fn add(&mut self, instance: &str) -> Result<()> {
        self.running.push(self.site.start("ingest", instance, CONFIG)?);
        Ok(())
    }

    fn until(
        &mut self,
        what: &str,
        is: impl Fn(&BTreeMap<String, Vec<Poll>>) -> bool,
    ) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.running.iter_mut().try_for_each(Gannet::check)?;
            if is(&self.seen()?) {
                return Ok(());
            }
            ensure!(begun.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
            std::thread::sleep(POLL);
        }
    }

    /// The polls of every device of the inventory.
    fn seen(&self) -> Result<BTreeMap<String, Vec<Poll>>> {
        let asked = self.relays.asked();
        let devices = self.relays.inventory.devices.iter().enumerate();
        Ok(devices.map(|(at, device)| (device.name.clone(), polls(&asked, at))).collect())
    }

    fn sources(&self) -> Result<BTreeSet<SocketAddr>> {
        Ok(self.seen()?.values().flatten().map(|poll| poll.from).collect())
    }
}

fn last(polls: &[Poll]) -> SocketAddr {
    polls.last().map_or(SocketAddr::from(([0; 4], 0)), |poll| poll.from)
}

// === impl Seen ===

impl Seen {
    fn streams(&self) -> Result<String> {
        for (device, polls) in &self.by_device {
            is_one(polls, INTERVAL).with_context(|| format!("{device} has two streams"))?;
        }
        let polls: usize = self.by_device.values().map(Vec::len).sum();
        Ok(format!("{} devices, {polls} polls, none by two at a time", self.by_device.len()))
    }

    /// From the kill until each device had been polled again.
    fn waited(&self) -> Duration {
        let next = |polls: &Vec<Poll>| polls.iter().map(|p| p.begun).find(|at| *at > self.killed);
        let all = self.by_device.values().filter_map(next).map(|at| at - self.killed);
        all.max().unwrap_or_default()
    }

    fn gaps(&self) -> Result<String> {
        let mut gaps = Gaps::default();
        self.by_device.values().for_each(|polls| gaps.add(polls, self.killed));
        let Gaps { same, handed_on, across } = gaps;
        let text = format!(
            "largest {same:.1?} within a stream, {handed_on:.1?} when the second joined, \
             {across:.1?} over the kill -9, {:.1?} from it to the last device's next poll ({} of \
             {} devices moved; a session is {SESSION:?}, an interval {INTERVAL:?}, the slack \
             {SLACK:?})",
            self.waited(),
            self.bereft,
            self.by_device.len(),
        );
        ensure!(same <= INTERVAL + SLACK, "too long within a stream: {text}");
        ensure!(handed_on.max(across) <= SESSION + INTERVAL + SLACK, "too long: {text}");
        Ok(text)
    }
}
