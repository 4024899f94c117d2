//! A stage whose engine panics on some messages, whatever it is: the loop must find the message,
//! send it to the dead letters and go on as if it had not been there. And one that can be made to
//! forget a part of its state when it is restored.

use arrow::array::RecordBatch;
use bus::TaskId;
use runtime::task::{
    BadMessage, Block, Count, Engine, History, Input, InputSpec, Outputs, RestoreError, Stage,
};

/// What it says when it panics.
pub const SAYS: &str = "the check's own panic";

/// Whether the engine panics on a message.
pub type Poison = fn(&Input<'_>) -> bool;

pub struct Fragile<S> {
    stage: S,
    poison: Poison,
    forgets: Forgets,
}

/// How the names of the blocks begin that a restore leaves out.
type Forgets = Option<&'static str>;

pub struct FragileEngine<E> {
    engine: E,
    poison: Poison,
    forgets: Forgets,
}

// === impl Fragile ===

impl<S: Stage> Fragile<S> {
    pub fn new(stage: S, poison: Poison) -> Fragile<S> {
        Fragile { stage, poison, forgets: None }
    }

    pub fn forgetting(stage: S, forgets: Forgets) -> Fragile<S> {
        Fragile { stage, poison: |_| false, forgets }
    }
}

impl<S: Stage> Stage for Fragile<S> {
    type Engine = FragileEngine<S::Engine>;

    fn name(&self) -> &str {
        self.stage.name()
    }

    fn inputs(&self) -> Vec<InputSpec> {
        self.stage.inputs()
    }

    fn outputs(&self) -> Vec<String> {
        self.stage.outputs()
    }

    fn mirrors(&self) -> Vec<String> {
        self.stage.mirrors()
    }

    fn engine(&self, task: &TaskId) -> Self::Engine {
        let engine = self.stage.engine(task);
        FragileEngine { engine, poison: self.poison, forgets: self.forgets }
    }

    fn snapshots(&self) -> bool {
        self.stage.snapshots()
    }

    fn config_fp(&self) -> &str {
        self.stage.config_fp()
    }
}

// === impl FragileEngine ===

impl<E> FragileEngine<E> {
    fn look(&self, input: &Input<'_>) {
        assert!(!(self.poison)(input), "{SAYS}");
    }
}

impl<E: Engine> Engine for FragileEngine<E> {
    /// The panic comes after the engine has changed: its state is not to be used any more.
    fn message(&mut self, input: &Input<'_>, out: &mut Outputs) -> Result<(), BadMessage> {
        let result = self.engine.message(input, out);
        self.look(input);
        result
    }

    fn at_boundary(&self) -> bool {
        self.engine.at_boundary()
    }

    fn trial(&mut self, input: &Input<'_>) -> Result<(), BadMessage> {
        self.look(input);
        self.engine.trial(input)
    }

    fn snapshot(&self) -> Vec<Block> {
        self.engine.snapshot()
    }

    fn restore(&mut self, blocks: &[Block]) -> Result<(), RestoreError> {
        let is_kept = |block: &&Block| !self.forgets.is_some_and(|of| block.name.starts_with(of));
        self.engine.restore(&blocks.iter().filter(is_kept).cloned().collect::<Vec<_>>())
    }

    fn note(&self) -> Option<String> {
        self.engine.note()
    }

    fn restore_note(&mut self, note: &str) -> Result<(), RestoreError> {
        self.engine.restore_note(note)
    }

    fn history_wanted(&self) -> Option<History> {
        self.engine.history_wanted()
    }

    fn history(&mut self, batch: &RecordBatch) {
        self.engine.history(batch);
    }

    fn history_read(&mut self) -> Vec<Count> {
        self.engine.history_read()
    }
}
