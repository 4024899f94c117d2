//! What a message says happened: links, line protocols, neighbours of BGP, configuration and
//! restarts, as each family words them. All else is of kind `syslog`.

use std::net::IpAddr;

use super::body;
use super::parse::Parsed;
use super::port::short;
use super::rfc5424::parameter;

/// The longest state and entity; longer ones are cut, the text has them whole.
const WORD_BYTES_MAX: usize = 128;

/// Columns of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// `link`, `lineproto`, `bgp`, `config`, `restart` or `syslog`.
    pub kind: &'static str,
    /// `up`, `down`, `admin-down`; of kind `syslog` the message's mark.
    pub state: Option<String>,
    /// An interface's `ifName`, a neighbour's address.
    pub entity: Option<String>,
}

/// What a message means.
pub fn said(parsed: &Parsed<'_>) -> Said {
    known(parsed).unwrap_or_else(|| Said {
        kind: "syslog",
        state: parsed.tag.map(|tag| cut(tag).to_owned()),
        entity: None,
    })
}

fn known(parsed: &Parsed<'_>) -> Option<Said> {
    let tag = parsed.tag?;
    match body::split(tag) {
        Some((facility, _, name)) => marked(parsed, facility, name),
        None => named(parsed, tag),
    }
}

/// Messages with a mark of facility, severity and name.
fn marked(parsed: &Parsed<'_>, facility: &str, name: &str) -> Option<Said> {
    let text = parsed.text;
    match (facility, name) {
        // IOS has no program before its mark, EOS and IOS-XR have.
        ("LINK" | "LINEPROTO", "UPDOWN" | "CHANGED") => {
            let (port, state) = changed(text)?;
            let kind = if facility == "LINK" { "link" } else { "lineproto" };
            let port = if parsed.app.is_none() { short(port) } else { port.to_owned() };
            Some(of(kind, state, &port))
        }
        ("ETHPORT", "IF_UP") => Some(of("link", "up", between(text, "Interface ", ' ')?)),
        ("ETHPORT", _) if name.starts_with("IF_DOWN_") => {
            let is_admin = name == "IF_DOWN_ADMIN_DOWN" || name == "IF_DOWN_CFG_CHANGE";
            let state = if is_admin { "admin-down" } else { "down" };
            Some(of("link", state, between(text, "Interface ", ' ')?))
        }
        ("ETH_PORT_CHANNEL", "PORT_INDIVIDUAL_DOWN") => {
            Some(of("link", "down", between(text, "individual port ", ' ')?))
        }
        ("01IFNET", "IF_STATE") => {
            let state = up_or_down(text.split_once("turned into ")?.1)?;
            Some(of("link", state, between(text, "nterface ", ' ')?))
        }
        ("01IFNET", "LINK_STATE") => {
            let state = up_or_down(text.split_once("entered the ")?.1)?;
            Some(of("lineproto", state, between(text, "on the interface ", ' ')?))
        }
        ("BGP", "ADJCHANGE" | "ADJCHANGE_DETAIL") => neighbour(text),
        ("SYS" | "CONFIG" | "VSHD", "CONFIG_I" | "DB_COMMIT" | "VSHD_SYSLOG_CONFIG_I") => {
            Some(Said { kind: "config", state: None, entity: None })
        }
        ("SYS", "RESTART" | "SYSTEM_RESTARTED") => {
            Some(Said { kind: "restart", state: None, entity: None })
        }
        ("ASA", "411001" | "411002") => {
            let (port, state) = changed(text)?;
            Some(of("lineproto", state, port))
        }
        _ => None,
    }
}

/// Messages that a program or a word names.
fn named(parsed: &Parsed<'_>, tag: &str) -> Option<Said> {
    let (text, data) = (parsed.text, parsed.data);
    match tag {
        "SNMP_TRAP_LINK_DOWN" | "SNMP_TRAP_LINK_UP" => {
            let told = text.split_once("ifAdminStatus ").map(|(_, status)| status);
            let admin = parameter(data, "admin-status").or(told);
            let port = text.split_once("ifName ").map(|(_, name)| first(name, ','));
            let port = parameter(data, "interface-name").or(port)?;
            let is_shut = admin.is_some_and(|status| status.starts_with("down"));
            let state = match (tag, is_shut) {
                ("SNMP_TRAP_LINK_UP", _) => "up",
                (_, true) => "admin-down",
                (_, false) => "down",
            };
            Some(of("link", state, port))
        }
        "RPD_BGP_NEIGHBOR_STATE_CHANGED" => junos_neighbour(text, data),
        "UI_COMMIT" | "UI_COMMIT_COMPLETED" => {
            Some(Said { kind: "config", state: None, entity: None })
        }
        "SNMPD_TRAP_COLD_START" => Some(Said { kind: "restart", state: None, entity: None }),
        // NetIron.
        "System" => {
            let (port, state) = text.strip_prefix("Interface ")?.split_once(", state ")?;
            let port = port.replace(' ', "");
            Some(of("link", up_or_down(state)?, &port))
        }
        "BGP" => peer(text),
        // SONiC.
        "orchagent" => {
            let (_, told) = text.split_once("Set operation status ")?;
            let port = told.split_once("host interface ")?.1;
            Some(of("link", up_or_down(told)?, first(port, ' ')))
        }
        _ => frr(tag, text),
    }
}

/// FRR's `bgpd`, whose mark has no severity: `%ADJCHANGE: neighbor 192.0.2.1(spine1) in vrf a Up`.
fn frr(tag: &str, text: &str) -> Option<Said> {
    match tag {
        "ADJCHANGE" => neighbour(text),
        "bgpd" => neighbour(text.strip_prefix("%ADJCHANGE: ")?),
        _ => None,
    }
}

/// `Interface X, changed state to up`, with a description before the comma on EOS.
fn changed(text: &str) -> Option<(&str, &'static str)> {
    let (before, state) = text.split_once("changed state to ")?;
    let (_, port) = before.split_once("nterface ")?;
    let port = port.split([',', ' ']).next().filter(|port| !port.is_empty())?;
    let is_shut = starts_with(state, "administratively");
    Some((port, if is_shut { "admin-down" } else { up_or_down(state)? }))
}

/// `neighbor 192.0.2.1 Up`, `neighbor 192.0.2.1 vpn vrf A Down reason`, and EOS's
/// `peer 192.0.2.1 (VRF default AS 1) old state Established event Stop new state Idle`.
fn neighbour(text: &str) -> Option<Said> {
    if let Some((_, rest)) = text.split_once("peer ")
        && let Some((_, old)) = rest.split_once("old state ")
    {
        let new = old.split_once("new state ")?.1;
        return Some(of("bgp", established(old, new)?, &address(rest)?));
    }
    let (_, rest) = text.split_once("neighbor ")?;
    let state = rest.split(' ').skip(1).find_map(|word| match word {
        "Up" | "up" => Some("up"),
        "Down" | "down" => Some("down"),
        _ => None,
    })?;
    Some(of("bgp", state, &address(rest)?))
}

/// NetIron: `Peer 192.0.2.1 DOWN (Hold Timer Expired)`, `Peer (VRF: a) 192.0.2.1 UP`.
fn peer(text: &str) -> Option<Said> {
    let rest = text.strip_prefix("Peer ")?;
    let rest = match rest.strip_prefix('(') {
        Some(vrf) => vrf.split_once(") ")?.1,
        None => rest,
    };
    let (_, state) = rest.split_once(' ')?;
    Some(of("bgp", up_or_down(state)?, &address(rest)?))
}

fn junos_neighbour(text: &str, data: &str) -> Option<Said> {
    let states = text.split_once("changed state from ").and_then(|(_, s)| s.split_once(" to "));
    let told = parameter(data, "old-state").zip(parameter(data, "new-state"));
    let (old, new) = told.or(states)?;
    let peer = text.split_once("peer ").map(|(_, peer)| peer);
    let peer = address(parameter(data, "peer-name").or(peer)?)?;
    Some(of("bgp", established(old, new)?, &peer))
}

/// A session is up when it comes to be established and down when it ends to be so; the steps
/// between are neither.
fn established(old: &str, new: &str) -> Option<&'static str> {
    let is = |state| starts_with(state, "established");
    match (is(old), is(new)) {
        (false, true) => Some("up"),
        (true, false) => Some("down"),
        _ => None,
    }
}

/// The address at the start of a text; Junos writes its port behind a plus.
fn address(text: &str) -> Option<String> {
    let word = text.split([' ', '(', ',', '+']).next()?;
    word.parse::<IpAddr>().ok().map(|address| address.to_canonical().to_string())
}

fn of(kind: &'static str, state: &'static str, entity: &str) -> Said {
    Said { kind, state: Some(state.to_owned()), entity: Some(cut(entity).to_owned()) }
}

fn up_or_down(text: &str) -> Option<&'static str> {
    let is = |state| starts_with(text, state);
    is("up").then_some("up").or_else(|| is("down").then_some("down"))
}

fn starts_with(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// The word behind `before`.
fn between<'a>(text: &'a str, before: &str, end: char) -> Option<&'a str> {
    let word = first(text.split_once(before)?.1, end);
    (!word.is_empty()).then_some(word)
}

fn first(text: &str, end: char) -> &str {
    text.split(end).next().unwrap_or(text).trim_end()
}

fn cut(word: &str) -> &str {
    &word[..word.floor_char_boundary(WORD_BYTES_MAX)]
}
