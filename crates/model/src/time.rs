//! Instants as they stand in columns: milliseconds since 1970-01-01 UTC, and how a person reads
//! them.

use jiff::Timestamp;

/// RFC 3339 with milliseconds; an instant outside jiff's range is shown as its number.
pub fn rfc3339(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(instant) => format!("{instant:.3}"),
        Err(_) => format!("{ms} ms"),
    }
}

/// The instant of an RFC 3339 text, or of a number of milliseconds.
pub fn parse(text: &str) -> Option<i64> {
    if let Ok(ms) = text.parse::<i64>() {
        return Some(ms);
    }
    text.parse::<Timestamp>().ok().map(|instant| instant.as_millisecond())
}
