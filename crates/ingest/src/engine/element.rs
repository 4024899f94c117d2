//! Which information element goes to which column. Numbers are of the IANA IPFIX registry, the same
//! in NetFlow v9 up to 127 (RFC 3954 §8); where several elements may fill one column, the order of
//! the table is the order of preference.

/// One field of a template as the exporter declared it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Private enterprise number; 0 for IANA's elements and all of NetFlow v9.
    pub enterprise: u32,
    pub id: u16,
    /// Bytes of the field, or `VARIABLE`.
    pub len: u16,
}

/// The length that says that each record carries its own (RFC 7011 §7).
pub const VARIABLE: u16 = 65_535;

/// RFC 5103 §6.1: elements of the reverse direction of a biflow.
pub const REVERSE: u32 = 29_305;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum U8Col {
    ExportVersion,
    Protocol,
    Tos,
    SrcMask,
    DstMask,
    NatEvent,
    FirewallEvent,
    Direction,
    EndReason,
    ForwardingStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum U16Col {
    Template,
    SrcPort,
    DstPort,
    TcpFlags,
    IcmpTypeCode,
    SrcVlan,
    DstVlan,
    NatSrcPort,
    NatDstPort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum U32Col {
    ObservationDomain,
    SamplingRate,
    InIf,
    OutIf,
    FlowLabel,
    SrcAs,
    DstAs,
    VrfIn,
    VrfOut,
    Notes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum U64Col {
    Sampler,
    Bytes,
    Packets,
    BytesScaled,
    PacketsScaled,
    ReverseBytes,
    ReversePackets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddrCol {
    Exporter,
    SrcAddr,
    DstAddr,
    NextHop,
    BgpNextHop,
    NatSrcAddr,
    NatDstAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacCol {
    SrcMac,
    DstMac,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeCol {
    Received,
    First,
    Last,
}

/// How an exporter writes an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// Milliseconds of sysUpTime, 32 bits.
    Uptime,
    Seconds,
    Millis,
    /// NTP: seconds since 1900 and a 32-bit fraction (RFC 7011 §6.1.9, §6.1.10).
    Ntp,
    /// Microseconds before the export time (elements 158 and 159).
    MicrosBefore,
}

/// Where a field's value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    U8(U8Col),
    U16(U16Col),
    U32(U32Col),
    U64(U64Col),
    /// 4 bytes.
    Addr4(AddrCol),
    /// 16 bytes.
    Addr16(AddrCol),
    Mac(MacCol),
    Time(TimeCol, TimeForm),
}

/// A field's part in the sampling rate that the record itself carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatePart {
    /// 34, 50: one in N.
    Interval,
    /// 305: packets taken in a row.
    PacketInterval,
    /// 306: packets left out then.
    PacketSpace,
    /// 309: n of ...
    Size,
    /// 310: ... N.
    Population,
}

/// What a field means to the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The smaller rank wins where several fields of a template fill one column.
    Column {
        target: Target,
        rank: u8,
    },
    /// A section of the MPLS stack, 0 its top.
    Label(u8),
    IcmpType,
    IcmpCode,
    Rate(RatePart),
    /// 160: when the device's sysUpTime was zero.
    SystemInit,
    Padding,
    Extra,
}

// === impl Target ===

impl Target {
    /// A number that is the same for two targets of one column.
    pub fn column(self) -> (u8, u8) {
        match self {
            Target::U8(c) => (0, c as u8),
            Target::U16(c) => (1, c as u8),
            Target::U32(c) => (2, c as u8),
            Target::U64(c) => (3, c as u8),
            Target::Addr4(c) | Target::Addr16(c) => (4, c as u8),
            Target::Mac(c) => (5, c as u8),
            Target::Time(c, _) => (6, c as u8),
        }
    }

    /// Lengths at which every value fits and no check of it is needed.
    pub fn is_plain(self, len: usize) -> bool {
        match self {
            Target::U8(_) => len == 1,
            Target::U16(_) => len == 1 || len == 2,
            Target::U32(_) => (1..=4).contains(&len),
            Target::U64(_) => (1..=8).contains(&len),
            Target::Addr4(_) => len == 4,
            Target::Addr16(_) => len == 16,
            Target::Mac(_) => len == 6,
            Target::Time(_, TimeForm::Uptime | TimeForm::Seconds | TimeForm::MicrosBefore) => {
                len == 4
            }
            Target::Time(_, TimeForm::Millis | TimeForm::Ntp) => len == 8,
        }
    }
}

// === impl Field ===

impl Field {
    pub fn role(self, version: u8) -> Role {
        match self.enterprise {
            0 if version == 9 && self.id > 32_767 => asa_role(self.id),
            0 => iana_role(self.id),
            REVERSE => reverse_role(self.id),
            _ => Role::Extra,
        }
    }
}

fn column(target: Target, rank: u8) -> Role {
    Role::Column { target, rank }
}

fn iana_role(id: u16) -> Role {
    traffic_role(id).or_else(|| route_role(id)).or_else(|| time_role(id)).unwrap_or(match id {
        34 | 50 => Role::Rate(RatePart::Interval),
        70..=79 => Role::Label((id - 70) as u8),
        160 => Role::SystemInit,
        176 | 178 => Role::IcmpType,
        177 | 179 => Role::IcmpCode,
        210 => Role::Padding,
        305 => Role::Rate(RatePart::PacketInterval),
        306 => Role::Rate(RatePart::PacketSpace),
        309 => Role::Rate(RatePart::Size),
        310 => Role::Rate(RatePart::Population),
        _ => Role::Extra,
    })
}

/// What was carried: addresses, ports, counters.
fn traffic_role(id: u16) -> Option<Role> {
    let (target, rank) = match id {
        1 => (Target::U64(U64Col::Bytes), 0),
        23 => (Target::U64(U64Col::Bytes), 1),
        85 => (Target::U64(U64Col::Bytes), 2),
        231 => (Target::U64(U64Col::Bytes), 3),
        2 => (Target::U64(U64Col::Packets), 0),
        24 => (Target::U64(U64Col::Packets), 1),
        86 => (Target::U64(U64Col::Packets), 2),
        298 => (Target::U64(U64Col::Packets), 3),
        232 => (Target::U64(U64Col::ReverseBytes), 2),
        299 => (Target::U64(U64Col::ReversePackets), 2),
        4 => (Target::U8(U8Col::Protocol), 0),
        5 => (Target::U8(U8Col::Tos), 0),
        6 => (Target::U16(U16Col::TcpFlags), 0),
        7 => (Target::U16(U16Col::SrcPort), 0),
        180 => (Target::U16(U16Col::SrcPort), 1),
        182 => (Target::U16(U16Col::SrcPort), 2),
        11 => (Target::U16(U16Col::DstPort), 0),
        181 => (Target::U16(U16Col::DstPort), 1),
        183 => (Target::U16(U16Col::DstPort), 2),
        8 => (Target::Addr4(AddrCol::SrcAddr), 0),
        27 => (Target::Addr16(AddrCol::SrcAddr), 1),
        12 => (Target::Addr4(AddrCol::DstAddr), 0),
        28 => (Target::Addr16(AddrCol::DstAddr), 1),
        31 => (Target::U32(U32Col::FlowLabel), 0),
        32 => (Target::U16(U16Col::IcmpTypeCode), 0),
        139 => (Target::U16(U16Col::IcmpTypeCode), 1),
        56 => (Target::Mac(MacCol::SrcMac), 0),
        81 => (Target::Mac(MacCol::SrcMac), 1),
        80 => (Target::Mac(MacCol::DstMac), 0),
        57 => (Target::Mac(MacCol::DstMac), 1),
        58 => (Target::U16(U16Col::SrcVlan), 0),
        243 => (Target::U16(U16Col::SrcVlan), 1),
        59 => (Target::U16(U16Col::DstVlan), 0),
        254 => (Target::U16(U16Col::DstVlan), 1),
        61 => (Target::U8(U8Col::Direction), 0),
        136 => (Target::U8(U8Col::EndReason), 0),
        89 => (Target::U8(U8Col::ForwardingStatus), 0),
        48 => (Target::U64(U64Col::Sampler), 0),
        302 => (Target::U64(U64Col::Sampler), 1),
        _ => return None,
    };
    Some(column(target, rank))
}

/// How it was routed and translated.
fn route_role(id: u16) -> Option<Role> {
    let (target, rank) = match id {
        9 => (Target::U8(U8Col::SrcMask), 0),
        29 => (Target::U8(U8Col::SrcMask), 1),
        13 => (Target::U8(U8Col::DstMask), 0),
        30 => (Target::U8(U8Col::DstMask), 1),
        10 => (Target::U32(U32Col::InIf), 0),
        14 => (Target::U32(U32Col::OutIf), 0),
        15 => (Target::Addr4(AddrCol::NextHop), 0),
        62 => (Target::Addr16(AddrCol::NextHop), 1),
        16 => (Target::U32(U32Col::SrcAs), 0),
        17 => (Target::U32(U32Col::DstAs), 0),
        18 => (Target::Addr4(AddrCol::BgpNextHop), 0),
        63 => (Target::Addr16(AddrCol::BgpNextHop), 1),
        225 => (Target::Addr4(AddrCol::NatSrcAddr), 0),
        281 => (Target::Addr16(AddrCol::NatSrcAddr), 1),
        226 => (Target::Addr4(AddrCol::NatDstAddr), 0),
        282 => (Target::Addr16(AddrCol::NatDstAddr), 1),
        227 => (Target::U16(U16Col::NatSrcPort), 0),
        228 => (Target::U16(U16Col::NatDstPort), 0),
        230 => (Target::U8(U8Col::NatEvent), 0),
        233 => (Target::U8(U8Col::FirewallEvent), 0),
        234 => (Target::U32(U32Col::VrfIn), 0),
        235 => (Target::U32(U32Col::VrfOut), 0),
        _ => return None,
    };
    Some(column(target, rank))
}

/// When. The finer element comes first; 322 to 325, when an event was observed, last of all.
fn time_role(id: u16) -> Option<Role> {
    let (col, form, rank) = match id {
        156 => (TimeCol::First, TimeForm::Ntp, 0),
        154 => (TimeCol::First, TimeForm::Ntp, 1),
        152 => (TimeCol::First, TimeForm::Millis, 2),
        150 => (TimeCol::First, TimeForm::Seconds, 4),
        22 => (TimeCol::First, TimeForm::Uptime, 5),
        158 => (TimeCol::First, TimeForm::MicrosBefore, 3),
        157 => (TimeCol::Last, TimeForm::Ntp, 0),
        155 => (TimeCol::Last, TimeForm::Ntp, 1),
        153 => (TimeCol::Last, TimeForm::Millis, 2),
        151 => (TimeCol::Last, TimeForm::Seconds, 4),
        21 => (TimeCol::Last, TimeForm::Uptime, 5),
        159 => (TimeCol::Last, TimeForm::MicrosBefore, 3),
        325 => (TimeCol::Last, TimeForm::Ntp, 6),
        324 => (TimeCol::Last, TimeForm::Ntp, 7),
        323 => (TimeCol::Last, TimeForm::Millis, 8),
        322 => (TimeCol::Last, TimeForm::Seconds, 9),
        _ => return None,
    };
    Some(column(Target::Time(col, form), rank))
}

/// RFC 5103: the reverse of an element under its own number. All but the counters go to `extra`.
fn reverse_role(id: u16) -> Role {
    match id {
        1 => column(Target::U64(U64Col::ReverseBytes), 0),
        85 => column(Target::U64(U64Col::ReverseBytes), 1),
        2 => column(Target::U64(U64Col::ReversePackets), 0),
        86 => column(Target::U64(U64Col::ReversePackets), 1),
        210 => Role::Padding,
        _ => Role::Extra,
    }
}

/// Cisco ASA before 8.4(5) numbered its NetFlow v9 translations and event itself (its NSEL guide).
fn asa_role(id: u16) -> Role {
    match id {
        40_001 => column(Target::Addr4(AddrCol::NatSrcAddr), 2),
        40_002 => column(Target::Addr4(AddrCol::NatDstAddr), 2),
        40_003 => column(Target::U16(U16Col::NatSrcPort), 2),
        40_004 => column(Target::U16(U16Col::NatDstPort), 2),
        40_005 => column(Target::U8(U8Col::FirewallEvent), 2),
        _ => Role::Extra,
    }
}
