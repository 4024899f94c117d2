//! The one binary's commands: the configuration's root, the order in which a process starts, and
//! what people ask of a log. What stages do is left to the stages.

pub mod activate;
pub mod approve;
pub mod check;
pub mod cli;
pub mod config;
pub mod decode;
pub mod demo;
pub mod failure;
pub mod fuzz;
pub mod inventory;
pub mod listen;
pub mod network;
pub mod playbook;
pub mod run;
pub mod shipped;
pub mod simnet;
pub mod stages;
pub mod tail;
pub mod topics;

#[cfg(test)]
mod tests;
