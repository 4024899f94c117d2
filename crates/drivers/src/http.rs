//! One POST with a body of JSON, tried again only where nobody was reached; the key of the step
//! goes along, by which a receiver can tell a repetition.

use std::time::{Duration, Instant};

use act::DriverError;
use ureq::Agent;

use crate::config::Secret;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// Of an answer that is kept.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

pub(crate) fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into()
}

/// Posts; the time holds for all attempts together. Errors name no address: it may be a secret.
pub(crate) fn post(
    agent: &Agent,
    url: &Secret,
    body: &str,
    key: &str,
    retries: u32,
    limit: Duration,
) -> Result<String, DriverError> {
    let deadline = Instant::now() + limit;
    let mut left = retries;
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        match once(agent, url, body, key, rest) {
            Err(DriverError::Unreached(_)) if left > 0 && rest > PAUSE => {
                left -= 1;
                std::thread::sleep(PAUSE);
            }
            made => return made,
        }
    }
}

fn once(
    agent: &Agent,
    url: &Secret,
    body: &str,
    key: &str,
    limit: Duration,
) -> Result<String, DriverError> {
    let request = agent
        .post(url.expose())
        .config()
        .timeout_global(Some(limit))
        .build()
        .header("content-type", "application/json")
        .header("idempotency-key", key);
    let mut answer = request.send(body).map_err(|e| failed(&e))?;
    let status = answer.status();
    let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    let text = text.unwrap_or_default();
    match status.as_u16() {
        200..=299 => Ok(format!("{status}: {text}")),
        // It says itself that it did nothing.
        400..=499 => Err(DriverError::Refused(format!("{status}: {text}"))),
        _ => Err(DriverError::Unclear(format!("{status}: {text}"))),
    }
}

/// Before there was a connection nothing was sent; after it anything may have been.
fn failed(error: &ureq::Error) -> DriverError {
    match error {
        ureq::Error::BadUri(_) => DriverError::Refused("the address is none".to_owned()),
        ureq::Error::HostNotFound => DriverError::Unreached("there is no such host".to_owned()),
        ureq::Error::ConnectionFailed => DriverError::Unreached("no connection".to_owned()),
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
            DriverError::Unreached("the connection was refused".to_owned())
        }
        ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            DriverError::Unreached("no connection in time".to_owned())
        }
        ureq::Error::Timeout(_) => DriverError::Unclear("no answer in time".to_owned()),
        _ => DriverError::Unclear("the exchange broke off".to_owned()),
    }
}
