//! The header of a message, by a grammar of what devices send in front of their text:
//!
//! | family | header |
//! |---|---|
//! | RFC 5424, SONiC, Junos `structured-data` | `<PRI>1 TIME HOST APP PID ID [DATA] text` |
//! | RFC 3164, EOS, Junos, NetIron | `<PRI>TIME HOST APP[PID]: [ID:] text`, one space or two |
//! | IOS | `<PRI>[SEQ: ][HOST: ][*\|.]TIME[.MS][ ZONE]: %ID: text`, or an uptime for the time |
//! | IOS-XR | `<PRI>SEQ: HOST NODE:TIME[ ZONE]: APP[PID]: %ID : text` |
//! | NX-OS | `<PRI>[HOST: ]YEAR TIME[ ZONE:][ HOST] %ID: text` |
//! | ASA | `<PRI>[TIME[ HOST][ ]: ]%ASA-N-ID: text` |
//! | Huawei | `<PRI>TIME HOST %%01ID(l)[SEQ]:text` |
//! | Opengear | `<PRI>HOST PORT TIME ID: text` |
//! | Fortinet | `<PRI>date=… time=… devname=… type=… subtype=…` |
//! | PAN-OS | `<PRI>TIME HOST 1,TIME,SERIAL,ID,…` |

use super::body;
use super::rfc5424;
use super::stamp::{self, Stamp, When, digits};

/// The longest name of a host (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 255;
/// The largest priority: facility 23, severity 7 (RFC 5424 §6.2.1).
const PRIORITY_MAX: u8 = 191;

/// A message taken apart. Parts are slices of it; what is not there is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed<'a> {
    pub facility: Option<u8>,
    pub severity: Option<u8>,
    /// The device's own number of the message.
    pub sequence: Option<&'a str>,
    /// Without the routing engine that Junos writes before it (`re0.`).
    pub host: Option<&'a str>,
    pub time: Option<Stamp>,
    /// The program that spoke.
    pub app: Option<&'a str>,
    pub process: Option<&'a str>,
    /// What kind of message it is: `LINK-3-UPDOWN`, `SNMP_TRAP_LINK_DOWN`, `01IFNET/4/IF_STATE`;
    /// the program's name where the device has no better.
    pub tag: Option<&'a str>,
    /// Structured data of RFC 5424, as written.
    pub data: &'a str,
    pub text: &'a str,
}

/// Takes a message apart. Whatever comes, something comes back: at least the text.
pub fn parse(raw: &str) -> Parsed<'_> {
    let raw = raw.trim_matches(['\0', '\n', '\r', ' ']);
    let (priority, rest) = priority(raw);
    let mut parsed = Parsed {
        facility: priority.map(|priority| priority / 8),
        severity: priority.map(|priority| priority % 8),
        text: rest,
        ..Parsed::default()
    };
    // NX-OS writes a colon where its host name would stand.
    let rest = rest.trim_start_matches([' ', ':']);
    if rfc5424::read(rest, &mut parsed) {
        body::of_rfc5424(&mut parsed);
    } else if !body::pairs(rest, &mut parsed) {
        let rest = header(rest, &mut parsed);
        body::read(rest, &mut parsed);
    }
    parsed.host = parsed.host.map(without_engine).filter(|host| !host.is_empty());
    parsed
}

/// `<189>` and what follows it.
fn priority(text: &str) -> (Option<u8>, &str) {
    let found = text.strip_prefix('<').and_then(|rest| {
        let (number, rest) = rest.split_at_checked(digits(rest))?;
        let priority = number.parse().ok().filter(|priority| *priority <= PRIORITY_MAX)?;
        Some((Some(priority), rest.strip_prefix('>')?))
    });
    found.unwrap_or((None, text))
}

/// Sequence, host and time, in the order in which the device writes them.
fn header<'a>(text: &'a str, parsed: &mut Parsed<'a>) -> &'a str {
    let mut rest = text;
    // One number by the sender's counter, another by `service sequence-numbers`.
    while let Some((number, behind)) = sequence(rest) {
        parsed.sequence = parsed.sequence.or(Some(number));
        rest = behind;
    }
    if begins(rest).is_none()
        && let Some((host, behind)) = host_first(rest)
    {
        parsed.host = Some(host);
        rest = behind;
    }
    let Some((when, is_node, behind)) = begins(rest) else {
        return rest;
    };
    let (zone_min, is_ended, rest) = tail(behind, is_node);
    if let When::Date(stamp) = when {
        let offset_min = stamp.offset_min.or(zone_min);
        parsed.time = Some(Stamp { offset_min, ..stamp });
    }
    if is_ended || parsed.host.is_some() {
        return rest;
    }
    let (host, rest) = host_behind(rest);
    parsed.host = host;
    rest
}

/// `521: `.
fn sequence(text: &str) -> Option<(&str, &str)> {
    let len = Some(digits(text)).filter(|len| (1..=10).contains(len))?;
    let (number, rest) = text.split_at_checked(len)?;
    let rest = rest.strip_prefix(':')?;
    let is_end = rest.starts_with([' ', '*']) || rest.is_empty();
    is_end.then(|| (number, rest.trim_start()))
}

/// A time, or a node of IOS-XR and a time; says which.
fn begins(text: &str) -> Option<(When, bool, &str)> {
    if let Some((when, rest)) = stamp::read(text) {
        return Some((when, false, rest));
    }
    let (node, behind) = text.split_once(':')?;
    let is_node = node.contains('/') && !node.contains(' ');
    let (when, rest) = stamp::read(behind).filter(|_| is_node)?;
    Some((when, true, rest))
}

/// A host in front of the time or of the message's own mark.
fn host_first(text: &str) -> Option<(&str, &str)> {
    let (word, behind) = text.split_once(' ')?;
    let behind = behind.trim_start();
    let is_host = (1..=HOST_BYTES_MAX).contains(&word.len()) && !word.starts_with('%');
    if !is_host {
        return None;
    }
    let marked = behind.trim_start_matches([' ', ':']).starts_with('%');
    if let Some(host) = word.strip_suffix(':') {
        // A name and `%` may be a program and its mark (EOS without a host).
        let is_named = marked || begins(behind).is_some();
        return is_named.then_some((host, behind));
    }
    if marked || begins(behind).is_some() {
        return Some((word, behind));
    }
    // Opengear: the port of the console server stands between.
    let (_, rest) = behind.split_once(' ')?;
    let rest = rest.trim_start();
    stamp::read(rest).map(|_| (word, rest))
}

/// What ends a time: a zone's name and a colon, or a colon, or nothing. Gives the zone's offset
/// where it is UTC, and whether the time ended with a colon, behind which no host comes.
fn tail(text: &str, is_node: bool) -> (Option<i16>, bool, &str) {
    let rest = text.trim_start();
    if let Some((zone, behind)) = rest.split_once(':') {
        let is_name = (1..=5).contains(&zone.len()) && zone.bytes().all(|b| b.is_ascii_uppercase());
        let is_utc = matches!(zone, "UTC" | "GMT" | "Z");
        // Another word in capitals may be a program's name.
        if is_name && (is_utc || is_node || behind.trim_start().starts_with('%')) {
            return (is_utc.then_some(0), true, behind);
        }
    }
    match rest.strip_prefix(':') {
        Some(behind) => (None, true, behind),
        None => (None, false, rest),
    }
}

/// The host behind a time: the first word, where it is neither a program nor a message's mark.
fn host_behind(text: &str) -> (Option<&str>, &str) {
    let text = text.trim_start();
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let is_other = word.is_empty()
        || word.len() > HOST_BYTES_MAX
        || word.ends_with(':')
        || word.starts_with('%')
        || word.contains('[')
        || text.starts_with("last message repeated")
        || text.starts_with("message repeated");
    if is_other { (None, text) } else { (Some(word), rest) }
}

/// Junos writes the routing engine before the host: `re0.edge01`, `re0-edge01`.
fn without_engine(host: &str) -> &str {
    let behind =
        host.strip_prefix("re").and_then(|rest| rest.strip_prefix(|c: char| c.is_ascii_digit()));
    let name = behind.and_then(|rest| rest.strip_prefix(['.', '-']));
    name.filter(|name| !name.is_empty()).unwrap_or(host)
}
