//! Logs that break exactly-once on purpose: the check must see it, or it checks nothing.

use std::sync::Arc;
use std::time::Duration;

use bus::{CommitError, Layer, Layered, Log, LogError, OutRecord, Producer, Tasks, Transaction};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Offsets are committed first and by themselves, outputs after: a crash between loses them.
    OffsetsOutside,
    /// Outputs stay on the log though their transaction was aborted: a crash before the offsets
    /// doubles them.
    AbortDoesNothing,
}

struct Mutant {
    producer: Box<dyn Producer>,
    mutation: Mutation,
}

/// A log with a mutation.
pub fn mutant(log: Arc<dyn Log>, mutation: Mutation) -> Layered {
    let below = Arc::clone(&log);
    Layered::new(log, move |stage, instance| {
        Ok(Mutant { producer: below.producer(stage, instance)?, mutation })
    })
}

// === impl Mutant ===

impl Mutant {
    fn produce(&mut self, outputs: &[OutRecord]) -> Result<(), LogError> {
        for record in outputs {
            self.producer.send(record)?;
        }
        // A dead producer hears nothing: its next call says so.
        let mut waits = 0;
        while self.producer.in_flight() > 0 && waits < 200 {
            self.producer.poll(Duration::from_millis(5));
            waits += 1;
        }
        Ok(())
    }
}

impl Layer for Mutant {
    fn commit(
        &mut self,
        tasks: &mut dyn Tasks,
        transaction: Transaction,
    ) -> Result<(), CommitError> {
        let Transaction { outputs, positions } = transaction;
        let offsets = Transaction { outputs: Vec::new(), positions };
        match self.mutation {
            Mutation::OffsetsOutside => {
                tasks.commit(offsets)?;
                self.produce(&outputs)?;
            }
            Mutation::AbortDoesNothing => {
                self.produce(&outputs)?;
                tasks.commit(offsets)?;
            }
        }
        Ok(())
    }
}
