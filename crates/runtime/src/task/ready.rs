//! Tells the process's readiness, once, that the instance has joined its group and that each task
//! that it was given stands where it was committed. A task that moves here later is restored beside
//! those that run; its instance stays ready.

use super::engine::Stage;
use super::run::Loop;

impl<S: Stage> Loop<'_, S> {
    pub(super) fn tell_ready(&mut self) {
        let Some(ready) = self.ready.as_ref().filter(|_| self.has_joined) else {
            return;
        };
        let restored = self.running.values().filter(|running| running.is_restored()).count();
        let all = self.sides.len();
        if restored == all {
            ready.met();
            self.ready = None;
        } else if self.restored != Some((restored, all)) {
            ready.unmet(&format!("{restored} of {all} tasks are restored"));
            self.restored = Some((restored, all));
        }
    }
}
