//! Sampling rates by whom they hold for: one sampler, one interface, or all of an observation
//! domain. Options records declare them and replace what they declared before. A rate scales bytes
//! and packets, never the number of flows.

use std::collections::BTreeMap;

/// What a rate holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SamplerKey {
    /// Records that name no sampler.
    Default,
    /// Sampler or selector id (elements 48, 302).
    Sampler(u64),
    /// Records that came in by this ifIndex.
    Interface(u32),
}

/// The rates of one observation domain: 1 in N.
#[derive(Clone, Debug, Default)]
pub struct Samplers {
    default: Option<u32>,
    samplers: BTreeMap<u64, u32>,
    interfaces: BTreeMap<u32, u32>,
}

/// What setting a rate did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Changed,
    Same,
    /// There are as many as the limit allows.
    Full,
}

// === impl Samplers ===

impl Samplers {
    pub fn default_rate(&self) -> Option<u32> {
        self.default
    }

    pub fn has_interfaces(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// A sampler that a record names counts before its interface; a named one that nobody declared
    /// is not known.
    pub fn rate(&self, sampler: Option<u64>, interface: Option<u32>) -> Option<u32> {
        // Exporters write 0 where no sampler was at work.
        if let Some(id) = sampler
            && (id != 0 || self.samplers.contains_key(&0))
        {
            return self.samplers.get(&id).copied().or(self.default);
        }
        let by_interface = interface.and_then(|index| self.interfaces.get(&index).copied());
        by_interface.or(self.default)
    }

    pub fn set(&mut self, key: SamplerKey, rate: u32, limit: usize) -> Set {
        let full = self.samplers.len() + self.interfaces.len() >= limit;
        let old = match key {
            SamplerKey::Default => self.default.replace(rate),
            SamplerKey::Sampler(id) if full && !self.samplers.contains_key(&id) => {
                return Set::Full;
            }
            SamplerKey::Sampler(id) => self.samplers.insert(id, rate),
            SamplerKey::Interface(index) if full && !self.interfaces.contains_key(&index) => {
                return Set::Full;
            }
            SamplerKey::Interface(index) => self.interfaces.insert(index, rate),
        };
        if old == Some(rate) { Set::Same } else { Set::Changed }
    }
}

/// The rate that some elements tell together: 34 or 50; 305 and 306, (taken + left out) / taken
/// (RFC 5477 §8.2); 309 and 310, N / n.
pub fn rate(
    interval: Option<u64>,
    packets: Option<(u64, u64)>,
    population: Option<(u64, u64)>,
) -> Option<u32> {
    // Rounded; both numbers are an exporter's and may be as large as can be.
    let ratio = |whole: u64, part: u64| {
        let rate = whole.checked_div(part)?;
        Some(rate.saturating_add(u64::from(whole % part >= part.div_ceil(2))))
    };
    let of_packets = || packets.and_then(|(taken, left)| ratio(taken.checked_add(left)?, taken));
    let of_population = || population.and_then(|(n, of)| ratio(of, n));
    let told = interval.filter(|&n| n > 0);
    let rate = told.or_else(of_population).or_else(of_packets)?;
    u32::try_from(rate).ok().filter(|&rate| rate > 0)
}
