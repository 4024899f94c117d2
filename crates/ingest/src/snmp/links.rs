//! A link that went down or came back between two polls, as an event: devices that send no message
//! of it are heard too. Its kind is `interface`, so that rules can tell it from what a device says
//! itself, which also counts the changes that no poll has seen.

use std::collections::HashMap;

use model::rows::{Event, Interface};

use super::ports::Stamp;

/// What an interface's event says of it.
pub const KIND: &str = "interface";

/// The last state of each link that anyone has told this instance: what a device has said itself
/// is no news when a poll finds it too.
#[derive(Debug)]
pub struct Heard {
    links_max: usize,
    states: HashMap<(String, String), String>,
}

// === impl Heard ===

impl Heard {
    /// Of at most `links_max`; of further ones both are told.
    pub fn new(links_max: usize) -> Heard {
        Heard { links_max, states: HashMap::new() }
    }

    /// Takes an event of a link; whether it says another state than the one before.
    pub fn is_news(&mut self, event: &Event) -> bool {
        let (Some(entity), Some(state)) = (&event.entity, &event.state) else {
            return true;
        };
        let key = (event.device.clone(), entity.clone());
        if let Some(last) = self.states.get_mut(&key) {
            let is_news = last != state;
            last.clone_from(state);
            return is_news;
        }
        if self.states.len() < self.links_max {
            self.states.insert(key, state.clone());
        }
        true
    }
}

/// The event of what was told before and what a poll has found; none where that is the same, or
/// where one of the two is not known.
pub fn event(stamp: &Stamp<'_>, told: Option<&Interface>, row: &Interface) -> Option<Event> {
    let state = state(row)?;
    if state == told.and_then(self::state)? {
        return None;
    }
    let word = |is_up: Option<bool>| match is_up {
        Some(true) => "up",
        Some(false) => "down",
        None => "unknown",
    };
    let (admin, oper) = (word(row.admin_up), word(row.oper_up));
    Some(Event {
        domain: stamp.domain.to_owned(),
        received_ms: stamp.at_ms,
        device: stamp.device.to_owned(),
        entity: Some(row.name.clone()),
        kind: KIND.to_owned(),
        state: Some(state.to_owned()),
        severity: None,
        device_time_ms: None,
        text: Some(format!("polled: ifAdminStatus {admin}, ifOperStatus {oper}")),
    })
}

/// The words of syslog's events.
fn state(row: &Interface) -> Option<&'static str> {
    Some(match (row.admin_up, row.oper_up?) {
        (Some(false), _) => "admin-down",
        (_, false) => "down",
        (_, true) => "up",
    })
}
