//! Runs DataFusion where nothing may escape: its futures to their end on the calling thread, its
//! panics into errors. Planning happens on a thread with a deep stack, since a planner recurses.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use datafusion::error::DataFusionError;

use crate::error::SqlError;

/// Deep enough for the largest text that is accepted: 16 KiB of operators, each a few frames.
const PLANNING_STACK_BYTES: usize = 128 << 20;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Drives a future on this thread. In-memory plans are always ready, so it does not park in
/// practice; it needs no runtime and may be called from within one.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Runs `work`; its error or panic becomes ours. What it touches is thrown away after a panic (a
/// plan is instantiated anew for each run), so nothing half-done is seen again.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, DataFusionError>) -> Result<T, SqlError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(SqlError::Query(message_of(&e))),
        Err(panic) => Err(SqlError::Panic(panic_message(panic.as_ref()))),
    }
}

/// Runs `work` on a thread with a deep stack; a panic becomes its message.
pub(crate) fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(PLANNING_STACK_BYTES);
        let handle = builder.spawn_scoped(scope, work).map_err(|e| e.to_string())?;
        handle.join().map_err(|panic| panic_message(panic.as_ref()))
    })
}

/// DataFusion's message without its class prefix and backtrace.
pub(crate) fn message_of(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let mut rest = text.as_str();
    for prefix in PREFIXES {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    rest.trim_end_matches(['.', ' ']).to_string()
}

const PREFIXES: [&str; 8] = [
    "Error during planning: ",
    "Execution error: ",
    "Schema error: ",
    "SQL error: ",
    "Arrow error: ",
    "Optimizer rule failed: ",
    "Internal error: ",
    "This feature is not implemented: ",
];

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".into())
}
