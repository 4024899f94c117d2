//! Posts a body to a receiver of the configuration. Nothing tells what came of it but its answer,
//! so one that was cut short is unknown.
//!
//! Parameters: `url` (its name in the configuration), `body` (JSON; any other text goes as
//! `{"text": …}`).

use std::collections::BTreeMap;

use act::{Call, Driver, DriverError};

use crate::config::{Secret, WebhookConfig};
use crate::http;

pub struct WebhookDriver {
    urls: BTreeMap<String, Secret>,
    retries: u32,
    agent: ureq::Agent,
}

// === impl WebhookDriver ===

impl WebhookDriver {
    pub fn new(config: &WebhookConfig) -> WebhookDriver {
        WebhookDriver { urls: config.urls.clone(), retries: config.retries, agent: http::agent() }
    }
}

impl Driver for WebhookDriver {
    fn can_read(&self) -> bool {
        false
    }

    fn read(&self, _: &Call) -> Result<String, DriverError> {
        Err(DriverError::Refused("a webhook cannot be read".to_owned()))
    }

    fn write(&self, call: &Call) -> Result<String, DriverError> {
        let name = call.parameter("url")?;
        let url = self.urls.get(name).ok_or_else(|| {
            DriverError::Refused(format!("{name:?} is not in drivers.webhook.urls"))
        })?;
        let body = json(call.parameters.get("body").map_or("", String::as_str));
        http::post(&self.agent, url, &body, &call.key, self.retries, call.timeout())
    }
}

fn json(body: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(body) {
        Ok(value) => value.to_string(),
        Err(_) => serde_json::json!({ "text": body }).to_string(),
    }
}
