//! Syslog: headers of each family, what they are as events, streams, and the way to the log.

mod families;
mod napalm;
mod service;
mod stream;
