//! What ingest must do, each kind of promise in a file of its own.

mod clock;
mod data;
mod encode;
mod fuzz;
mod hostile;
mod join;
mod ledger;
mod names;
mod oracle;
mod records;
mod resume;
mod roundtrip;
mod schema;
mod service;
mod snmp;
mod syslog;
mod truth;
mod vendor;
