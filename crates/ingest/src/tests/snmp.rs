//! Polling: agents with every quirk, real walks, rates that are never invented, and the way of a
//! poll to the log.

mod agent;
mod feed;
mod poller;
mod rates;
mod udp;
mod walks;
