//! Logs that break exactly-once on purpose, and a state that does not come back whole: the check
//! must see it, or it checks nothing.

use std::sync::Arc;
use std::time::Duration;

use bus::{CommitError, Layer, Layered, Log, LogError, OutRecord, Producer, Tasks, Transaction};

use super::stages::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Offsets are committed first and by themselves, outputs after: a crash between loses them.
    OffsetsOutside,
    /// Outputs stay on the log though their transaction was aborted: a crash before the offsets
    /// doubles them.
    AbortDoesNothing,
    /// Correlate's map is left out when it is restored from a snapshot.
    MapIsForgotten,
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

// === impl Mutation ===

impl Mutation {
    /// The stages that it is about: crashes elsewhere show nothing of it.
    pub fn kinds(self) -> &'static [Kind] {
        match self {
            Mutation::OffsetsOutside | Mutation::AbortDoesNothing => &Kind::ALL,
            Mutation::MapIsForgotten => &[Kind::Correlate],
        }
    }

    /// The blocks of a snapshot that are left out.
    pub fn forgets(self) -> Option<&'static str> {
        (self == Mutation::MapIsForgotten).then_some("topology/")
    }
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
            Mutation::MapIsForgotten => tasks.commit(Transaction { outputs, ..offsets })?,
        }
        Ok(())
    }
}
