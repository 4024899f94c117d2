//! Whether topics are still those that the loop began with. One that was deleted and made again has
//! another id: what was committed of it, the names of outputs made from it and the writers that are
//! waited for are those of a topic that is gone, and going on would lose what comes, silently.

use std::time::Duration;

use super::engine::Stage;
use super::open::is_crash;
use super::options::LoopError;
use super::run::Loop;

/// Between two looks while nothing seems wrong: the log itself says nothing of it.
const LOOK: Duration = Duration::from_secs(10);

impl<S: Stage> Loop<'_, S> {
    /// Fails where a topic is another one. One that is missing may be on its way: the log's own
    /// calls say so soon enough.
    pub(super) fn same_topics(&mut self) -> Result<(), LoopError> {
        self.topics_seen = self.options.clock.now();
        for (topic, was) in &self.setup.ids {
            match self.log.admin().describe(topic) {
                Ok(Some(now)) if now.id != *was => {
                    let (topic, was) = (topic.clone(), was.clone());
                    return Err(LoopError::TopicMadeAgain { topic, was, now: now.id });
                }
                Ok(_) => {}
                Err(error) if is_crash(&error) => return Err(error.into()),
                Err(error) => tracing::debug!(%error, topic, "a topic's id is not known now"),
            }
        }
        Ok(())
    }

    pub(super) fn same_topics_if_due(&mut self) -> Result<(), LoopError> {
        let since = self.options.clock.now().saturating_sub(self.topics_seen);
        if since >= LOOK { self.same_topics() } else { Ok(()) }
    }
}
