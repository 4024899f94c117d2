//! The loop on the log in memory, with an engine that sums.

mod bed;
mod history;
mod loops;
mod snapshots;
mod toy;
mod turns;
mod watch;
mod writers;
