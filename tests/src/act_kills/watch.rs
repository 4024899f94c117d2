//! The committed rows of `actions`, as they come.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bus::config::LimitsConfig;
use bus::{Log, ReadEvent, Reader};
use model::rows::{Action, ActionState};

pub struct Watch {
    reader: Box<dyn Reader>,
    limits: LimitsConfig,
    rows: Vec<Action>,
}

/// Short, so that a row is seen as soon as it stands.
const POLL: Duration = Duration::from_millis(20);

// === impl Watch ===

impl Watch {
    /// From the topic's beginning on.
    pub fn new(log: &dyn Log, topic: String, limits: LimitsConfig) -> Result<Watch> {
        let mut reader = log.reader()?;
        let from = bus::from_start(log, &mut *reader, &topic)?;
        reader.assign(&from)?;
        Ok(Watch { reader, limits, rows: Vec::new() })
    }

    pub fn of<'a>(&'a self, execution: &'a str) -> impl DoubleEndedIterator<Item = &'a Action> {
        self.rows.iter().filter(move |row| row.execution == execution)
    }

    /// Waits for a row of an execution that is as wanted.
    pub fn row(
        &mut self,
        execution: &str,
        deadline: Instant,
        is_it: impl Fn(&Action) -> bool,
    ) -> Result<Action> {
        loop {
            if let Some(row) = self.of(execution).find(|row| is_it(row)) {
                return Ok(row.clone());
            }
            if Instant::now() > deadline {
                bail!("it did not come; there is {}", self.states(execution));
            }
            self.poll()?;
        }
    }

    /// Takes what there is now, until the topic's end has been seen and nothing came for a while.
    pub fn catch_up(&mut self, quiet: Duration) -> Result<()> {
        let mut since = Instant::now();
        while since.elapsed() < quiet {
            if self.poll()? {
                since = Instant::now();
            }
        }
        Ok(())
    }

    /// The rows of an execution in words.
    pub fn states(&self, execution: &str) -> String {
        let word = |row: &Action| match row.step {
            Some(step) => format!("{}[{step}.{}]", row.state.as_str(), row.attempt),
            None => row.state.as_str().to_owned(),
        };
        self.of(execution).map(word).collect::<Vec<_>>().join(" ")
    }

    /// Whether one came.
    fn poll(&mut self) -> Result<bool> {
        let ReadEvent::Record(record) = self.reader.poll(POLL)? else { return Ok(false) };
        let (meta, batch) = bus::frame::read(&record, &self.limits)
            .context("a record of actions cannot be read")?;
        let is_rows = meta.rows > 0;
        if is_rows {
            self.rows.extend(Action::from_batch(&batch)?);
        }
        Ok(is_rows)
    }
}

/// Whether an execution is over with this row: a whole that failed goes back first.
pub fn is_end(row: &Action) -> bool {
    use ActionState::{
        Confirmed, Expired, Refused, Rejected, RolledBack, Stuck, Unknown, Withdrawn,
    };
    let ends = [Confirmed, Expired, Refused, Rejected, RolledBack, Stuck, Unknown, Withdrawn];
    row.step.is_none() && row.action.is_none() && ends.contains(&row.state)
}
