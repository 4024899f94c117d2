//! What a run needs from outside: the options of `gannet sim`, and what can go wrong.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::impair::Impair;
use crate::scenario::{Kind, Params};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub kind: Kind,
    /// The same seed and parameters make the same datagrams.
    pub seed: u64,
    /// Where flows are sent.
    pub to: SocketAddr,
    /// Simulated seconds in a second.
    pub speed: f64,
    /// Where the truth is written, if anywhere.
    pub truth: Option<PathBuf>,
    pub impair: Impair,
    pub params: Params,
}

#[derive(Debug, thiserror::Error)]
pub enum SimError {
    #[error("failed to bind a socket to exporter {exporter}: {source}")]
    Bind { exporter: Ipv4Addr, source: std::io::Error },
    #[error("failed to start a thread of the simulated network: {source}")]
    Thread { source: std::io::Error },
    #[error("failed to write the truth to {path}: {source}")]
    Truth { path: PathBuf, source: std::io::Error },
    #[error("speed must be above 0, it is {0}")]
    Speed(f64),
}

// === impl Options ===

impl Default for Options {
    fn default() -> Options {
        Options {
            kind: Kind::Benign,
            seed: 1,
            to: SocketAddr::from(([127, 0, 0, 1], 2055)),
            speed: 1.0,
            truth: None,
            impair: Impair::default(),
            params: Params::default(),
        }
    }
}
