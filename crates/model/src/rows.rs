//! Rows of the small topics as structs, and the way to Arrow and back. Flows have no struct: they
//! are only ever columns.

mod anomaly;
mod build;
mod event;
mod incident;
mod metric;
mod read;
mod signal;

pub use anomaly::{Anomaly, AnomalyKind, Contributor, Entity};
pub use event::Event;
pub use incident::{Grouping, Incident, IncidentState, Member};
pub use metric::{Metric, Quality};
pub use read::RowError;
pub use signal::Signal;
