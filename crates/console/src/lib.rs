//! Pages for people, and the store behind them: what broke, why, what the repair would do, and a
//! person's word on it. It reads topics into a store of its own and writes approvals and feedback
//! to topics; it calls no other stage, so that a replay sees every decision.

pub mod config;
pub mod metrics;
mod service;
pub mod store;
pub mod view;
pub mod web;
mod write;

#[cfg(test)]
mod tests;

pub use config::ConsoleConfig;
pub use service::{Bound, ConsoleError, run};
pub use write::Words;
