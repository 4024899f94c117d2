//! The words of Gannet: schemas of every topic, rows of the small ones, Arrow to struct and back.
//! No I/O and no clock; what a message on the log looks like around a batch is left to `bus`.

pub mod addr;
pub mod ipc;
pub mod rows;
pub mod schema;
mod schema_file;
pub mod snmp;
pub mod time;

#[cfg(test)]
mod tests;

/// The domain of a network that names none.
pub const DEFAULT_DOMAIN: &str = "default";
