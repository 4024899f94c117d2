//! NetFlow v9 (RFC 3954) and IPFIX (RFC 7011) on the wire: headers, template sets, data sets. Knows
//! bytes only; when a template is due, what is counted and what is sampled is `exporter`'s.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::flow::{Family, Flow};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    V9,
    Ipfix,
}

/// Data sets' ids; 256 is the first that is free (RFC 7011 §3.3.2).
pub const TEMPLATE_V4: u16 = 256;
pub const TEMPLATE_V6: u16 = 257;
pub const TEMPLATE_SAMPLER: u16 = 258;

/// The sampler that every record names.
pub const SAMPLER: u8 = 1;

/// What a template field is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Column {
    Src,
    Dst,
    SrcPort,
    DstPort,
    InIf,
    OutIf,
    Packets,
    Bytes,
    First,
    Last,
    TcpFlags,
    Protocol,
    Tos,
    SrcAs,
    DstAs,
    Sampler,
}

/// (element id, length in bytes, column); element ids are those of IANA's IPFIX registry, which
/// took v9's over for 1 to 127.
type Field = (u16, u16, Column);

const SHARED: &[Field] = &[
    (7, 2, Column::SrcPort),
    (11, 2, Column::DstPort),
    (10, 4, Column::InIf),
    (14, 4, Column::OutIf),
    (2, 4, Column::Packets),
    (1, 4, Column::Bytes),
    (6, 1, Column::TcpFlags),
    (4, 1, Column::Protocol),
    (5, 1, Column::Tos),
    (16, 4, Column::SrcAs),
    (17, 4, Column::DstAs),
];
const V4: &[Field] = &[(8, 4, Column::Src), (12, 4, Column::Dst)];
const V6: &[Field] = &[(27, 16, Column::Src), (28, 16, Column::Dst)];
/// v9 counts flow times in sysUpTime; its sampler id is element 48.
const ONLY_V9: &[Field] =
    &[(22, 4, Column::First), (21, 4, Column::Last), (48, 1, Column::Sampler)];
/// IPFIX has absolute times (152, 153) and the selector id (302).
const ONLY_IPFIX: &[Field] =
    &[(152, 8, Column::First), (153, 8, Column::Last), (302, 1, Column::Sampler)];

/// A message under construction.
pub struct Message {
    protocol: Protocol,
    boot_ms: i64,
    bytes: Vec<u8>,
    /// Records of any kind: v9's header counts them.
    records: u16,
}

/// What a header says beside the contents.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub now_ms: i64,
    pub sequence: u32,
    pub domain: u32,
}

/// Lengths of headers and of one record, in bytes.
pub fn header_len(protocol: Protocol) -> usize {
    match protocol {
        Protocol::V9 => 20,
        Protocol::Ipfix => 16,
    }
}

pub fn record_len(protocol: Protocol, family: Family) -> usize {
    fields(protocol, family).map(|(_, len, _)| len as usize).sum()
}

fn fields(protocol: Protocol, family: Family) -> impl Iterator<Item = Field> {
    let addresses = match family {
        Family::V4 => V4,
        Family::V6 => V6,
    };
    let own = match protocol {
        Protocol::V9 => ONLY_V9,
        Protocol::Ipfix => ONLY_IPFIX,
    };
    addresses.iter().chain(SHARED).chain(own).copied()
}

// === impl Message ===

impl Message {
    pub fn new(protocol: Protocol, boot_ms: i64) -> Message {
        let mut bytes = Vec::with_capacity(1500);
        bytes.resize(header_len(protocol), 0);
        Message { protocol, boot_ms, bytes, records: 0 }
    }

    /// All templates, and the sampler's rate as one record of options data.
    pub fn put_templates(&mut self, sampling: u32) {
        let (template_set, options_set) = match self.protocol {
            Protocol::V9 => (0, 1),
            Protocol::Ipfix => (2, 3),
        };
        let start = self.open_set(template_set);
        self.put_template(TEMPLATE_V4, Family::V4);
        self.put_template(TEMPLATE_V6, Family::V6);
        self.close_set(start);
        let options = self.open_set(options_set);
        self.put_options_template();
        self.close_set(options);
        let data = self.open_set(TEMPLATE_SAMPLER);
        self.put_sampler(sampling);
        self.close_set(data);
    }

    /// One data set; all flows are of this family.
    pub fn put_flows<'a>(&mut self, family: Family, flows: impl Iterator<Item = &'a Flow>) {
        let start = self.open_set(match family {
            Family::V4 => TEMPLATE_V4,
            Family::V6 => TEMPLATE_V6,
        });
        for flow in flows {
            for (_, len, column) in fields(self.protocol, family) {
                self.put_value(flow, len, column);
            }
            self.records += 1;
        }
        self.close_set(start);
    }

    pub fn finish(mut self, header: Header) -> Vec<u8> {
        let seconds = (header.now_ms / 1000) as u32;
        let mut head = Vec::with_capacity(20);
        match self.protocol {
            Protocol::V9 => {
                head.extend(9u16.to_be_bytes());
                head.extend(self.records.to_be_bytes());
                head.extend(uptime(header.now_ms, self.boot_ms).to_be_bytes());
                head.extend(seconds.to_be_bytes());
            }
            Protocol::Ipfix => {
                head.extend(10u16.to_be_bytes());
                head.extend((self.bytes.len() as u16).to_be_bytes());
                head.extend(seconds.to_be_bytes());
            }
        }
        head.extend(header.sequence.to_be_bytes());
        head.extend(header.domain.to_be_bytes());
        self.bytes[..head.len()].copy_from_slice(&head);
        self.bytes
    }

    fn put_template(&mut self, id: u16, family: Family) {
        self.u16(id);
        self.u16(fields(self.protocol, family).count() as u16);
        for (element, len, _) in fields(self.protocol, family) {
            self.u16(element);
            self.u16(len);
        }
        self.records += 1;
    }

    /// v9: scope System, FLOW_SAMPLER_ID 48, _MODE 49, _RANDOM_INTERVAL 50 (RFC 3954 §6.1).
    /// IPFIX: scope selectorId 302, selectorAlgorithm 304, interval 305 and space 306 (RFC 5477).
    fn put_options_template(&mut self) {
        self.u16(TEMPLATE_SAMPLER);
        let layout: &[u16] = match self.protocol {
            Protocol::V9 => &[4, 12, 1, 4, 48, 1, 49, 1, 50, 4],
            Protocol::Ipfix => &[4, 1, 302, 1, 304, 2, 305, 4, 306, 4],
        };
        for number in layout {
            self.u16(*number);
        }
        self.records += 1;
    }

    fn put_sampler(&mut self, sampling: u32) {
        match self.protocol {
            Protocol::V9 => {
                self.bytes.extend(0u32.to_be_bytes());
                self.bytes.extend([SAMPLER, 2]);
                self.bytes.extend(sampling.to_be_bytes());
            }
            Protocol::Ipfix => {
                self.bytes.push(SAMPLER);
                // 1: systematic count-based sampling (RFC 5477 §8.2.1).
                self.u16(1);
                self.bytes.extend(1u32.to_be_bytes());
                self.bytes.extend((sampling - 1).to_be_bytes());
            }
        }
        self.records += 1;
    }

    fn put_value(&mut self, flow: &Flow, len: u16, column: Column) {
        let number = match column {
            Column::Src => return self.address(flow.src),
            Column::Dst => return self.address(flow.dst),
            Column::SrcPort => u64::from(flow.src_port),
            Column::DstPort => u64::from(flow.dst_port),
            Column::InIf => u64::from(flow.in_if),
            Column::OutIf => u64::from(flow.out_if),
            Column::Packets => flow.packets,
            Column::Bytes => flow.bytes,
            Column::First => self.time(flow.first_ms),
            Column::Last => self.time(flow.last_ms),
            Column::TcpFlags => u64::from(flow.tcp_flags),
            Column::Protocol => u64::from(flow.protocol),
            Column::Tos => u64::from(flow.tos),
            Column::SrcAs => u64::from(flow.src_as),
            Column::DstAs => u64::from(flow.dst_as),
            Column::Sampler => u64::from(SAMPLER),
        };
        self.bytes.extend_from_slice(&number.to_be_bytes()[8 - len as usize..]);
    }

    fn time(&self, ms: i64) -> u64 {
        match self.protocol {
            Protocol::V9 => u64::from(uptime(ms, self.boot_ms)),
            Protocol::Ipfix => ms as u64,
        }
    }

    fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.bytes.extend(v4.octets()),
            IpAddr::V6(v6) => self.bytes.extend(v6.octets()),
        }
    }

    fn open_set(&mut self, id: u16) -> usize {
        let start = self.bytes.len();
        self.u16(id);
        self.u16(0);
        start
    }

    /// Pads to 4 bytes, as both RFCs recommend, and writes the length.
    fn close_set(&mut self, start: usize) {
        while !(self.bytes.len() - start).is_multiple_of(4) {
            self.bytes.push(0);
        }
        let len = (self.bytes.len() - start) as u16;
        self.bytes[start + 2..start + 4].copy_from_slice(&len.to_be_bytes());
    }

    fn u16(&mut self, number: u16) {
        self.bytes.extend(number.to_be_bytes());
    }
}

/// sysUpTime, which wraps after 49.7 days (RFC 3954 §5.1: 32 bits of milliseconds).
fn uptime(now_ms: i64, boot_ms: i64) -> u32 {
    ((now_ms - boot_ms) & 0xffff_ffff) as u32
}
