//! The configuration that the binary carries: the files of `config/`, unchanged. The demo and
//! simulated runs are told only where to listen and to leave no files.

use std::sync::Arc;

use anyhow::Result;
use runtime::config::{ConfigSource, Loaded, load};

use crate::config::Config;

const ROOT: &str = "gannet.yaml";
const FILES: [(&str, &str); 2] = [
    (ROOT, include_str!("../../../config/gannet.yaml")),
    ("rules.yaml", include_str!("../../../config/rules.yaml")),
];
const ACTIONS: &str = include_str!("../../../config/actions.yaml");
pub(crate) const PLAYBOOKS: [(&str, &str); 6] = [
    ("admin-down.yaml", include_str!("../../../config/playbooks/admin-down.yaml")),
    ("cpu.yaml", include_str!("../../../config/playbooks/cpu.yaml")),
    ("exporter-silent.yaml", include_str!("../../../config/playbooks/exporter-silent.yaml")),
    ("flapping.yaml", include_str!("../../../config/playbooks/flapping.yaml")),
    ("flood.yaml", include_str!("../../../config/playbooks/flood.yaml")),
    ("saturated.yaml", include_str!("../../../config/playbooks/saturated.yaml")),
];

/// Of the log's records, which would grow for as long as the process runs.
const LOG_BYTES_MAX: u64 = 128 << 20;

/// The shipped configuration in one process and in memory, with ports of the kernel's choice on
/// loopback. `variables` come on top, as an environment's would.
pub fn in_memory(variables: &[(&str, String)]) -> Result<Loaded<Config>> {
    let own = [
        ("GANNET__INSTANCE", "demo"),
        ("GANNET__ADMIN__LISTEN", "127.0.0.1:0"),
        ("GANNET__TELEMETRY__LOG", "warn"),
        ("GANNET__BUS__ENGINE", "embedded"),
        ("GANNET__INGEST__LISTEN", "[udp://127.0.0.1:0, syslog+udp://127.0.0.1:0]"),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let more = variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let source = ConfigSource::texts(ROOT, &FILES).with_variables(own.into_iter().chain(more));
    let mut loaded: Loaded<Config> = load(source)?;
    let config = &mut loaded.value;
    config.bus.embedded.path = None;
    config.bus.embedded.bytes_max = LOG_BYTES_MAX;
    config.ingest.spool.path = None;
    config.ingest.sockets = 1;
    config.console.store.path = None;
    config.console.fallback = true;
    config.library = Arc::new(act::check_texts(ACTIONS, &PLAYBOOKS)?);
    Ok(loaded)
}
