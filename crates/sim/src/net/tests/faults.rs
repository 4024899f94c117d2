//! What each fault shows from outside, and that its repair ends it. A deaf device says yes to the
//! repair and goes on.

use super::*;
use crate::net::state::Counter;

const SEEDS: std::ops::RangeInclusive<u64> = 1..=8;

/// Percent of an interface's speed that it sends.
fn utilization(net: &Net, name: &str) -> f64 {
    let (device, port) = name.split_once(' ').unwrap();
    let id = net.layout.port(net.layout.device(device).unwrap(), port).unwrap();
    let bps = net.ports[id].rates[Counter::OutOctets as usize] * 8.0;
    100.0 * bps / net.layout.ports[id].speed_bps as f64
}

fn both_ends(link: &str) -> (String, String) {
    let (a, b) = link.split_once("--").unwrap();
    (a.to_owned(), b.to_owned())
}

fn peer(net: &Net, name: &str) -> String {
    let (device, port) = name.split_once(' ').unwrap();
    let id = net.layout.port(net.layout.device(device).unwrap(), port).unwrap();
    net.layout.port_name(net.layout.peer(id).unwrap())
}

fn has_said(lines: &[(i64, String, String)], name: &str, words: &str) -> bool {
    let (device, port) = name.split_once(' ').unwrap();
    let words = format!("Interface {}, changed state to {words}", long(port));
    lines.iter().any(|(_, from, text)| from == device && text.ends_with(&words))
}

#[test]
fn an_interface_shut_by_mistake_is_told_by_both_ends_and_opened_again() {
    for seed in SEEDS {
        let mut net = Net::new(broken(seed, Fault::LinkDown));
        let known = known(&net);
        let (device, index) = place(&net, &known.root);
        assert_eq!(known.repair.as_deref(), Some("interface.up"));
        assert_eq!(known.may_touch, [device.clone()]);
        let status = |net: &mut Net, column: u32, at| {
            number(net, &device, at, &format!("{IF_ENTRY}.{column}.{index}"))
        };
        net.advance(after(29));
        assert_eq!((status(&mut net, 7, after(29)), status(&mut net, 8, after(29))), (1, 1));
        let outputs = net.advance(after(60));
        let lines = said(&net, &outputs);
        let other = peer(&net, &known.root);
        assert!(has_said(&lines, &known.root, "administratively down"), "{lines:?}");
        // The branch's switch cannot be heard while its only link is shut.
        assert!(has_said(&lines, &other, "down") || other.starts_with("acc5"), "{lines:?}");
        assert_eq!((status(&mut net, 7, after(60)), status(&mut net, 8, after(60))), (2, 2));
        assert_eq!(set_admin(&mut net, &device, after(60), index, 1), 0);
        assert_eq!((status(&mut net, 7, after(60)), status(&mut net, 8, after(60))), (1, 1));
        let lines = {
            let outputs = net.advance(after(90));
            said(&net, &outputs)
        };
        assert!(has_said(&lines, &known.root, "up") && has_said(&lines, &other, "up"), "{lines:?}");
    }
}

#[test]
fn a_deaf_device_says_yes_and_does_nothing() {
    let mut net = Net::new(Params { deaf: true, ..broken(3, Fault::LinkDown) });
    let (device, index) = place(&net, &known(&net).root);
    net.advance(after(60));
    assert_eq!(set_admin(&mut net, &device, after(60), index, 1), 0);
    assert_eq!(number(&mut net, &device, after(60), &format!("{IF_ENTRY}.7.{index}")), 2);
    let add = "drop add x dst 203.0.113.7 protocol tcp";
    assert_eq!(net.command("edge1", after(60), add), Ok(String::new()));
    assert_eq!(net.command("edge1", after(60), "show policies"), Ok(String::new()));
}

#[test]
fn traffic_goes_round_a_cut_link_and_a_cut_branch_falls_silent() {
    for seed in SEEDS {
        let mut net = Net::new(broken(seed, Fault::Cut));
        let (a, b) = both_ends(&known(&net).root);
        net.advance(after(60));
        for end in [&a, &b] {
            assert_eq!(utilization(&net, end), 0.0);
        }
        let is_branch = a.starts_with("acc5");
        assert_eq!(net.answers("acc5"), !is_branch);
        assert!(net.load.bundles.iter().all(|bundle| bundle.way.is_some()) || is_branch);
        for port in 0..net.ports.len() {
            assert!(utilization(&net, &net.layout.port_name(port)) < 60.0);
        }
    }
    let mut params = broken(1, Fault::Cut);
    params.faults[0].at = Some("acc5 Fa0/1--dist2 Fa0/8".to_owned());
    let mut net = Net::new(params);
    let outputs = net.advance(after(90));
    let lines = said(&net, &outputs);
    assert!(has_said(&lines, "dist2 Fa0/8", "down"), "{lines:?}");
    assert!(!has_said(&lines, "acc5 Fa0/1", "down"), "it cannot be heard: {lines:?}");
    let request = Request::Get(vec!["1.3.6.1.2.1.1.3.0".parse().unwrap()]);
    assert_eq!(net.snmp("acc5", after(90), &request), None);
}

#[test]
fn a_conduit_takes_all_its_links_with_it() {
    let mut net = Net::new(broken(1, Fault::GroupDown));
    assert_eq!(known(&net).root, "conduit-river");
    let outputs = net.advance(after(60));
    let lines = said(&net, &outputs);
    for end in ["core1 Te0/3", "core3 Te0/3", "core2 Te0/3", "core4 Te0/3"] {
        assert!(has_said(&lines, end, "down"), "{end}: {lines:?}");
    }
    assert!(net.layout.devices.iter().all(|device| net.answers(device.name)));
}

#[test]
fn a_talker_fills_one_interface_until_it_is_limited_at_the_edge() {
    for seed in SEEDS {
        let mut net = Net::new(broken(seed, Fault::Saturation));
        let known = known(&net);
        let mut outputs = net.advance(after(29));
        let calm = utilization(&net, &known.root);
        outputs.extend(net.advance(after(60)));
        assert!(calm < 60.0 && utilization(&net, &known.root) > 90.0, "{}", known.root);
        for port in 0..net.ports.len() {
            let name = net.layout.port_name(port);
            assert!(name == known.root || utilization(&net, &name) < 90.0, "{name} is full too");
        }
        let [src, dst] = &known.hosts[..] else { panic!("{:?}", known.hosts) };
        let talker: u64 = flows(&outputs)
            .iter()
            .filter(|f| (&f.src, &f.dst) == (src, dst))
            .map(|flow| flow.octets)
            .sum();
        assert!(talker > 100_000_000, "{talker} octets of the talker are told");
        let line = format!("rate-limit add talker src {src} dst {dst} mbps 20");
        let edge = &known.may_touch[0];
        net.command(edge, after(60), &line).unwrap();
        net.advance(after(70));
        assert!(utilization(&net, &known.root) < 75.0, "{}", utilization(&net, &known.root));
        net.command(edge, after(70), "rate-limit remove talker").unwrap();
        net.advance(after(72));
        assert!(utilization(&net, &known.root) > 90.0, "without its limit it is back");
    }
}

#[test]
fn a_busy_cpu_shows_in_both_gauges_and_in_nothing_else() {
    for seed in SEEDS {
        let mut net = Net::new(broken(seed, Fault::Cpu));
        let known = known(&net);
        assert_eq!((known.kind.as_str(), known.repair), ("device", None));
        let gauge = |net: &mut Net, column: u32, at| {
            number(net, &known.root, at, &format!("1.3.6.1.4.1.9.9.109.1.1.1.1.{column}.1"))
        };
        net.advance(after(29));
        assert!(gauge(&mut net, 6, after(29)) < 60);
        let outputs = net.advance(after(50));
        assert!(said(&net, &outputs).iter().all(|(_, _, text)| !text.contains("UPDOWN")));
        for second in 50..=180 {
            net.advance(after(second));
            assert!(gauge(&mut net, 6, after(second)) > 90);
        }
        assert!(gauge(&mut net, 7, after(180)) > 90);
    }
}

#[test]
fn a_flapping_link_comes_and_goes_with_errors_until_its_port_is_shut() {
    for seed in SEEDS {
        let mut net = Net::new(broken(seed, Fault::Flapping));
        let known = known(&net);
        let (a, b) = both_ends(&known.root);
        let mut also = known.also.clone();
        also.sort();
        assert_eq!(also, [a.clone(), b.clone()], "both ends are as right");
        let outputs = net.advance(after(90));
        let lines = said(&net, &outputs);
        for end in [&a, &b] {
            let (device, port) = end.split_once(' ').unwrap();
            let words = format!("LINK-3-UPDOWN: Interface {},", long(port));
            let events =
                lines.iter().filter(|(_, from, text)| from == device && text.contains(&words));
            assert!(events.count() >= 8, "in a minute: {lines:?}");
            let (device, index) = place(&net, end);
            let errors = format!("{IF_ENTRY}.14.{index}");
            assert!(number(&mut net, &device, after(90), &errors) > 500);
        }
        let (device, index) = place(&net, &a);
        assert_eq!(set_admin(&mut net, &device, after(90), index, 2), 0);
        net.advance(after(110));
        let outputs = net.advance(after(300));
        let lines = said(&net, &outputs);
        assert!(lines.iter().all(|(_, _, text)| !text.contains("UPDOWN")), "{lines:?}");
        assert!(net.load.bundles.iter().all(|bundle| bundle.way.is_some()));
        assert!(known.may_touch.contains(&device));
    }
}

#[test]
fn a_flood_comes_through_both_edges_until_both_drop_it() {
    let mut net = Net::new(broken(4, Fault::SynFlood));
    let known = known(&net);
    assert_eq!(known.may_touch, ["edge1", "edge2"]);
    let mut all = net.advance(after(60));
    let syns = |all: &[Output], from: i64, until: i64| {
        let mut at = BTreeMap::new();
        for flow in flows(all) {
            let is_it = flow.dst == known.root && flow.flags & 18 == 2;
            if is_it && (after(from)..after(until)).contains(&flow.time_ms) {
                *at.entry(flow.exporter).or_insert(0) += 1;
            }
        }
        at
    };
    assert!(syns(&all, 0, 30).values().sum::<u32>() < 60);
    let during = syns(&all, 32, 60);
    assert!(during.len() == 2 && during.values().all(|n| *n > 10_000), "{during:?}");
    for edge in &known.may_touch {
        let line = format!("drop add flood dst {} protocol tcp flags syn", known.root);
        net.command(edge, after(60), &line).unwrap();
    }
    all.extend(net.advance(after(90)));
    let dropped = syns(&all, 62, 90);
    assert!(dropped.values().all(|n| *n < 1_000), "{dropped:?}");
    assert!(net.load.attacks[0].doors.iter().all(|door| door.passes < 0.05));
}

#[test]
fn a_silent_exporter_still_answers_and_comes_back() {
    let mut params = broken(2, Fault::SilentExporter);
    params.faults[0].for_s = Some(60);
    let mut net = Net::new(params);
    let known = known(&net);
    assert_eq!((known.kind.as_str(), known.repair), ("exporter", None));
    let silent: Ipv4Addr = known.root.parse().unwrap();
    let sent = |outputs: &[Output]| {
        outputs.iter().filter(|o| matches!(o, Output::Flows(_)) && o.from() == silent).count()
    };
    assert!(sent(&net.advance(after(30))) > 50);
    assert_eq!(sent(&net.advance(after(89))), 0);
    assert!(net.layout.devices.iter().all(|device| net.answers(device.name)));
    assert!(sent(&net.advance(after(120))) > 50);
}

#[test]
fn a_dead_device_is_told_of_by_its_neighbours_and_boots_anew() {
    let mut params = broken(1, Fault::NodeDown);
    params.faults[0].at = Some("core1".to_owned());
    params.faults[0].for_s = Some(60);
    let mut net = Net::new(params);
    let outputs = net.advance(after(80));
    let lines = said(&net, &outputs);
    assert!(!net.answers("core1") && net.answers("edge1"));
    assert!(has_said(&lines, "edge1 Te0/1", "down"), "{lines:?}");
    let bgp = "neighbor 127.77.0.3 Down";
    assert!(lines.iter().any(|(_, from, text)| from == "edge1" && text.contains(bgp)), "{lines:?}");
    assert!(lines.iter().all(|(at, from, _)| from != "core1" || *at < after(30)));
    let outputs = net.advance(after(110));
    let lines = said(&net, &outputs);
    assert!(lines.iter().any(|(_, from, text)| from == "core1" && text.contains("SYS-5-RESTART")));
    assert!(has_said(&lines, "edge1 Te0/1", "up"), "{lines:?}");
    assert_eq!(number(&mut net, "core1", after(110), "1.3.6.1.2.1.1.3.0"), 2_000);
}

#[test]
fn each_fault_has_a_place_for_every_seed_and_quiet_has_none() {
    let all = [
        Fault::LinkDown,
        Fault::Cut,
        Fault::GroupDown,
        Fault::Saturation,
        Fault::Cpu,
        Fault::Flapping,
        Fault::SynFlood,
        Fault::SilentExporter,
        Fault::NodeDown,
    ];
    for seed in 1..=40 {
        for fault in all {
            let net = Net::new(broken(seed, fault));
            assert_eq!(net.truth().len(), 2, "{fault:?}");
            assert!(!known(&net).root.contains("mgmt1"), "{fault:?}");
        }
        assert_eq!(Net::new(broken(seed, Fault::None)).truth().len(), 1);
    }
}
