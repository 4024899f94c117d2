//! What polling gives, on its way to the log: rows of metrics, of interfaces and of events in
//! the order of ingest's own time, and the poller inside a feed for simulated time.

use bus::Time;
use model::rows::{Event, Interface, Metric};
use model::schema;
use model::snmp::{Request, Response};

use crate::publish::{Aside, Rows};
use crate::service::{IngestError, IngestFeed};
use crate::snmp::{Polled, Poller};
use crate::watch::INTERFACES;

/// Rows gathered before a message of them goes out: about 500 KB.
const ROWS_MAX: usize = 4_000;

/// Who answers for the devices in simulated time: a device's name, the time, what it is asked.
pub type Ask<'a> = dyn FnMut(&str, i64, &Request) -> Option<Response> + 'a;

/// The poller of a feed that has no sockets.
pub struct InProcess {
    poller: Poller,
    /// Of the inventory as the poller has it.
    version: Option<u64>,
}

// === impl InProcess ===

impl InProcess {
    pub fn new(poller: Poller) -> InProcess {
        InProcess { poller, version: None }
    }
}

// === impl IngestFeed ===

impl IngestFeed {
    /// Polls all devices of the inventory whose time has come by `now_ms`, each at its own time,
    /// with `ask` in their place. Call it as often as time goes on.
    pub fn poll_devices(&mut self, now_ms: i64, ask: &mut Ask<'_>) -> Result<(), IngestError> {
        self.sync_devices();
        while let Some(due_ms) = self.in_process.poller.next_due().filter(|&due| due <= now_ms) {
            for first in self.in_process.poller.due(due_ms) {
                let mut next = Some(first);
                while let Some(one) = next {
                    let response = ask(&one.device, due_ms, &one.request);
                    next = self.in_process.poller.answer(&one, due_ms, response.as_ref());
                }
            }
            for polled in self.in_process.poller.take() {
                self.polled(due_ms, polled)?;
            }
        }
        self.advance(now_ms)
    }

    fn sync_devices(&mut self) {
        // From where the feed stands: a device may be due before the time that is now to come.
        let now_ms = self.now();
        let version = self.devices().version();
        if self.in_process.version == Some(version) {
            return;
        }
        self.in_process.version = Some(version);
        let devices = self.devices().all();
        let keys = devices.iter().map(model::rows::Device::record_key).collect();
        self.in_process.poller.keep(&keys);
        for device in devices {
            let (domain, name) = (device.domain.clone(), device.device.clone());
            let interfaces = self.interfaces.clone();
            let known = || interfaces.of_device(&domain, &name);
            self.in_process.poller.put(device, now_ms, known);
        }
    }

    /// What one poll gave at `at_ms`. Rows are never older than what was promised, so they count as
    /// of now where that is later.
    pub fn polled(&mut self, at_ms: i64, polled: Polled) -> Result<(), IngestError> {
        self.pass(at_ms)?;
        let now_ms = self.now();
        let rows = polled.metrics.into_iter();
        self.polled_rows.extend(rows.map(|row| Metric { received_ms: now_ms, ..row }));
        let events = polled.events.into_iter().filter(|event| self.links.is_news(event));
        let events: Vec<Event> = events.map(|row| Event { received_ms: now_ms, ..row }).collect();
        self.events(&events)?;
        for row in polled.interfaces {
            self.interface(Interface { received_ms: now_ms, ..row })?;
        }
        for row in polled.gone {
            let (key, device) = (row.record_key(), row.device.as_bytes());
            self.publisher.tombstone(INTERFACES, schema::interfaces(), &key, device, now_ms)?;
            self.interfaces.remove(&key, now_ms);
        }
        if self.polled_rows.len() >= ROWS_MAX {
            self.flush_polled()?;
        }
        Ok(())
    }

    /// To the log, and at once to flows that come from here on.
    fn interface(&mut self, row: Interface) -> Result<(), IngestError> {
        let batch = schema::prune(&Interface::to_batch(std::slice::from_ref(&row))?);
        let (key, schema, time_ms) = (row.record_key(), schema::interfaces(), row.received_ms);
        self.publisher.element(INTERFACES, schema, batch, &key, time_ms)?;
        self.interfaces.put(row);
        Ok(())
    }

    pub(crate) fn flush_polled(&mut self) -> Result<(), IngestError> {
        let rows = std::mem::take(&mut self.polled_rows);
        let Some(first_ms) = rows.iter().map(|row| row.received_ms).min() else {
            return Ok(());
        };
        let wm_ms = self.watermark().min(first_ms);
        let batch = schema::prune(&Metric::to_batch(&rows)?);
        let (topic, schema, time) = ("metrics.v1", schema::metrics(), received());
        let aside = Aside::Nothing;
        self.publisher.rows(Rows { topic, schema, batch, time, wm_ms, aside })?;
        Ok(())
    }
}

fn received() -> Time {
    Time::Column("received".to_owned())
}
