//! Overlapping faults, what they show, and what of it arrives. Delays and shares are those of the
//! research prototype: one to five faults in ten minutes, links .40, nodes .25, shared risk .15,
//! degradation .20; messages after 3 s on average, polls every 60 s.

use std::collections::BTreeSet;

use model::rows::{Anomaly, AnomalyKind, Element, ElementKind, Entity};
use rand::seq::index::sample;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::graph::Graph;

#[derive(Clone, Copy)]
pub struct Cell {
    pub loss: f64,
    /// Share of links that the map lacks.
    pub stale: f64,
    pub noise: f64,
}

pub struct Scenario {
    pub elements: Vec<Element>,
    pub anomalies: Vec<Anomaly>,
    /// The fault of each anomaly; noise is one of its own.
    pub truth: Vec<usize>,
    /// `fault kind name` of each fault that showed.
    pub roots: BTreeSet<String>,
}

const LENGTH_MS: i64 = 600_000;
const POLL_MS: i64 = 60_000;
const RISK_GROUPS: usize = 3;

struct Making<'a> {
    graph: &'a Graph,
    rng: ChaCha8Rng,
    loss: f64,
    rows: Vec<(Anomaly, usize)>,
    said: BTreeSet<(String, String)>,
}

impl Scenario {
    pub fn new(graph: &Graph, cell: Cell, seed: u64) -> Scenario {
        let mut making = Making {
            graph,
            rng: ChaCha8Rng::seed_from_u64(seed),
            loss: cell.loss,
            rows: Vec::new(),
            said: BTreeSet::new(),
        };
        let groups = making.groups();
        let elements = making.elements(&groups, cell.stale);
        let mut roots = BTreeSet::new();
        let faults = making.rng.random_range(1..=5);
        for fault in 0..faults {
            let at_ms = 60_000 + making.rng.random_range(0..LENGTH_MS);
            let before = making.rows.len();
            let root = making.fault(fault, at_ms, &groups);
            if making.rows.len() > before {
                roots.insert(root);
            }
        }
        making.noise(faults, cell.noise);
        making.rows.sort_by(|a, b| (a.0.time_ms, &a.0.id).cmp(&(b.0.time_ms, &b.0.id)));
        let (anomalies, truth) = making.rows.into_iter().unzip();
        Scenario { elements, anomalies, truth, roots }
    }
}

fn device(node: usize) -> String {
    format!("n{node}")
}

impl Making<'_> {
    fn port(&self, link: usize, node: usize) -> String {
        format!("{} if{link}", device(node))
    }

    fn link_name(&self, link: usize) -> String {
        let (a, b) = self.graph.links[link];
        let (a, b) = (device(a), device(b));
        let port = format!("if{link}");
        Element::link_id((&a, &port), (&b, &port))["link/".len()..].to_owned()
    }

    fn groups(&mut self) -> Vec<Vec<usize>> {
        let links = self.graph.links.len();
        let size = 4.min(links);
        (0..RISK_GROUPS).map(|_| sample(&mut self.rng, links, size).into_vec()).collect()
    }

    fn elements(&mut self, groups: &[Vec<usize>], stale: f64) -> Vec<Element> {
        let blank = |kind, id: String, name: String| Element {
            domain: "default".into(),
            time_ms: 1_000,
            id,
            kind,
            name,
            role: None,
            site: None,
            address: None,
            exporter: None,
            class: None,
            a_device: None,
            a_interface: None,
            b_device: None,
            b_interface: None,
            speed_bps: None,
            management: None,
            members: Vec::new(),
            removed: false,
        };
        let mut all = Vec::new();
        for node in 0..self.graph.nodes {
            let name = device(node);
            let element = blank(ElementKind::Node, format!("node/{name}"), name);
            all.push(Element { management: (node == 0).then_some(true), ..element });
        }
        for (nth, (a, b)) in self.graph.links.iter().enumerate() {
            if self.rng.random_bool(stale) {
                continue;
            }
            let (a, b) = (device(*a), device(*b));
            let (a, b) = if a <= b { (a, b) } else { (b, a) };
            let name = self.link_name(nth);
            all.push(Element {
                a_device: Some(a),
                a_interface: Some(format!("if{nth}")),
                b_device: Some(b),
                b_interface: Some(format!("if{nth}")),
                ..blank(ElementKind::Link, format!("link/{name}"), name)
            });
        }
        for (nth, links) in groups.iter().enumerate() {
            let members =
                links.iter().map(|link| format!("link/{}", self.link_name(*link))).collect();
            let name = format!("g{nth}");
            let element = blank(ElementKind::Group, format!("group/{name}"), name);
            all.push(Element { members, ..element });
        }
        all
    }

    fn fault(&mut self, fault: usize, at_ms: i64, groups: &[Vec<usize>]) -> String {
        let kind = self.rng.random_range(0.0..1.0);
        let link = self.rng.random_range(0..self.graph.links.len());
        let none = BTreeSet::new();
        if kind < 0.40 {
            self.cut(fault, at_ms, &BTreeSet::from([link]), &none);
            format!("link-down link {}", self.link_name(link))
        } else if kind < 0.65 {
            let node = self.rng.random_range(1..self.graph.nodes);
            let links = (0..self.graph.links.len()).filter(|nth| {
                let (a, b) = self.graph.links[*nth];
                a == node || b == node
            });
            let links = links.collect();
            self.cut(fault, at_ms, &links, &BTreeSet::from([node]));
            format!("node-down device {}", device(node))
        } else if kind < 0.80 {
            let group = self.rng.random_range(0..groups.len());
            self.cut(fault, at_ms, &groups[group].iter().copied().collect(), &none);
            format!("group-down group g{group}")
        } else {
            self.degrade(fault, at_ms, link);
            format!("flapping link {}", self.link_name(link))
        }
    }

    /// Links without a signal; nodes without power say nothing, nor does who is cut off.
    fn cut(&mut self, fault: usize, at_ms: i64, links: &BTreeSet<usize>, gone: &BTreeSet<usize>) {
        let unreached = self.graph.cut_off(links, gone);
        for link in links {
            let (a, b) = self.graph.links[*link];
            for node in [a, b] {
                if !gone.contains(&node) && !unreached.contains(&node) {
                    let port = self.port(*link, node);
                    self.message(fault, at_ms, "link-down", "interface", &port);
                    if self.rng.random_bool(0.7) {
                        let name = device(node);
                        self.message(fault, at_ms, "bgp-down", "device", &name);
                    }
                }
            }
        }
        for node in unreached.union(gone) {
            let at_ms = at_ms + self.rng.random_range(0..POLL_MS);
            self.say(fault, at_ms, "device-unreachable", "device", &device(*node));
        }
    }

    fn degrade(&mut self, fault: usize, at_ms: i64, link: usize) {
        let (a, b) = self.graph.links[link];
        for node in [a, b] {
            let port = self.port(link, node);
            self.message(fault, at_ms, "link-down", "interface", &port);
            let after = self.rng.random_range(10_000..POLL_MS);
            self.say(fault, at_ms + after, "link-flapping", "interface", &port);
            if self.rng.random_bool(0.6) {
                self.say(fault, at_ms + after, "interface-errors", "interface", &port);
            }
        }
    }

    fn noise(&mut self, first: usize, share: f64) {
        let rules = [
            ("link-down", "interface"),
            ("interface-errors", "interface"),
            ("interface-utilization", "interface"),
            ("bgp-down", "device"),
            ("exporter-traffic", "exporter"),
        ];
        let many = (share * self.graph.nodes as f64 / 20.0).ceil() as usize;
        for nth in 0..many {
            let (rule, kind) = rules[self.rng.random_range(0..rules.len())];
            let link = self.rng.random_range(0..self.graph.links.len());
            let node = self.graph.links[link].0;
            let name = if kind == "interface" { self.port(link, node) } else { device(node) };
            let at_ms = 60_000 + self.rng.random_range(0..LENGTH_MS);
            self.say(first + nth, at_ms, rule, kind, &name);
        }
    }

    /// After an exponential delay of 3 s on average.
    fn message(&mut self, fault: usize, at_ms: i64, rule: &str, kind: &str, name: &str) {
        let part: f64 = self.rng.random_range(f64::EPSILON..1.0);
        let delay_ms = (-part.ln() * 3_000.0).min(30_000.0) as i64;
        self.say(fault, at_ms + delay_ms, rule, kind, name);
    }

    fn say(&mut self, fault: usize, time_ms: i64, rule: &str, kind: &str, name: &str) {
        if self.rng.random_bool(self.loss) || !self.said.insert((rule.into(), name.into())) {
            return;
        }
        let anomaly = Anomaly {
            domain: "default".into(),
            id: format!("{rule}/{name}"),
            time_ms,
            rule: rule.into(),
            key: format!("key={name}"),
            kind: AnomalyKind::Open,
            model: "row".into(),
            entity: Some(Entity { kind: kind.into(), name: name.into() }),
            value_name: "row".into(),
            value: None,
            expected: None,
            lower: None,
            upper: None,
            score: None,
            why: rule.into(),
            window_start_ms: time_ms,
            contributors: Vec::new(),
        };
        self.rows.push((anomaly, fault));
    }
}
