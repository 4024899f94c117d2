//! Tells people: a line in the log always, and a message to the channel's address where it has one.
//!
//! Parameters: `channel`, `message`.

use std::collections::BTreeMap;

use act::{Call, Driver, DriverError};

use crate::config::{NotifyConfig, Secret};
use crate::{http, metrics};

pub struct NotifyDriver {
    channels: BTreeMap<String, Secret>,
    retries: u32,
    agent: ureq::Agent,
}

// === impl NotifyDriver ===

impl NotifyDriver {
    pub fn new(config: &NotifyConfig) -> NotifyDriver {
        let (channels, retries) = (config.channels.clone(), config.retries);
        NotifyDriver { channels, retries, agent: http::agent() }
    }
}

impl Driver for NotifyDriver {
    fn can_read(&self) -> bool {
        false
    }

    fn read(&self, _: &Call) -> Result<String, DriverError> {
        Err(DriverError::Refused("a notification cannot be read".to_owned()))
    }

    fn write(&self, call: &Call) -> Result<String, DriverError> {
        let (channel, message) = (call.parameter("channel")?, call.parameter("message")?);
        tracing::warn!(channel, message, "notification");
        let Some(url) = self.channels.get(channel) else {
            count("logged");
            return Ok("in the log: the channel has no address".to_owned());
        };
        let body = serde_json::json!({ "channel": channel, "text": message }).to_string();
        let sent = http::post(&self.agent, url, &body, &call.key, self.retries, call.timeout());
        count(if sent.is_ok() { "sent" } else { "failed" });
        sent
    }
}

fn count(result: &'static str) {
    ::metrics::counter!(metrics::NOTIFICATIONS, metrics::LABEL_RESULT => result).increment(1);
}
