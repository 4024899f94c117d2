//! What devices say, in the words of Cisco IOS: sequence number, host name, the device's own time,
//! `%FACILITY-SEVERITY-MNEMONIC` and a text.

use std::net::Ipv4Addr;

use jiff::Timestamp;

/// Facility local7, IOS's default (RFC 5424 §6.2.1: priority = facility × 8 + severity).
const FACILITY: u8 = 23;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Link { port: String, state: State },
    AdminDown { port: String },
    LineProtocol { port: String, state: State },
    Bgp { neighbour: Ipv4Addr, state: State },
    Configured { by: By },
    Login { from: Ipv4Addr },
    NtpSync { server: Ipv4Addr },
    Restart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Up,
    Down,
}

/// Through what a device was configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Person(Ipv4Addr),
    Snmp(Ipv4Addr),
}

// === impl Message ===

impl Message {
    /// The datagram, at the device's time `time_ms`.
    pub fn datagram(&self, device: &str, nth: u32, time_ms: i64) -> Vec<u8> {
        let (severity, mnemonic, text) = self.words();
        let priority = FACILITY * 8 + severity;
        let stamp = stamp(time_ms);
        format!("<{priority}>{nth}: {device}: *{stamp}: %{mnemonic}: {text}").into_bytes()
    }

    fn words(&self) -> (u8, &'static str, String) {
        match self {
            Message::Link { port, state } => {
                let text = format!("Interface {port}, changed state to {}", state.small());
                (3, "LINK-3-UPDOWN", text)
            }
            Message::AdminDown { port } => {
                let text = format!("Interface {port}, changed state to administratively down");
                (5, "LINK-5-CHANGED", text)
            }
            Message::LineProtocol { port, state } => {
                let state = state.small();
                let text = format!("Line protocol on Interface {port}, changed state to {state}");
                (5, "LINEPROTO-5-UPDOWN", text)
            }
            Message::Bgp { neighbour, state } => {
                let text = match state {
                    State::Up => format!("neighbor {neighbour} Up"),
                    State::Down => format!("neighbor {neighbour} Down Interface flap"),
                };
                (5, "BGP-5-ADJCHANGE", text)
            }
            Message::Configured { by: By::Person(from) } => {
                (5, "SYS-5-CONFIG_I", format!("Configured from console by admin on vty0 ({from})"))
            }
            Message::Configured { by: By::Snmp(from) } => {
                (5, "SYS-5-CONFIG_I", format!("Configured from {from} by snmp"))
            }
            Message::Login { from } => {
                let text = format!("Login Success [user: admin] [Source: {from}] [localport: 22]");
                (5, "SEC_LOGIN-5-LOGIN_SUCCESS", text)
            }
            Message::NtpSync { server } => {
                (6, "NTP-6-PEERREACH", format!("Peer {server} is reachable"))
            }
            Message::Restart => (5, "SYS-5-RESTART", "System restarted --".to_owned()),
        }
    }
}

// === impl State ===

impl State {
    pub fn of(is_up: bool) -> State {
        if is_up { State::Up } else { State::Down }
    }

    fn small(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Down => "down",
        }
    }
}

/// `Nov 26 10:00:00.123`; a time that no calendar has is the epoch's.
fn stamp(time_ms: i64) -> String {
    let time = Timestamp::from_millisecond(time_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%b %e %H:%M:%S%.3f").to_string()
}
