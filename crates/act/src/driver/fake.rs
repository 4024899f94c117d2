//! A device in memory that counts what is written to it, for tests of act and of whole runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Call, Driver, DriverError};

/// How a fake device behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temper {
    #[default]
    Good,
    /// It says yes and does nothing.
    Deaf,
    /// It says no.
    Refusing,
    /// It does not answer reads or writes at all.
    Gone,
}

/// See the module. Its state is a text for each object: the parameter `set` or `get` names it, and
/// `value` or `integer` is what is written.
#[derive(Debug, Default)]
pub struct FakeDriver {
    readable: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    values: BTreeMap<String, String>,
    /// Every write that was received: object, value, and the call's key.
    writes: Vec<(String, String, String)>,
    /// Of them those that were an effect doubled.
    repeated: u64,
    temper: Temper,
}

// === impl FakeDriver ===

impl FakeDriver {
    pub fn readable() -> FakeDriver {
        FakeDriver { readable: true, ..FakeDriver::default() }
    }

    /// As a webhook: nothing tells what was done.
    pub fn blind() -> FakeDriver {
        FakeDriver::default()
    }

    pub fn set(&self, object: &str, value: &str) {
        self.state().values.insert(object.to_owned(), value.to_owned());
    }

    pub fn get(&self, object: &str) -> Option<String> {
        self.state().values.get(object).cloned()
    }

    pub fn behave(&self, temper: Temper) {
        self.state().temper = temper;
    }

    /// Every write that was received: object and value.
    pub fn writes(&self) -> Vec<(String, String)> {
        let state = self.state();
        state.writes.iter().map(|(object, value, _)| (object.clone(), value.clone())).collect()
    }

    /// Writes that found their value there already, or their key used.
    pub fn repeated(&self) -> u64 {
        self.state().repeated
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver for FakeDriver {
    fn can_read(&self) -> bool {
        self.readable
    }

    fn read(&self, call: &Call) -> Result<String, DriverError> {
        let state = self.state();
        if state.temper == Temper::Gone {
            return Err(DriverError::Unreached("no such host".to_owned()));
        }
        let object = call.parameter("get")?;
        Ok(state.values.get(object).cloned().unwrap_or_default())
    }

    fn write(&self, call: &Call) -> Result<String, DriverError> {
        let mut state = self.state();
        let object = call.parameters.get("set").or(call.parameters.get("url"));
        let object = object.cloned().unwrap_or_else(|| "message".to_owned());
        let value = ["value", "integer", "body", "message"];
        let value = value.iter().find_map(|name| call.parameters.get(*name));
        let value = value.cloned().unwrap_or_default();
        match state.temper {
            Temper::Gone => return Err(DriverError::Unreached("no such host".to_owned())),
            Temper::Refusing => return Err(DriverError::Refused("notWritable".to_owned())),
            Temper::Good | Temper::Deaf => {}
        }
        let is_same = match self.readable {
            true => state.values.get(&object) == Some(&value),
            false => state.writes.iter().any(|(_, _, key)| *key == call.key),
        };
        state.repeated += u64::from(is_same);
        state.writes.push((object.clone(), value.clone(), call.key.clone()));
        if state.temper == Temper::Good {
            state.values.insert(object, value);
        }
        Ok("done".to_owned())
    }
}
