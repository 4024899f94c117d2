//! How the network stands when a run begins: up for days, with counters that have counted, and
//! random streams of their own for each source of chance.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::layout::{Device, Layout};
use super::params::Params;
use super::state::{COUNTERS, Count, Counter, DeviceState, PortState, Shown};
use super::world::{Rngs, Unit};
use crate::exporter::{Exporter, Identity};
use crate::traffic::{Purpose, stream};

const DAY_MS: i64 = 86_400_000;

// === impl Rngs ===

impl Rngs {
    pub(super) fn new(seed: u64) -> Rngs {
        let rng = |purpose| stream(seed, purpose, 0);
        Rngs {
            flood: rng(Purpose::Flood),
            say: rng(Purpose::Say),
            wander: rng(Purpose::Wander),
            talk: rng(Purpose::Talk),
            chatter: rng(Purpose::Chatter),
            sampling: rng(Purpose::Sampling),
        }
    }
}

pub(super) fn device_state(start_ms: i64, rng: &mut ChaCha8Rng) -> DeviceState {
    let cpu_ordinary = rng.random_range(8.0..30.0);
    DeviceState {
        is_alive: true,
        // Up for a day to 45: sysUpTime (32 bits, 497 days) does not wrap soon.
        boot_ms: start_ms - rng.random_range(DAY_MS..45 * DAY_MS),
        cpu: cpu_ordinary,
        cpu_minute: cpu_ordinary,
        cpu_ordinary,
        cpu_forced: None,
        log_lines: rng.random_range(10..2_000),
        said_ms: i64::MIN,
        policies: Vec::new(),
    }
}

pub(super) fn port_state(start_ms: i64, rng: &mut ChaCha8Rng) -> PortState {
    // What days of traffic have left: more than 32 bits in octets, little in errors.
    let octets = |rng: &mut ChaCha8Rng| rng.random_range(1u64 << 33..1u64 << 46);
    let mut counts = [Count::default(); COUNTERS];
    for (octet, packet) in
        [(Counter::InOctets, Counter::InPackets), (Counter::OutOctets, Counter::OutPackets)]
    {
        let amount = octets(rng);
        counts[octet as usize] = Count::starting_at(amount);
        counts[packet as usize] = Count::starting_at(amount / 800);
    }
    PortState {
        admin_up: true,
        oper_up: true,
        told: Shown::Up,
        changed_ms: start_ms - DAY_MS,
        counts,
        rates: [0.0; COUNTERS],
    }
}

pub(super) fn units(
    layout: &Layout,
    params: &Params,
    devices: &[DeviceState],
    rng: &mut ChaCha8Rng,
) -> Vec<Option<Unit>> {
    let one = |(id, device): (usize, &Device)| {
        let first_sequence: u32 = rng.random();
        let protocol = params.exporters.take(device)?;
        let identity = Identity {
            address: device.address,
            protocol,
            domain: id as u32 + 1,
            sampling: 1,
            template_refresh_ms: params.template_refresh_s.max(1) as i64 * 1_000,
            flush_ms: params.flush_ms as i64,
        };
        let exporter = Exporter::new(identity, devices[id].boot_ms, first_sequence);
        Some(Unit { exporter, is_silent: false })
    };
    layout.devices.iter().enumerate().map(one).collect()
}
