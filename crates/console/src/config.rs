//! The section `console` of the configuration: where the pages are, who may see them, and what the
//! store behind them keeps.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use garde::Validate;
use serde::{Deserialize, Serialize, Serializer};

/// Pages, their store, and what a person may ask and say.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
#[garde(custom(open_needs_token))]
pub struct ConsoleConfig {
    /// Address of the pages. Anything but loopback needs a `token`. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Take a free port where the one of `listen` is taken.
    pub fallback: bool,
    /// What a browser logs in with and a program sends as `Authorization: Bearer`. Without one
    /// everyone on this machine may see and say everything.
    pub token: Option<Secret>,
    /// Names, besides localhost and the address itself, that a browser may call this console by.
    pub hosts: Vec<String>,
    /// How long an approval holds: what has not begun by then does not begin.
    #[serde(with = "runtime::config::units::duration")]
    pub approval: Duration,
    /// Pages that may be live at once; one more is told to ask again.
    #[garde(range(min = 1, max = 10_000))]
    pub live_pages_max: usize,
    /// Bytes of what a request may send.
    #[garde(range(min = 1024))]
    pub request_bytes_max: usize,
    #[garde(dive)]
    pub store: StoreConfig,
    #[garde(dive)]
    pub query: QueryConfig,
}

/// A text that no dump and no log shows.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

/// What the store keeps. Over a limit the oldest goes.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
pub struct StoreConfig {
    /// The store's file; without one it is in memory and read from the log again at each start.
    pub path: Option<PathBuf>,
    /// How far back signals, evidence and events are kept, and read where there is no file yet.
    #[serde(with = "runtime::config::units::duration")]
    pub retention: Duration,
    /// Incidents; the oldest resolved one goes first.
    #[garde(range(min = 1))]
    pub incidents_max: usize,
    /// Changes of one incident that its timeline shows.
    #[garde(range(min = 2))]
    pub revisions_max: usize,
    #[garde(range(min = 1))]
    pub executions_max: usize,
    /// Steps of one execution.
    #[garde(range(min = 8))]
    pub steps_max: usize,
    /// Words of people on one incident, and approvals of one execution.
    #[garde(range(min = 1))]
    pub words_max: usize,
    #[garde(range(min = 1))]
    pub series_max: usize,
    /// Points of one series.
    #[garde(range(min = 10))]
    pub points_max: usize,
    /// Anomalies, as they opened, got worse and cleared.
    #[garde(range(min = 1))]
    pub evidence_max: usize,
    #[garde(range(min = 1))]
    pub events_max: usize,
    /// Nodes, links, groups and services.
    #[garde(range(min = 1))]
    pub elements_max: usize,
    #[garde(range(min = 1))]
    pub devices_max: usize,
    #[garde(range(min = 1))]
    pub interfaces_max: usize,
    /// Last values that exporters and devices report of themselves.
    #[garde(range(min = 1))]
    pub gauges_max: usize,
}

/// What one question in SQL may take.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields, default)]
#[garde(allow_unvalidated)]
pub struct QueryConfig {
    /// Rows of an answer.
    #[garde(range(min = 1, max = 1_000_000))]
    pub answer_rows_max: usize,
    #[serde(with = "runtime::config::units::duration")]
    pub time: Duration,
    /// What sorting, joining and grouping may hold.
    #[garde(range(min = 1_048_576))]
    pub memory_bytes_max: usize,
    /// Questions at once; one more is told to ask again.
    #[garde(range(min = 1, max = 64))]
    pub running_max: usize,
}

/// A port that others may reach shows the network and takes approvals.
fn open_needs_token(config: &ConsoleConfig, _context: &()) -> garde::Result {
    if config.is_open() && config.token.as_ref().is_none_or(|token| token.0.len() < TOKEN_MIN) {
        let what = format!(
            "listen: {} is not loopback: set console.token (at least {TOKEN_MIN} characters), or \
             listen on 127.0.0.1",
            config.listen
        );
        return Err(garde::Error::new(what));
    }
    Ok(())
}

/// 16 characters of hexadecimal are 64 bits, out of reach of guessing over HTTP.
const TOKEN_MIN: usize = 16;

// === impl ConsoleConfig ===

impl Default for ConsoleConfig {
    fn default() -> ConsoleConfig {
        ConsoleConfig {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            fallback: false,
            token: None,
            hosts: Vec::new(),
            approval: Duration::from_secs(15 * 60),
            live_pages_max: 64,
            request_bytes_max: 64 << 10,
            store: StoreConfig::default(),
            query: QueryConfig::default(),
        }
    }
}

impl ConsoleConfig {
    /// Whether others than this machine can reach it.
    pub fn is_open(&self) -> bool {
        !self.listen.ip().is_loopback()
    }
}

// === impl StoreConfig ===

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig {
            path: None,
            retention: Duration::from_secs(24 * 3_600),
            incidents_max: 5_000,
            revisions_max: 200,
            executions_max: 5_000,
            steps_max: 200,
            words_max: 50,
            series_max: 5_000,
            // An hour of ten-second windows.
            points_max: 360,
            evidence_max: 20_000,
            events_max: 20_000,
            elements_max: 20_000,
            devices_max: 10_000,
            interfaces_max: 50_000,
            gauges_max: 50_000,
        }
    }
}

// === impl QueryConfig ===

impl Default for QueryConfig {
    fn default() -> QueryConfig {
        QueryConfig {
            answer_rows_max: 1_000,
            time: Duration::from_secs(5),
            memory_bytes_max: 64 << 20,
            running_max: 2,
        }
    }
}

// === impl Secret ===

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}
