//! An engine with inputs of its own: what its turn makes stands before anything that it allows
//! happens, and a restore finds it again on the task's own outputs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::RecordBatch;
use bus::{CommitError, Name, TaskId, Writer};

use super::bed::{Bed, ingest};
use super::toy::{batch, rows};
use crate::task::{
    BadMessage, Engine, History, Input, InputSpec, Out, Outputs, Place, Stage, WriterPolicy,
};

/// What an asker was asked, and what happened once it stood.
#[derive(Default)]
struct World {
    asked: Vec<i64>,
    happened: Vec<i64>,
    /// Messages taken when the first turn came.
    taken_before: Option<u64>,
}

/// Tells each number that it is asked once, and lets it happen when that stands.
struct Asker {
    world: Arc<Mutex<World>>,
    taken: u64,
    told: BTreeSet<i64>,
    allowed: Vec<i64>,
}

struct AskerStage(Arc<Mutex<World>>);

impl Engine for Asker {
    fn message(&mut self, _: &Input<'_>, _: &mut Outputs) -> Result<(), BadMessage> {
        self.taken += 1;
        Ok(())
    }

    fn history_wanted(&self) -> Option<History> {
        Some(History { topic: "out".to_owned(), since_ms: None })
    }

    fn history(&mut self, batch: &RecordBatch) {
        self.told.extend(rows(batch).into_iter().map(|row| row.1));
    }

    fn turn(&mut self, out: &mut Outputs) {
        let mut world = self.world.lock().expect("no panic holds it");
        world.taken_before.get_or_insert(self.taken);
        for asked in world.asked.clone() {
            if !self.told.insert(asked) {
                continue;
            }
            out.send(Out {
                topic: "out".to_owned(),
                schema: "toy/1".to_owned(),
                schema_fp: "00".to_owned(),
                batch: batch(&[("told", asked, asked)]),
                place: Place::Fixed(0),
                key: None,
                min_ts_ms: asked,
                max_ts_ms: asked,
                headers: Vec::new(),
                urgent: true,
            });
            let (stage, instance) = ("toy".to_owned(), "told".to_owned());
            let writer = Writer::Instance { stage, instance, epoch: 0 };
            out.name_last(Name { writer, offset: asked, index: 0 });
            self.allowed.push(asked);
        }
    }

    fn stood(&mut self, _: Duration) {
        let allowed = std::mem::take(&mut self.allowed);
        self.world.lock().expect("no panic holds it").happened.extend(allowed);
    }
}

impl Stage for AskerStage {
    type Engine = Asker;

    fn name(&self) -> &str {
        "toy"
    }

    fn inputs(&self) -> Vec<InputSpec> {
        let writers = WriterPolicy::Instances { left_out_after: 10, grace_ms: 0 };
        vec![InputSpec { topic: "in".to_owned(), writers }]
    }

    fn outputs(&self) -> Vec<String> {
        vec!["out".to_owned()]
    }

    fn engine(&self, _: &TaskId) -> Asker {
        let world = Arc::clone(&self.0);
        Asker { world, taken: 0, told: BTreeSet::new(), allowed: Vec::new() }
    }

    fn snapshots(&self) -> bool {
        true
    }

    fn config_fp(&self) -> &str {
        "cfg"
    }

    fn turns(&self) -> Option<Duration> {
        Some(Duration::from_millis(10))
    }
}

fn run(bed: &Bed, world: &Arc<Mutex<World>>) {
    bed.run(AskerStage(Arc::clone(world))).expect("it stops when told");
}

fn asking(asked: &[i64]) -> Arc<Mutex<World>> {
    Arc::new(Mutex::new(World { asked: asked.to_vec(), ..World::default() }))
}

#[test]
fn what_a_turn_made_stands_before_it_happens_and_once() {
    let bed = Bed::new();
    let world = asking(&[1, 2]);
    run(&bed, &world);
    assert_eq!(bed.names("out"), ["instance/toy/told/0/1/0", "instance/toy/told/0/2/0"]);
    assert_eq!(world.lock().expect("no panic holds it").happened, [1, 2]);
    world.lock().expect("no panic holds it").asked.push(3);
    run(&bed, &world);
    assert_eq!(world.lock().expect("no panic holds it").happened, [1, 2, 3], "each one once");
    assert_eq!(bed.sums().len(), 3);
}

#[test]
fn nothing_happens_of_a_turn_whose_commit_failed_and_it_is_made_again() {
    let bed = Bed::new();
    let aborted = CommitError::Aborted("a test".to_owned());
    bed.commit_errors.lock().expect("no panic holds it").push(aborted);
    let world = asking(&[1]);
    run(&bed, &world);
    assert_eq!(bed.sums().len(), 1, "the aborted one is not on the log");
    assert_eq!(world.lock().expect("no panic holds it").happened, [1]);
}

/// Whether it stood is found on the log: it did, so it is not told again, and whoever waits for it
/// must find that out from the past.
#[test]
fn a_turn_whose_commit_is_not_known_is_found_in_the_past() {
    let bed = Bed::new();
    let unknown = CommitError::Indeterminate("a test".to_owned());
    bed.commit_errors.lock().expect("no panic holds it").push(unknown);
    let world = asking(&[1]);
    run(&bed, &world);
    assert_eq!(bed.sums().len(), 1);
    assert!(world.lock().expect("no panic holds it").happened.is_empty());
}

#[test]
fn a_turn_waits_for_all_input_that_was_there() {
    let bed = Bed::new();
    for second in 0..20 {
        bed.rows(&ingest("i", 1), second * 1_000, &[("a", 1, second * 1_000)]);
    }
    let world = asking(&[1]);
    run(&bed, &world);
    assert_eq!(world.lock().expect("no panic holds it").taken_before, Some(20));
}
