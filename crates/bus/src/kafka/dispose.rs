//! Ending clients. Their drop polls without a deadline and can hang for as long as a broker is
//! away (rust-rdkafka issues 453, 509, 611), so it runs on a thread of its own, and who ends one
//! waits no longer than it wants to.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use crate::log::LogError;

/// Drops something on a thread of its own; the receiver hears when it is done.
pub fn dispose<T: Send + 'static>(what: T) -> Receiver<()> {
    let (done, waiting) = sync_channel(1);
    let spawned = std::thread::Builder::new().name("log-close".to_owned()).spawn(move || {
        drop(what);
        // Nobody may wait any more.
        done.send(()).ok();
    });
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread to close a client on");
    }
    waiting
}

/// Waits for the end of a client.
pub fn wait(waiting: &Receiver<()>, deadline: Duration) -> Result<(), LogError> {
    waiting.recv_timeout(deadline).map_err(|_| LogError::Timeout { call: "leave", limit: deadline })
}
