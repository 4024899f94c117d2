//! Ordinary days: nothing is down, nothing full, the same again from the same seed, and the flows
//! agree with the counters and with the way that they took.

use std::collections::BTreeMap;
use std::time::Instant;

use super::*;
use crate::net::layout::{At, Layout};
use crate::net::routes::is_redundant;
use crate::net::state::Counter;

#[test]
fn the_same_seed_and_requests_make_the_same_bytes() {
    let run = |seed: u64| {
        let mut net = Net::new(broken(seed, Fault::Flapping));
        let mut outputs = net.advance(after(40));
        let answer = net.snmp("core1", after(40), &Request::GetNext(vec![Oid(vec![1, 3])]));
        set_admin(&mut net, "dist1", after(40), 4, 2);
        outputs.extend(net.advance(after(70)));
        (outputs, answer, net.truth(), net.inventory())
    };
    let (one, two, other) = (run(7), run(7), run(8));
    assert!(one == two, "two runs of one seed differ");
    assert!(one.0 != other.0, "two seeds make the same");
    assert!(one.0.windows(2).all(|pair| pair[0].time_ms() <= pair[1].time_ms()));
}

#[test]
fn how_often_it_is_asked_for_changes_nothing() {
    let whole = Net::new(broken(3, Fault::LinkDown)).advance(after(60));
    let mut net = Net::new(broken(3, Fault::LinkDown));
    let mut steps = Vec::new();
    for nth in 1..=600 {
        steps.extend(net.advance(START_MS + nth * 97));
    }
    steps.extend(net.advance(after(60)));
    assert_eq!(whole.len(), steps.len());
    assert!(whole == steps, "the steps of a caller show in what is sent");
}

#[test]
fn no_interface_is_above_60_percent_and_none_is_down() {
    for seed in 1..=5 {
        let mut net = Net::new(params(seed));
        let mut highest: f64 = 0.0;
        for second in 1..=120 {
            let outputs = net.advance(after(second));
            let spoke = said(&net, &outputs);
            assert!(spoke.iter().all(|(_, _, text)| !text.contains("down")), "{spoke:?}");
            for (fixed, state) in net.layout.ports.iter().zip(&net.ports) {
                assert!(state.oper_up);
                for counter in [Counter::InOctets, Counter::OutOctets] {
                    let share = state.rates[counter as usize] * 8.0 / fixed.speed_bps as f64;
                    assert!(share < 0.6, "{} {share}", fixed.name);
                    highest = highest.max(share);
                }
            }
        }
        assert!(highest > 0.2, "a network that carries next to nothing: {highest}");
    }
}

#[test]
fn both_edges_and_uplinks_carry_their_part() {
    for seed in 1..=10 {
        let mut net = Net::new(params(seed));
        let outputs = net.advance(after(20));
        let mut octets = BTreeMap::new();
        for flow in flows(&outputs) {
            *octets.entry(flow.exporter).or_insert(0u64) += flow.octets;
        }
        let total: u64 = octets.values().sum();
        assert_eq!(octets.len(), 2, "seed {seed}: {octets:?}");
        assert!(octets.values().all(|part| *part * 10 > total), "seed {seed}: {octets:?}");
    }
}

#[test]
fn records_add_up_to_the_counters_of_the_doors_they_came_through() {
    let mut net = Net::new(params(2));
    let seconds = 120;
    let before = net.advance(after(0)).len();
    assert_eq!(before, 0);
    let edge = net.layout.devices[0].clone();
    let door = edge
        .ports
        .iter()
        .copied()
        .find(|port| matches!(net.layout.ports[*port].at, At::Network(_)));
    let index = net.layout.ports[door.unwrap()].index;
    let oid = format!("{IFX_ENTRY}.6.{index}");
    let first = number(&mut net, "edge1", after(0), &oid);
    let outputs = net.advance(after(seconds));
    let counted = number(&mut net, "edge1", after(seconds), &oid) - first;
    let seen = flows(&outputs);
    let came =
        seen.iter().filter(|flow| flow.exporter == edge.address && flow.in_if == u64::from(index));
    let told: u64 = came.map(|flow| flow.octets).sum();
    let share = told as f64 / counted as f64;
    // Sizes are heavy-tailed: two minutes know the mean within a few percent.
    assert!((0.8..1.2).contains(&share), "told {told} of {counted}: {share}");
    let rate = seen.len() as f64 / seconds as f64;
    assert!((300.0..1_000.0).contains(&rate), "{rate} records/s");
}

#[test]
fn records_name_interfaces_that_their_way_takes() {
    let mut net = Net::new(params(4));
    let outputs = net.advance(after(10));
    let Net { layout, .. } = &net;
    for flow in flows(&outputs) {
        let device = layout.devices.iter().find(|d| d.address == flow.exporter).unwrap();
        let at = |index: u64| {
            let port = device.ports.iter().find(|p| u64::from(layout.ports[**p].index) == index);
            layout.ports[*port.unwrap()].at
        };
        let comes_in = matches!(at(flow.in_if), At::Network(_));
        let is_foreign = flow.src.starts_with("198.18.");
        assert_eq!(comes_in, is_foreign, "{flow:?}");
        assert_ne!(comes_in, matches!(at(flow.out_if), At::Network(_)), "{flow:?}");
    }
}

#[test]
fn counters_go_on_as_rates_say_and_32_bits_are_the_lower_half() {
    let mut net = Net::new(params(5));
    net.advance(after(10));
    let (device, index) = place(&net, "dist1 Gi0/4");
    let wide = format!("{IFX_ENTRY}.10.{index}");
    let first = number(&mut net, &device, after(10), &wide);
    let between = number(&mut net, &device, after(10) + 500, &wide);
    net.advance(after(20));
    let last = number(&mut net, &device, after(20), &wide);
    assert!(first < between && between < last, "{first} {between} {last}");
    let narrow = number(&mut net, &device, after(20), &format!("{IF_ENTRY}.16.{index}"));
    assert_eq!(narrow, last & 0xffff_ffff);
    assert!(last > u64::from(u32::MAX), "days of traffic are behind it");
    let uptime = |net: &mut Net, at| number(net, &device, at, "1.3.6.1.2.1.1.3.0");
    let (up, later) = (uptime(&mut net, after(20)), uptime(&mut net, after(21)));
    assert_eq!(later - up, 100);
}

#[test]
fn only_the_branch_hangs_by_one_link_and_everything_by_the_table() {
    let layout = Layout::standard();
    let single: Vec<String> = (0..layout.links.len())
        .filter(|link| !is_redundant(&layout, *link))
        .map(|link| layout.link_name(link))
        .collect();
    assert_eq!(single, ["acc5 Fa0/1--dist2 Fa0/8"]);
    assert!(layout.devices.len() >= 12);
    assert_eq!(layout.groups[0].links.len(), 2);
}

#[test]
fn the_inventory_names_all_that_there_is_and_nothing_of_the_truth() {
    let net = Net::new(broken(1, Fault::LinkDown));
    let text = net.inventory();
    let count = |word: &str| text.matches(word).count();
    assert_eq!(count("{ name: ") - count("prefix") - count("members"), net.layout.devices.len());
    assert_eq!(count("speed_bps: "), net.layout.links.len());
    assert!(text.starts_with("management: mgmt1\n"), "{text}");
    assert!(text.contains("a: \"edge1 Te0/1\", b: \"core1 Te0/1\", speed_bps: 10000000000"));
    assert!(text.contains("\"link/core1 Te0/3--core3 Te0/3\""), "{text}");
    for word in ["admin-down", "fault", "truth", "start_ms"] {
        assert_eq!(count(word), 0, "{word}");
    }
}

#[test]
fn an_hour_passes_200_times_faster_than_real() {
    let mut net = Net::new(params(6));
    let begun = Instant::now();
    let mut datagrams = 0;
    let seconds = 600;
    for second in 1..=seconds {
        datagrams += net.advance(after(second)).len();
    }
    let speed = seconds as f64 / begun.elapsed().as_secs_f64();
    eprintln!("{speed:.0} times real time, {datagrams} datagrams in {seconds} s");
    // A busy machine is slower than the 200 that an idle one must do; a tenth is a defect.
    assert!(speed > 20.0, "{speed}");
}
