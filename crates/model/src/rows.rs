//! Rows of the small topics as structs, and the way to Arrow and back. Flows have no struct: they
//! are only ever columns.

mod action;
mod anomaly;
mod build;
mod device;
mod element;
mod event;
mod incident;
mod metric;
mod read;
mod signal;
mod table;

pub use action::{
    Action, ActionState, Approval, ApprovalVerdict, Change, ChangeState, Feedback, FeedbackVerdict,
    Gate, GateVerdict,
};
pub use anomaly::{Anomaly, AnomalyKind, Contributor, Entity};
pub use device::{Device, Interface};
pub use element::{Element, ElementKind};
pub use event::Event;
pub use incident::{Cause, Grouping, Incident, IncidentState, Member, RunnerUp};
pub use metric::{Metric, Quality};
pub use read::RowError;
pub use signal::Signal;
