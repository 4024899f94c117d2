//! What a task knows of time after a message. How it is found out is left to `writers`.

/// Watermarks of a task: each says that nothing older will come. They never go back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    least: Option<i64>,
    sources: Vec<(String, Option<i64>)>,
}

// === impl Watermarks ===

impl Watermarks {
    /// For tests of engines: the least, and that of each source topic.
    pub fn fixed(least: Option<i64>, sources: &[(&str, i64)]) -> Watermarks {
        let sources = sources.iter().map(|(topic, wm)| ((*topic).to_owned(), Some(*wm)));
        Watermarks { least, sources: sources.collect() }
    }

    pub(super) fn of_topics<'a>(topics: impl Iterator<Item = &'a str>) -> Watermarks {
        let sources = topics.map(|topic| (topic.to_owned(), None)).collect();
        Watermarks { least: None, sources }
    }

    /// Nothing older than this will come from any writer that counts; `None` until that is known
    /// (tasks: until all expected ones have spoken; instances: until one has).
    pub fn least(&self) -> Option<i64> {
        self.least
    }

    /// The least over the expected tasks whose own source is this topic; `None` until all of them
    /// have spoken, and for a topic that is no source.
    pub fn of_source(&self, topic: &str) -> Option<i64> {
        self.sources.iter().find(|(name, _)| name == topic).and_then(|(_, wm)| *wm)
    }

    pub(super) fn raise_least(&mut self, to: Option<i64>) {
        self.least = self.least.max(to);
    }

    pub(super) fn raise_source(&mut self, topic: &str, to: Option<i64>) {
        if let Some((_, wm)) = self.sources.iter_mut().find(|(name, _)| name == topic) {
            *wm = (*wm).max(to);
        }
    }
}
