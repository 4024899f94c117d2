//! What ingest must do, each kind of promise in a file of its own.

mod data;
mod truth;
mod vendor;
