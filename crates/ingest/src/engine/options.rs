//! What an options record tells the decoder: a sampling rate and whom it is for, and when the
//! device's sysUpTime was zero. Tables of names (interfaces, VRFs, applications) tell it nothing.

use super::element::{Field, VARIABLE};
use super::sampling::{self, SamplerKey};
use super::wire::uint;

/// RFC 3954 §6.1: the scope "interface" of v9, whose scopes have numbers of their own.
const V9_SCOPE_INTERFACE: u16 = 2;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionsRecord {
    pub sampler: Option<(SamplerKey, u32)>,
    pub system_init: Option<i64>,
}

/// Numbers of a record by what they mean.
#[derive(Default)]
struct Numbers {
    sampler: Option<u64>,
    interface: Option<u32>,
    interval: Option<u64>,
    packet_interval: Option<u64>,
    packet_space: Option<u64>,
    size: Option<u64>,
    population: Option<u64>,
    system_init: Option<i64>,
}

// === impl OptionsRecord ===

impl OptionsRecord {
    /// `fields` begin with the `scopes`, `places` say where they are.
    pub fn read(
        version: u8,
        scopes: usize,
        fields: &[Field],
        record: &[u8],
        places: &[(usize, usize)],
    ) -> OptionsRecord {
        let mut numbers = Numbers::default();
        for (i, (field, &(offset, len))) in fields.iter().zip(places).enumerate() {
            let bytes = record.get(offset..).and_then(|rest| rest.get(..len)).unwrap_or_default();
            let is_number = len > 0 && field.enterprise == 0 && field.len != VARIABLE;
            let Some(number) = uint(bytes).filter(|_| is_number) else {
                continue;
            };
            if i >= scopes {
                numbers.add(field.id, number);
            } else if version == 9 {
                numbers.add_v9_scope(field.id, number);
            } else {
                numbers.add_scope(field.id, number);
            }
        }
        numbers.told()
    }
}

// === impl Numbers ===

impl Numbers {
    fn add(&mut self, id: u16, number: u64) {
        match id {
            48 | 302 => self.sampler = self.sampler.or(Some(number)),
            34 | 50 => self.interval = self.interval.or(Some(number)),
            160 => self.system_init = i64::try_from(number).ok(),
            305 => self.packet_interval = Some(number),
            306 => self.packet_space = Some(number),
            309 => self.size = Some(number),
            310 => self.population = Some(number),
            _ => {}
        }
    }

    fn add_scope(&mut self, id: u16, number: u64) {
        match id {
            10 => self.interface = u32::try_from(number).ok(),
            _ => self.add(id, number),
        }
    }

    fn add_v9_scope(&mut self, id: u16, number: u64) {
        if id == V9_SCOPE_INTERFACE {
            // softflowd and others scope what holds for all by interface 0.
            self.interface = u32::try_from(number).ok().filter(|&index| index != 0);
        }
    }

    fn told(self) -> OptionsRecord {
        let packets = self.packet_interval.zip(self.packet_space);
        let rate = sampling::rate(self.interval, packets, self.size.zip(self.population));
        let key = match (self.sampler, self.interface) {
            (Some(id), _) => SamplerKey::Sampler(id),
            (None, Some(index)) => SamplerKey::Interface(index),
            (None, None) => SamplerKey::Default,
        };
        let sampler = rate.map(|rate| (key, rate));
        OptionsRecord { sampler, system_init: self.system_init }
    }
}
