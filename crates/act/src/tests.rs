//! Executions from incident to end, in memory.

mod crash;
mod gates;
mod rig;
mod service;
mod walk;
