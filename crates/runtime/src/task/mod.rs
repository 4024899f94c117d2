//! The task loop, written once for all stages (DESIGN §4): input in order, duplicates, watermarks,
//! dead letters, commits, snapshots, restore. What a stage computes is left to its engine
//! (`Engine`); what the log is, to `bus`.

mod breaker;
mod engine;
mod history;
mod identity;
mod lost;
mod metadata;
pub mod metrics;
mod open;
mod options;
mod outputs;
mod ready;
mod run;
mod running;
mod setup;
mod snapshot;
mod snapshot_due;
mod stamp;
mod state;
#[cfg(test)]
mod tests;
mod watch;
mod watermarks;
mod writers;

pub use engine::{
    BadMessage, Block, Engine, History, Input, InputSpec, NOTE_BYTES_MAX, RestoreError,
    SourceTasks, Stage, WriterPolicy,
};
pub use options::{
    BreakerOptions, Clock, LoopError, LoopOptions, LoopReport, SnapshotOptions, SystemClock,
};
pub use outputs::{Count, Dead, Emitted, Late, Out, Outputs, Place, Raw};
pub use run::run;
pub use stamp::ROW_TOO_LARGE;
pub use watermarks::Watermarks;
