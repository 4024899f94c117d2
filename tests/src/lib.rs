//! What is tested across crates: one module a subject; `cargo test` runs their tests, `lab` and the
//! benches use them as a library.

#[cfg(test)]
mod acls;
pub mod act_kills;
pub mod bench;
pub mod browser;
pub mod conformance;
pub mod crash;
pub mod cut;
pub mod e2e;
pub mod history;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod incidents;
pub mod process;
#[cfg(test)]
mod rebuild;
#[cfg(test)]
mod refusals;
pub mod scenarios;
pub mod stall;
#[cfg(test)]
mod windows;
