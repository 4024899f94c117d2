//! Messages of each family, made by hand after what such devices send, and what they mean.

use crate::syslog::{Parsed, Stamp, parse, said};

/// 2026-11-26 10:00:00 UTC.
const RECEIVED_MS: i64 = 1_795_687_200_000;

/// Host, time (`month-day hour:minute:second.ms`), sequence, program, mark, then the event's kind,
/// state and entity; `-` is nothing.
fn check(raw: &str, header: [&str; 5], event: [&str; 3]) {
    let parsed = parse(raw);
    let or = |part: Option<&str>| part.unwrap_or("-").to_owned();
    let time = parsed.time.as_ref().map_or("-".to_owned(), written);
    let found = [or(parsed.host), time, or(parsed.sequence), or(parsed.app), or(parsed.tag)];
    assert_eq!(found, header, "{raw}");
    let said = said(&parsed);
    let found = [said.kind.to_owned(), or(said.state.as_deref()), or(said.entity.as_deref())];
    assert_eq!(found, event, "{raw}");
}

fn written(stamp: &Stamp) -> String {
    let Stamp { month, day, hour, minute, second, ms, .. } = stamp;
    format!("{month}-{day} {hour:02}:{minute:02}:{second:02}.{ms:03}")
}

#[test]
fn ios() {
    check(
        "<187>94: edge1: *Nov 26 10:00:00.123: %LINK-3-UPDOWN: Interface GigabitEthernet0/1, \
         changed state to down",
        ["edge1", "11-26 10:00:00.123", "94", "-", "LINK-3-UPDOWN"],
        ["link", "down", "Gi0/1"],
    );
    check(
        "<189>95: .Nov 26 10:00:00.123 CET: %LINK-5-CHANGED: Interface Port-channel2, changed \
         state to administratively down",
        ["-", "11-26 10:00:00.123", "95", "-", "LINK-5-CHANGED"],
        ["link", "admin-down", "Po2"],
    );
    check(
        "<189>96: 000512: edge1: Nov 26 2026 10:00:00 UTC: %LINEPROTO-5-UPDOWN: Line protocol on \
         Interface TenGigabitEthernet1/0/2.7, changed state to up",
        ["edge1", "11-26 10:00:00.000", "96", "-", "LINEPROTO-5-UPDOWN"],
        ["lineproto", "up", "Te1/0/2.7"],
    );
    check(
        "<189>97: 2d03h: %BGP-5-ADJCHANGE: neighbor 192.0.2.9 vpn vrf red Down Peer closed",
        ["-", "-", "97", "-", "BGP-5-ADJCHANGE"],
        ["bgp", "down", "192.0.2.9"],
    );
    check(
        "<189>98: 00:00:46: %SYS-5-RESTART: System restarted --",
        ["-", "-", "98", "-", "SYS-5-RESTART"],
        ["restart", "-", "-"],
    );
    check(
        "%SYS-5-CONFIG_I: Configured from console by vty0",
        ["-", "-", "-", "-", "SYS-5-CONFIG_I"],
        ["config", "-", "-"],
    );
    check(
        "<190>99: edge1: Nov 26 10:00:00: %SEC-6-IPACCESSLOGP: list 101 denied tcp",
        ["edge1", "11-26 10:00:00.000", "99", "-", "SEC-6-IPACCESSLOGP"],
        ["syslog", "SEC-6-IPACCESSLOGP", "-"],
    );
}

#[test]
fn ios_xr() {
    check(
        "<187>7: pe1 LC/0/2/CPU0:Nov 26 10:00:00.5 UTC: ifmgr[214]: %PKT_INFRA-LINK-3-UPDOWN : \
         Interface TenGigE0/2/0/4, changed state to Down",
        ["pe1", "11-26 10:00:00.500", "7", "ifmgr", "PKT_INFRA-LINK-3-UPDOWN"],
        ["link", "down", "TenGigE0/2/0/4"],
    );
    check(
        "<189>8: RP/0/RSP0/CPU0:Nov 26 10:00:00.5 : bgp[1052]: %ROUTING-BGP-5-ADJCHANGE : neighbor \
         2001:db8::9 Up (VRF: default) (AS: 64500)",
        ["-", "11-26 10:00:00.500", "8", "bgp", "ROUTING-BGP-5-ADJCHANGE"],
        ["bgp", "up", "2001:db8::9"],
    );
}

#[test]
fn nx_os() {
    check(
        "<189>: 2026 Nov 26 10:00:00 UTC: %ETHPORT-5-IF_DOWN_LINK_FAILURE: Interface Ethernet1/3 \
         is down (Link failure)",
        ["-", "11-26 10:00:00.000", "-", "-", "ETHPORT-5-IF_DOWN_LINK_FAILURE"],
        ["link", "down", "Ethernet1/3"],
    );
    check(
        "<189>2026 Nov  6 10:00:00.250 leaf1 %ETHPORT-5-IF_DOWN_ADMIN_DOWN: Interface \
         Ethernet1/3 is down (Administratively down)",
        ["leaf1", "11-6 10:00:00.250", "-", "-", "ETHPORT-5-IF_DOWN_ADMIN_DOWN"],
        ["link", "admin-down", "Ethernet1/3"],
    );
    check(
        "<189>leaf1: 2026 Nov 26 10:00:00 CET: %BGP-5-ADJCHANGE:  bgp-64500 [8] (default) neighbor \
         192.0.2.9 Down - holdtimer expired error",
        ["leaf1", "11-26 10:00:00.000", "-", "-", "BGP-5-ADJCHANGE"],
        ["bgp", "down", "192.0.2.9"],
    );
}

#[test]
fn asa() {
    check(
        "<166>%ASA-6-302013: Built inbound TCP connection 7 for outside",
        ["-", "-", "-", "-", "ASA-6-302013"],
        ["syslog", "ASA-6-302013", "-"],
    );
    check(
        "<164>Nov 26 2026 10:00:00 fw1 : %ASA-4-411002: Line protocol on Interface outside, \
         changed state to down",
        ["fw1", "11-26 10:00:00.000", "-", "-", "ASA-4-411002"],
        ["lineproto", "down", "outside"],
    );
    check(
        "<164>Nov 26 2026 10:00:00: %ASA-4-106023: Deny tcp src outside",
        ["-", "11-26 10:00:00.000", "-", "-", "ASA-4-106023"],
        ["syslog", "ASA-4-106023", "-"],
    );
}

#[test]
fn junos() {
    check(
        "<28>Nov 26 10:00:00  re0.core1 mib2d[24]: SNMP_TRAP_LINK_DOWN: ifIndex 502, ifAdminStatus \
         up(1), ifOperStatus down(2), ifName xe-0/0/0",
        ["core1", "11-26 10:00:00.000", "-", "mib2d", "SNMP_TRAP_LINK_DOWN"],
        ["link", "down", "xe-0/0/0"],
    );
    check(
        "<28>1 2026-11-26T10:00:00.250Z core1 mib2d 24 SNMP_TRAP_LINK_DOWN [junos@2636.1.1.1.2.18 \
         snmp-interface-index=\"502\" admin-status=\"down(2)\" operational-status=\"down(2)\" \
         interface-name=\"xe-0/0/0\"] ifIndex 502",
        ["core1", "11-26 10:00:00.250", "-", "mib2d", "SNMP_TRAP_LINK_DOWN"],
        ["link", "admin-down", "xe-0/0/0"],
    );
    check(
        "<28>Nov 26 10:00:00  core1 rpd[29]: RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 192.0.2.9 \
         (External AS 64500) changed state from Established to Idle (event HoldTime)",
        ["core1", "11-26 10:00:00.000", "-", "rpd", "RPD_BGP_NEIGHBOR_STATE_CHANGED"],
        ["bgp", "down", "192.0.2.9"],
    );
    check(
        "<28>Nov 26 10:00:00  core1 rpd[29]: RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 192.0.2.9 \
         (External AS 64500) changed state from Active to Connect (event x)",
        ["core1", "11-26 10:00:00.000", "-", "rpd", "RPD_BGP_NEIGHBOR_STATE_CHANGED"],
        ["syslog", "RPD_BGP_NEIGHBOR_STATE_CHANGED", "-"],
    );
}

#[test]
fn switches_of_others() {
    check(
        "<165>Nov 26 10:00:00 veos1 Ebra: %LINEPROTO-5-UPDOWN: Line protocol on Interface \
         Ethernet28 (to core), changed state to down",
        ["veos1", "11-26 10:00:00.000", "-", "Ebra", "LINEPROTO-5-UPDOWN"],
        ["lineproto", "down", "Ethernet28"],
    );
    check(
        "<13>2026-11-26T10:00:00+01:00 veos1 Bgp: %BGP-5-ADJCHANGE: peer 192.0.2.9 (VRF default AS \
         64500) old state OpenConfirm event Established new state Established",
        ["veos1", "11-26 10:00:00.000", "-", "Bgp", "BGP-5-ADJCHANGE"],
        ["bgp", "up", "192.0.2.9"],
    );
    check(
        "<29>2026-11-6 10:00:00.270.1 sw1 %%01IFNET/4/IF_STATE(l)[4997]:Interface Ethernet0/0/8 \
         has turned into DOWN state.",
        ["sw1", "11-6 10:00:00.270", "4997", "-", "01IFNET/4/IF_STATE"],
        ["link", "down", "Ethernet0/0/8"],
    );
    check(
        "<14>Nov  6 10:00:00 mlx1 System: Interface ethernet 3/8, state down - remote fault",
        ["mlx1", "11-6 10:00:00.000", "-", "System", "System"],
        ["link", "down", "ethernet3/8"],
    );
    check(
        "<13>1 2026-11-26T10:00:00.5+00:00 tor1 orchagent - - -  :- setHostIntfsOperStatus: Set \
         operation status UP to host interface Ethernet28",
        ["tor1", "11-26 10:00:00.500", "-", "orchagent", "orchagent"],
        ["link", "up", "Ethernet28"],
    );
}

#[test]
fn firewalls_consoles_and_hosts() {
    check(
        "<189>date=2026-11-26 time=10:00:00 devname=\"fw 1\" devid=F1 tz=\"+0100\" type=\"event\" \
         subtype=\"system\" level=notice msg=\"type=x\"",
        ["fw 1", "11-26 10:00:00.000", "-", "event", "system"],
        ["syslog", "system", "-"],
    );
    check(
        "<30>cons1 port02 2026-Nov- 6 10:00:00.341 LOGIN: root",
        ["cons1", "11-6 10:00:00.341", "-", "LOGIN", "LOGIN"],
        ["syslog", "LOGIN", "-"],
    );
    check(
        "<14>Nov 26 10:00:00 pa1 1,2026/11/26 10:00:00,0123,TRAFFIC,end,2304,a",
        ["pa1", "11-26 10:00:00.000", "-", "-", "TRAFFIC"],
        ["syslog", "TRAFFIC", "-"],
    );
    check(
        "<86>Nov 26 10:00:00 host1 sshd[19]: Accepted publickey for root",
        ["host1", "11-26 10:00:00.000", "-", "sshd", "sshd"],
        ["syslog", "sshd", "-"],
    );
}

#[test]
fn what_has_no_header_keeps_its_text() {
    for raw in ["", "hello", "<", "<999>x", "<13>", "<13>1 - - - - - -", "\u{fffd}<13>", "%", "%:"]
    {
        let parsed = parse(raw);
        assert_eq!(parsed.host, None, "{raw}");
        assert_eq!(said(&parsed).kind, "syslog", "{raw}");
    }
    let Parsed { facility, severity, text, .. } = parse("<191>no more than this");
    assert_eq!((facility, severity, text), (Some(23), Some(7), "no more than this"));
}

#[test]
fn structured_data_may_hold_anything() {
    let raw = r#"<13>1 2026-11-26T10:00:00Z h a p m [x@1 k="a\"] b"][y@2 n=""] text [z]"#;
    let parsed = parse(raw);
    assert_eq!(parsed.data, r#"[x@1 k="a\"] b"][y@2 n=""]"#);
    assert_eq!((parsed.text, parsed.tag), ("text [z]", Some("m")));
    let open = parse(r#"<13>1 - h a p m [x@1 k="a text"#);
    assert_eq!((open.data, open.text), ("", r#"[x@1 k="a text"#));
}

#[test]
fn a_year_that_is_not_written_is_the_nearest() {
    let time = |text: &str, received_ms| {
        let raw = format!("<13>{text} h a: b");
        parse(&raw).time.and_then(|stamp| stamp.ms_since_1970(received_ms))
    };
    assert_eq!(time("Nov 26 10:00:00", RECEIVED_MS), Some(RECEIVED_MS));
    assert_eq!(time("2026-11-26T11:00:00+01:00", RECEIVED_MS), Some(RECEIVED_MS));
    // Half an hour after New Year's, a message of the old year, and the other way round.
    let new_year = 1_767_225_600_000;
    assert_eq!(time("Dec 31 23:59:59", new_year + 1_800_000), Some(new_year - 1_000));
    assert_eq!(time("Jan  1 00:00:00", new_year - 1_800_000), Some(new_year));
    // A leap day is of a year that has one; no year has a 31st of June.
    assert_eq!(time("Feb 29 00:00:00", 1_709_164_800_000), Some(1_709_164_800_000));
    assert_eq!(time("Feb 29 00:00:00", new_year + 86_400_000), None);
    assert_eq!(time("Jun 31 00:00:00", new_year), None);
    assert_eq!(time("0000-01-01T00:00:00Z", new_year), Some(-62_167_219_200_000));
}
