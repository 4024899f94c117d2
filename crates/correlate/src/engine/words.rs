//! An incident in one sentence for a person who is woken by it.

use model::rows::{Entity, Member};

/// What an incident does not list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub anomalies: u64,
    pub evidence: u64,
}

/// `SYN flood on host 203.0.113.7: 4,210 packets/s …`. Detect's reasons begin with what it is where
/// that has a name of its own; the entity is put in behind it.
pub(super) fn headline(
    entity: Option<&Entity>,
    worst: Option<&Member>,
    members: usize,
    left_out: LeftOut,
) -> String {
    let mut text = match (worst, entity) {
        (Some(worst), _) => of_member(worst, entity),
        (None, Some(entity)) => format!("Anomalies on {}", name(entity)),
        (None, None) => "Anomalies".to_owned(),
    };
    let more = (members as u64).saturating_sub(1) + left_out.anomalies;
    if more > 0 {
        text.push_str(&format!("; with {}", count(more, "more anomaly", "more anomalies")));
    }
    if left_out.anomalies > 0 {
        text.push_str(&format!(" ({} not listed)", left_out.anomalies));
    }
    if left_out.evidence > 0 {
        let lost = count(left_out.evidence, "anomaly", "anomalies");
        text.push_str(&format!("; {lost} of this domain refused while waiting"));
    }
    text
}

/// Behind the headline where there is a map and it does not help.
pub(super) const NO_ROOT: &str = "; nothing on the map explains it";

/// `edge1 Gi0/1 was shut down (admin-down); 4 anomalies; a repair was made`.
pub(super) fn of_root(lead: &str, members: usize, changes: &[String], left_out: LeftOut) -> String {
    let mut text = lead.to_owned();
    let all = members as u64 + left_out.anomalies;
    if all > 1 {
        text.push_str(&format!("; {all} anomalies"));
    }
    if left_out.anomalies > 0 {
        text.push_str(&format!(" ({} not listed)", left_out.anomalies));
    }
    let last = changes.last().and_then(|change| change.rsplit(' ').next());
    text.push_str(match last {
        Some("began") => "; a repair is under way",
        Some("ended") => "; a repair was made",
        Some("failed") => "; a repair failed",
        Some("rolled-back") => "; a repair was taken back",
        _ => "",
    });
    if left_out.evidence > 0 {
        let lost = count(left_out.evidence, "anomaly", "anomalies");
        text.push_str(&format!("; {lost} of this domain refused while waiting"));
    }
    text
}

fn of_member(worst: &Member, entity: Option<&Entity>) -> String {
    let place = entity.map_or(String::new(), |entity| format!(" on {}", name(entity)));
    match worst.why.split_once(": ") {
        Some((what, rest)) if is_title(what) => format!("{what}{place}: {rest}"),
        _ => format!("{}{place}: {}", title(worst), worst.why),
    }
}

/// A few words without a figure: `SYN flood`, `silent exporter`.
fn is_title(text: &str) -> bool {
    let has_figure = text.chars().any(|c| c.is_ascii_digit());
    !has_figure && !text.is_empty() && text.split_whitespace().count() <= 3
}

fn title(member: &Member) -> String {
    match member.model.as_str() {
        "syn-flood" => "SYN flood".to_owned(),
        "silence" => "Silence".to_owned(),
        "level" => format!("Unusual level ({})", member.rule),
        "threshold" => format!("Over its limit ({})", member.rule),
        _ => member.rule.clone(),
    }
}

/// An address is plain enough without the word "host".
fn name(entity: &Entity) -> String {
    match entity.kind.as_str() {
        "host" => entity.name.clone(),
        kind => format!("{kind} {}", entity.name),
    }
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// At most so many bytes, at the end of a character.
pub(super) fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max - 3).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}
