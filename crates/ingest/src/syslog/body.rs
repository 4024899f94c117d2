//! What stands behind the header: the program, its process, the message's own mark and the text.

use super::parse::Parsed;
use super::stamp::{self, When, digits};

/// The longest name of a program that is taken for one.
const APP_BYTES_MAX: usize = 64;
/// The longest mark of a message.
const TAG_BYTES_MAX: usize = 128;

/// Reads on where the header ended.
pub fn read<'a>(rest: &'a str, parsed: &mut Parsed<'a>) {
    let rest = rest.trim_start_matches([' ', ':']);
    parsed.text = rest;
    if mark(rest, parsed) || csv(rest, parsed) {
        return;
    }
    let (card, rest) = cards(rest);
    if let Some((app, process, behind)) = program(rest) {
        parsed.app = Some(app);
        parsed.process = process;
        parsed.text = behind;
        if mark(behind, parsed) || inner(app, behind, parsed) {
            return;
        }
    }
    parsed.tag = parsed.app.or(card);
}

/// RFC 5424 has all but, of some devices, the mark.
pub fn of_rfc5424(parsed: &mut Parsed<'_>) {
    if parsed.tag.is_some() {
        return;
    }
    let text = parsed.text;
    let (tag, sequence) = (parsed.app, parsed.sequence);
    let is_mark = mark(text, parsed) && parsed.tag.is_some_and(|tag| severity(tag).is_some());
    if !is_mark {
        (parsed.tag, parsed.sequence, parsed.text) = (tag, sequence, text);
    }
}

/// The severity within a mark such as `LINK-3-UPDOWN`.
pub fn severity(tag: &str) -> Option<u8> {
    split(tag).map(|(_, severity, _)| severity)
}

/// `PKT_INFRA-LINK-3-UPDOWN` as `LINK`, 3, `UPDOWN`; Huawei's `01IFNET/4/IF_STATE` as `01IFNET`, 4,
/// `IF_STATE`.
pub fn split(tag: &str) -> Option<(&str, u8, &str)> {
    let mark = if tag.contains('/') { '/' } else { '-' };
    let mut from = 0;
    for part in tag.split(mark) {
        if let [digit @ b'0'..=b'7'] = part.as_bytes()
            && from > 0
        {
            let facility = tag.get(..from - 1)?;
            let name = tag.get(from + 2..)?;
            let facility = facility.rsplit(mark).next().unwrap_or(facility);
            return Some((facility, digit - b'0', name));
        }
        from += part.len() + 1;
    }
    None
}

/// `%LINK-3-UPDOWN: text`, `%PKT_INFRA-LINK-3-UPDOWN : text`, `%%01IFNET/4/IF_STATE(l)[4997]:text`.
fn mark<'a>(text: &'a str, parsed: &mut Parsed<'a>) -> bool {
    let Some(rest) = text.strip_prefix('%') else {
        return false;
    };
    let rest = rest.strip_prefix('%').unwrap_or(rest);
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.');
    let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let (tag, behind) = rest.split_at(end);
    if tag.is_empty() || tag.len() > TAG_BYTES_MAX {
        return false;
    }
    // Only Huawei's mark is followed by anything but the colon.
    let Some((between, behind)) = behind.split_once(':') else {
        return false;
    };
    if between.contains(' ') && !between.trim().is_empty() {
        return false;
    }
    if let Some((_, number)) = between.split_once('[') {
        parsed.sequence = number.split_once(']').map(|(number, _)| number);
    }
    parsed.tag = Some(tag);
    parsed.text = behind.trim_start();
    true
}

/// PAN-OS: `1,2026/11/26 10:00:00,SERIAL,TYPE,SUBTYPE,…`.
fn csv<'a>(text: &'a str, parsed: &mut Parsed<'a>) -> bool {
    let mut fields = text.split(',');
    let number = fields.next().unwrap_or_default();
    let is_number = !number.is_empty() && digits(number) == number.len();
    let time = fields.next().and_then(stamp::read).filter(|_| is_number);
    let (Some((When::Date(stamp), "")), Some(kind)) = (time, fields.nth(1)) else {
        return false;
    };
    parsed.time = parsed.time.or(Some(stamp));
    parsed.tag = (!kind.is_empty()).then_some(kind);
    true
}

/// Line cards that Junos writes before the program: `fpc3 fpc3 dcpfe: …`.
fn cards(text: &str) -> (Option<&str>, &str) {
    let (mut card, mut rest) = (None, text);
    while let Some((word, behind)) = rest.split_once(' ')
        && word.strip_prefix("fpc").is_some_and(|n| !n.is_empty() && digits(n) == n.len())
    {
        (card, rest) = (Some(word), behind.trim_start());
    }
    (card, rest)
}

/// `rpd[2902]: text`, `/kernel: text`.
fn program(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.');
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let name = name.strip_prefix('/').unwrap_or(name);
    if name.is_empty() || name.len() > APP_BYTES_MAX {
        return None;
    }
    let (process, rest) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (process, rest) = rest.split_once(']')?;
            (Some(process).filter(|process| !process.is_empty()), rest)
        }
        None => (None, rest),
    };
    let text = rest.strip_prefix(':')?;
    Some((name, process, text.trim_start()))
}

/// Junos' mark behind the program: `UI_COMMIT: text`, `bgp_recv:4609: text`, and the alarms of
/// `alarmd`, which have two words.
fn inner<'a>(app: &str, text: &'a str, parsed: &mut Parsed<'a>) -> bool {
    let Some((tag, behind)) = text.split_once(':') else {
        return false;
    };
    let is_word = tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_mark = is_word && tag.contains('_') && tag.len() <= TAG_BYTES_MAX;
    let is_alarm = app == "alarmd" && matches!(tag, "Alarm set" | "Alarm cleared");
    if !is_mark && !is_alarm {
        return false;
    }
    // The line of the source file.
    let line = digits(behind);
    let without = behind.get(line..).and_then(|rest| rest.strip_prefix(':')).filter(|_| line > 0);
    parsed.tag = Some(tag);
    parsed.text = without.unwrap_or(behind).trim_start();
    true
}

/// Fortinet: `date=2026-11-26 time=10:00:00 devname=fw1 … type=traffic subtype=forward …`.
pub fn pairs<'a>(text: &'a str, parsed: &mut Parsed<'a>) -> bool {
    if !text.starts_with("date=") {
        return false;
    }
    let value = |name| pair(text, name);
    // `date=D time=T`: read as one time where they stand side by side.
    let stamp = value("date").zip(value("time")).map(|(date, time)| format!("{date} {time}"));
    if let Some((When::Date(stamp), _)) = stamp.as_deref().and_then(stamp::read) {
        let zone = value("tz").and_then(zone_min);
        parsed.time = Some(stamp::Stamp { offset_min: zone, ..stamp });
    }
    parsed.host = value("devname");
    parsed.app = value("type");
    parsed.tag = value("subtype").or(parsed.app);
    parsed.text = text;
    true
}

/// `+0100`.
fn zone_min(text: &str) -> Option<i16> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let number: i16 = text.strip_prefix(['+', '-'])?.parse().ok()?;
    (number <= 1_400).then_some(sign * (number / 100 * 60 + number % 100))
}

/// The value of a name in `name=value name="value in words"`.
fn pair<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = text;
    while !rest.is_empty() {
        let (found, behind) = rest.split_once('=')?;
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_once(' ').unwrap_or((behind, "")),
        };
        if found == name {
            return Some(value).filter(|value| !value.is_empty());
        }
        rest = behind.trim_start();
    }
    None
}
