//! A log that notes how long each commit took.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bus::{CommitError, Layer, Layered, Log, Tasks, Transaction};

/// Shared by all stages of a run.
pub type Times = Arc<Mutex<Vec<Duration>>>;

struct Timed(Times);

pub fn timed(log: Arc<dyn Log>, times: Times) -> Layered {
    Layered::new(log, move |_, _| Ok(Timed(Arc::clone(&times))))
}

impl Layer for Timed {
    fn commit(
        &mut self,
        tasks: &mut dyn Tasks,
        transaction: Transaction,
    ) -> Result<(), CommitError> {
        let begun = Instant::now();
        let result = tasks.commit(transaction);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(begun.elapsed());
        result
    }
}
