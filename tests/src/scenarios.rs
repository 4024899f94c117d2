//! What Gannet makes of each kind of fault, seed by seed: `cargo xtask scenarios`. One line of JSON
//! a run; then each half of the seeds against what is asked. The second half is not looked at while
//! developing.

mod devices;
mod judge;
mod live;
mod run;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use anyhow::{Result, bail, ensure};
use sim::net::Fault;

pub use judge::{Line, RootWord, judge};
pub use run::{CALM_S, Shown, Told, run as run_one};

#[derive(Clone, Debug, clap::Args)]
pub struct ScenarioOptions {
    /// Seeds of each kind of fault
    #[arg(long, default_value_t = 20)]
    pub seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    pub seed_base: u64,
    /// Only these kinds of fault
    #[arg(long, value_delimiter = ',')]
    pub faults: Vec<String>,
    /// One of each kind in real time too, over real sockets
    #[arg(long)]
    pub live: bool,
    /// Only those in real time
    #[arg(long)]
    pub live_only: bool,
    /// One seed of each kind
    #[arg(long)]
    pub short: bool,
    /// Seconds of a quiet run
    #[arg(long, default_value_t = 600)]
    pub quiet_s: u64,
    /// Runs at a time
    #[arg(long, default_value_t = 2)]
    pub parallel: usize,
    /// Tell every revision of every incident
    #[arg(long)]
    pub revisions: bool,
    /// Tell of wrong runs of the second half too
    #[arg(long)]
    pub both: bool,
}

/// What the issue names; the first four are to be repaired.
pub const FAULTS: [Fault; 7] = [
    Fault::LinkDown,
    Fault::Saturation,
    Fault::SynFlood,
    Fault::Flapping,
    Fault::Cpu,
    Fault::SilentExporter,
    Fault::None,
];

/// Shares of runs, in percent: root right, root wrong, repaired and verified.
const RIGHT_MIN: usize = 80;
const WRONG_MAX: usize = 5;
const REPAIRED_MIN: usize = 80;
/// Median seconds to an incident, without a rule's own `for`.
const INCIDENT_S_MAX: f64 = 30.0;

pub fn run(options: &ScenarioOptions) -> Result<()> {
    let faults = faults(&options.faults)?;
    let live_wrong = match options.live || options.live_only {
        true => live::all(&faults, options.seed_base)?,
        false => 0,
    };
    if options.live_only {
        let passed = faults.len() - live_wrong;
        println!("{passed} passed, {live_wrong} failed, 0 skipped");
        ensure!(live_wrong == 0, "{live_wrong} runs in real time are wrong");
        return Ok(());
    }
    let seeds = if options.short { 1 } else { options.seeds };
    let mut told = Vec::new();
    for seed in 0..seeds {
        for fault in &faults {
            let (fault, seed) = (*fault, options.seed_base + seed);
            told.push(Told { fault, seed, deaf: false, quiet_s: options.quiet_s });
        }
    }
    let half = |seed: u64| match seed - options.seed_base < seeds.div_ceil(2) {
        true => "seen",
        false => "unseen",
    };
    let mut lines = Vec::new();
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..options.parallel.max(1) {
            let (sender, told, next, half) = (sender.clone(), &told, &next, &half);
            scope.spawn(move || {
                while let Some(told) = told.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let line = run::run(*told).map(|(shown, net)| {
                        if options.revisions {
                            print!("{}", run::revisions(&shown));
                        }
                        // Only now, when all is said, does anything read the truth.
                        let truth = devices::lock(&net).truth();
                        judge(*told, half(told.seed), &shown, &truth)
                    });
                    if sender.send((*told, line)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (told, line) in receiver {
            match line {
                Ok(line) => {
                    println!("{}", shown(&line, options.both));
                    lines.push(line);
                }
                Err(error) => return Err(error.context(format!("{told:?}"))),
            }
        }
        Ok(())
    })?;
    score(&lines, &faults, live_wrong)
}

/// The words of a wrong run of the unseen half are kept back: nothing is to be tuned to them.
fn shown(line: &Line, both: bool) -> String {
    let mut line = line.clone();
    if line.half == "unseen" && !both {
        (line.anomalies, line.headlines, line.steps) = Default::default();
    }
    serde_json::to_string(&line).unwrap_or_default()
}

fn faults(names: &[String]) -> Result<Vec<Fault>> {
    if names.is_empty() {
        return Ok(FAULTS.to_vec());
    }
    let one = |name: &String| Ok(serde_json::from_value(serde_json::Value::from(name.as_str()))?);
    names.iter().map(one).collect()
}

/// A table of each half and of both; what falls short is told, and fails.
fn score(lines: &[Line], faults: &[Fault], live_wrong: usize) -> Result<()> {
    let mut short = Vec::new();
    println!(
        "{:<16} {:<7} {:>5} {:>6} {:>6} {:>9} {:>7} {:>4} {:>9} {:>8} {:>7} {:>6}",
        "fault",
        "half",
        "runs",
        "right",
        "wrong",
        "abstained",
        "missed",
        "one",
        "median s",
        "repaired",
        "touched",
        "quiet"
    );
    for fault in faults {
        for half in ["seen", "unseen", "all"] {
            let of = |line: &&Line| line.fault == *fault && (half == "all" || line.half == half);
            let of: Vec<&Line> = lines.iter().filter(of).collect();
            if of.is_empty() {
                continue;
            }
            let row = Row::of(&of);
            row.print(*fault, half);
            if half == "all" {
                short.extend(row.short(*fault));
            }
        }
    }
    let failed = short.len() + live_wrong;
    short.iter().for_each(|line| println!("  FAILED {line}"));
    println!("{} passed, {failed} failed, 0 skipped", faults.len().saturating_sub(failed));
    if failed > 0 { bail!("{failed} kinds fall short") } else { Ok(()) }
}

/// Counts of one kind of fault.
#[derive(Debug, Default)]
struct Row {
    runs: usize,
    roots: BTreeMap<&'static str, usize>,
    one: usize,
    median_s: Option<f64>,
    repaired: usize,
    touched: usize,
    notified: usize,
}

// === impl Row ===

impl Row {
    fn of(lines: &[&Line]) -> Row {
        let mut row = Row { runs: lines.len(), ..Row::default() };
        let mut times: Vec<f64> = lines.iter().filter_map(|line| line.incident_s).collect();
        times.sort_by(f64::total_cmp);
        row.median_s = times.get(times.len() / 2).copied();
        for line in lines {
            let word = match line.root {
                RootWord::Right => "right",
                RootWord::Wrong => "wrong",
                RootWord::Abstained => "abstained",
                RootWord::Missed => "missed",
                RootWord::Quiet => "quiet",
            };
            *row.roots.entry(word).or_default() += 1;
            row.one += usize::from(line.incidents == 1);
            row.repaired += usize::from(line.repaired);
            row.touched += line.wrong_devices.len();
            row.notified += usize::from(line.notified);
        }
        row
    }

    fn root(&self, word: &str) -> usize {
        self.roots.get(word).copied().unwrap_or(0)
    }

    fn print(&self, fault: Fault, half: &str) {
        let median = self.median_s.map_or("-".to_owned(), |s| format!("{s:.1}"));
        println!(
            "{:<16} {half:<7} {:>5} {:>6} {:>6} {:>9} {:>7} {:>4} {median:>9} {:>8} {:>7} {:>6}",
            name(fault),
            self.runs,
            self.root("right"),
            self.root("wrong"),
            self.root("abstained"),
            self.root("missed"),
            self.one,
            self.repaired,
            self.touched,
            self.root("quiet"),
        );
    }

    /// What is asked and not there.
    fn short(&self, fault: Fault) -> Option<String> {
        let least = |percent: usize| (self.runs * percent).div_ceil(100);
        let most = self.runs * WRONG_MAX / 100;
        let mut wrong = Vec::new();
        if self.touched > 0 {
            wrong.push(format!("{} devices touched that have nothing to do with it", self.touched));
        }
        if fault == Fault::None {
            if self.root("quiet") < self.runs {
                wrong.push(format!("{} incidents of nothing", self.runs - self.root("quiet")));
            }
        } else {
            if self.root("right") < least(RIGHT_MIN) || self.root("wrong") > most {
                wrong.push(format!(
                    "root right {}, wrong {}",
                    self.root("right"),
                    self.root("wrong")
                ));
            }
            if self.one < self.runs {
                wrong.push(format!("{} of {} have one incident", self.one, self.runs));
            }
            if self.median_s.is_none_or(|s| s > INCIDENT_S_MAX + own_s(fault)) {
                wrong.push(format!("median time to incident {:?} s", self.median_s));
            }
            if FAULTS[..4].contains(&fault) && self.repaired < least(REPAIRED_MIN) {
                wrong.push(format!("repaired and verified {}", self.repaired));
            }
            if matches!(fault, Fault::Cpu | Fault::SilentExporter) && self.notified < self.runs {
                wrong.push(format!("told somebody in {} of {}", self.notified, self.runs));
            }
        }
        let of = |wrong: Vec<String>| format!("{}: {}", name(fault), wrong.join(", "));
        (!wrong.is_empty()).then(|| of(wrong))
    }
}

fn name(fault: Fault) -> String {
    let name = serde_json::to_value(fault).ok();
    let name = name.as_ref().and_then(|name| name.as_str()).unwrap_or("?");
    if name == "none" { "quiet".to_owned() } else { name.to_owned() }
}

/// The own `for` of the rule that a kind of fault is seen by (`config/rules.yaml`).
fn own_s(fault: Fault) -> f64 {
    match fault {
        Fault::Cpu => 300.0,
        // Three windows of 10 s without a record.
        Fault::Saturation | Fault::SilentExporter => 30.0,
        _ => 0.0,
    }
}
