//! Entry points for fuzzing: any bytes as one message, and any bytes as a TCP stream.

use super::frame::Framer;
use super::{SyslogConfig, parse, said};
use crate::syslog::feed;

const RECEIVED_MS: i64 = 1_700_000_000_000;

/// One message of any bytes: the event keeps its text, and the columns are as the contract says.
pub fn message(bytes: &[u8]) {
    let limit = SyslogConfig::default().message_bytes_max;
    let (text, is_cut) = feed::text(bytes, limit);
    assert_eq!(is_cut, bytes.len() > limit);
    if let Ok(whole) = std::str::from_utf8(bytes) {
        assert!(is_cut || text == whole, "the text is kept whole");
    }
    let parsed = parse(&text);
    assert!(parsed.severity.is_none_or(|severity| severity <= 7));
    assert!(parsed.facility.is_none_or(|facility| facility <= 23));
    let time = parsed.time.and_then(|stamp| stamp.ms_since_1970(RECEIVED_MS));
    assert!(time.is_none_or(|ms| ms.unsigned_abs() < 400_000_000_000_000));
    let said = said(&parsed);
    assert!(said.kind == "syslog" || said.kind.len() > 2);
    assert!(said.entity.is_none_or(|entity| entity.len() <= 256));
}

/// A stream in pieces of the sizes that its first bytes tell: how it is cut changes nothing.
pub fn stream(bytes: &[u8]) {
    let Some((&size, stream)) = bytes.split_first() else {
        return;
    };
    let limit = 64;
    let whole = frames(&[stream], limit);
    let pieces: Vec<&[u8]> = stream.chunks(usize::from(size) + 1).collect();
    assert_eq!(frames(&pieces, limit), whole);
    whole.0.iter().for_each(|message| {
        assert!(message.len() <= limit + 1);
        self::message(message);
    });
}

fn frames(pieces: &[&[u8]], limit: usize) -> (Vec<Vec<u8>>, bool) {
    let mut framer = Framer::new(limit);
    let mut found = Vec::new();
    for piece in pieces {
        if framer.push(piece, &mut |message| found.push(message.to_vec())).is_err() {
            return (found, false);
        }
    }
    found.push(framer.unfinished().to_vec());
    (found, true)
}
