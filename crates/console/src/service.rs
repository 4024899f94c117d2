//! The console as a process runs it: a port that is bound before any work, a thread that follows
//! the log, and a server until the shutdown.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bus::{BusConfig, Log};
use runtime::admin::Condition;
use runtime::shutdown::Shutdown;
use runtime::task::{Clock, SystemClock};
use tokio::sync::watch;

use crate::config::ConsoleConfig;
use crate::store::{self, DiskError, Store};
use crate::web;
use crate::write::Words;

#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    #[error(
        "cannot listen on {address} for the console: {source} \
         (change console.listen, or GANNET__CONSOLE__LISTEN)"
    )]
    Bind { address: SocketAddr, source: io::Error },
    #[error("console.listen is {0}, which others can reach: set console.token")]
    Open(SocketAddr),
    #[error("cannot start the console: {0}")]
    Start(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] DiskError),
    #[error("cannot make a secret: {0}")]
    Secret(#[from] getrandom::Error),
    #[error("the console's store panicked")]
    Panicked,
}

/// A bound port that does not answer yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// Server threads: pages are made from memory in milliseconds.
const THREADS: usize = 2;
/// Open connections are given this long at the end.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

// === impl Bound ===

impl Bound {
    pub fn bind(config: &ConsoleConfig) -> Result<Bound, ConsoleError> {
        // The configuration is checked where it is read; one made in code is not.
        if config.is_open() && config.token.is_none() {
            return Err(ConsoleError::Open(config.listen));
        }
        let wanted = config.listen;
        let listener = match TcpListener::bind(wanted) {
            Err(error) if config.fallback && error.kind() == io::ErrorKind::AddrInUse => {
                TcpListener::bind(SocketAddr::new(wanted.ip(), 0))
            }
            other => other,
        };
        let bound = listener.and_then(|listener| {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Bound { listener, address })
        });
        bound.map_err(|source| ConsoleError::Bind { address: wanted, source })
    }

    /// Where a person finds the pages.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// Follows the log and serves the pages until the shutdown. `ready` is met when the store has read
/// what was on the log.
pub fn run(
    config: &ConsoleConfig,
    bound: Bound,
    log: &Arc<dyn Log>,
    bus: &BusConfig,
    instance: &str,
    ready: Option<Condition>,
    shutdown: &Shutdown,
) -> Result<(), ConsoleError> {
    crate::metrics::describe();
    let clock = SystemClock::default();
    let now_ms = clock.wall_ms();
    let epoch = u64::try_from(now_ms).unwrap_or(0);
    let words = Words::new(Arc::clone(log), bus.clone(), instance, epoch);
    let store = Store::new(config.store.clone(), config.store.path.is_some());
    let (end, ending) = watch::channel(false);
    let secret = secret()?;
    let app =
        web::Shared::new(config.clone(), store.clone(), words, Box::new(clock), secret, ending);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("console")
        .enable_all()
        .build()?;
    let served = thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let limits = &config.store;
            let followed =
                store::follow(&**log, bus, &store, limits, now_ms, ready.as_ref(), shutdown);
            // Pages over a store that stands still would deceive.
            end.send_replace(true);
            followed
        });
        let served = runtime.block_on(serve(bound.listener, app));
        let followed = follower.join().map_err(|_| ConsoleError::Panicked)?;
        followed?;
        Ok(served?)
    });
    runtime.shutdown_timeout(LAST_ANSWERS);
    served
}

async fn serve(listener: TcpListener, app: web::App) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut ending = app.ending();
    let server = axum::serve(listener, web::router(app));
    tokio::select! {
        served = server => served,
        // It ends when it is true, or when nobody is left to say so.
        _ = ending.wait_for(|ending| *ending) => Ok(()),
    }
}

/// 32 bytes that nobody guesses.
pub fn secret() -> Result<[u8; 32], getrandom::Error> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    Ok(secret)
}
