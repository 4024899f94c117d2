//! The store: what the topics say, as the pages read it. Rows come from the log (`read`), lie in
//! memory (`state`) and, where a path is configured, in a file (`disk`).

mod disk;
mod read;
pub mod row;
pub mod state;
mod tables;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

pub use disk::DiskError;
pub use read::follow;
pub use row::{Execution, IncidentDoc, Point, Revision, Row, Series, SeriesKey};
pub use state::State;
pub use tables::{TABLES, columns, table};
use tokio::sync::watch;

use crate::config::StoreConfig;

/// A handle; clones share one state.
#[derive(Clone)]
pub struct Store {
    state: Arc<RwLock<State>>,
    changed: Arc<watch::Sender<u64>>,
}

// === impl Store ===

impl Store {
    /// An empty store; `is_kept` says that somebody takes what is dirty.
    pub fn new(limits: StoreConfig, is_kept: bool) -> Store {
        let state = Arc::new(RwLock::new(State::new(limits, is_kept)));
        Store { state, changed: Arc::new(watch::Sender::new(0)) }
    }

    /// A panic of a reader spoils nothing, and a writer's rows are whole.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn apply(&self, rows: Vec<Row>) {
        let version = self.change(|state| {
            rows.into_iter().for_each(|row| state.apply(row));
            state.version += 1;
            state.version
        });
        self.changed.send_replace(version);
    }

    fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hears of each version.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
