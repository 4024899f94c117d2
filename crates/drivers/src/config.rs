//! The section `drivers` of the configuration: where secrets are, by name. Bindings and rows hold
//! the names only.

use std::collections::BTreeMap;
use std::path::PathBuf;

use garde::Validate;
use serde::{Deserialize, Serialize, Serializer};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct DriversConfig {
    #[garde(dive)]
    pub snmp: SnmpConfig,
    #[garde(dive)]
    pub command: CommandConfig,
    #[garde(dive)]
    pub webhook: WebhookConfig,
    #[garde(dive)]
    pub sim: SimConfig,
    #[garde(dive)]
    pub notify: NotifyConfig,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct SnmpConfig {
    /// Communities that may set, by the credential's name in the inventory.
    #[garde(skip)]
    pub credentials: BTreeMap<String, Secret>,
    /// Where a device in the inventory names none.
    #[garde(range(min = 1))]
    pub port: u16,
    /// Of one datagram; it is sent again twice, since to set a value twice is to set it once.
    #[garde(range(min = 50, max = 60_000))]
    pub timeout_ms: u64,
    #[garde(range(max = 10))]
    pub retries: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct CommandConfig {
    /// Programs that may be run, by the name that bindings use. No others, and never a shell.
    #[garde(skip)]
    pub programs: BTreeMap<String, PathBuf>,
    /// Of a program's output; what comes after is not kept.
    #[garde(range(min = 1, max = 1_000_000))]
    pub output_bytes_max: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Receivers by the name that bindings use: an address may be a secret.
    #[garde(skip)]
    pub urls: BTreeMap<String, Secret>,
    /// After an attempt that reached nobody.
    #[garde(range(max = 10))]
    pub retries: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct SimConfig {
    /// Where a simulated device has its command line.
    #[garde(range(min = 1))]
    pub port: u16,
    #[garde(range(min = 1, max = 10_000_000))]
    pub answer_bytes_max: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate)]
#[serde(default, deny_unknown_fields)]
pub struct NotifyConfig {
    /// Where a channel's messages are posted, as JSON with a `text`: what Slack, Mattermost and
    /// Rocket.Chat take. One without an address is only logged.
    #[garde(skip)]
    pub channels: BTreeMap<String, Secret>,
    #[garde(range(max = 10))]
    pub retries: u32,
}

/// A text that no log, page or dump shows.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

// === impl Secret ===

impl Secret {
    pub fn new(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

// === impl Default ===

impl Default for SnmpConfig {
    fn default() -> SnmpConfig {
        SnmpConfig { credentials: BTreeMap::new(), port: 161, timeout_ms: 1_000, retries: 2 }
    }
}

impl Default for CommandConfig {
    fn default() -> CommandConfig {
        CommandConfig { programs: BTreeMap::new(), output_bytes_max: 16 << 10 }
    }
}

impl Default for WebhookConfig {
    fn default() -> WebhookConfig {
        WebhookConfig { urls: BTreeMap::new(), retries: 2 }
    }
}

impl Default for SimConfig {
    fn default() -> SimConfig {
        SimConfig { port: 2_023, answer_bytes_max: 64 << 10 }
    }
}

impl Default for NotifyConfig {
    fn default() -> NotifyConfig {
        NotifyConfig { channels: BTreeMap::new(), retries: 2 }
    }
}
