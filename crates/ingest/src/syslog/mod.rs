//! What devices say in words: RFC 5424, RFC 3164 and the headers that devices really send, read
//! into an event. No message is refused: what is not understood keeps its text, and is an event of
//! kind `syslog`. Sockets are in `tcp` and in ingest's `receive`, all else here is pure.

mod body;
mod config;
mod feed;
pub mod frame;
pub mod fuzz;
mod parse;
mod port;
mod rfc5424;
mod said;
mod stamp;
mod tcp;

pub use config::SyslogConfig;
pub use feed::{Syslog, event, text as event_text};
pub use parse::{Parsed, parse};
pub use said::{Said, said};
pub use stamp::Stamp;
pub use tcp::{Closed, Rules, Tcp};
