//! What can break, and what each of it would show: the one table of priors and probabilities. It is
//! written from reasons that stand beside it, and is not fitted to any test or bench.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use model::rows::Entity;
use serde::{Deserialize, Serialize};

use super::net::{Net, Place};
use crate::config::Sign;

/// One thing that can be the matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Root {
    pub fault: Fault,
    pub place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Fault {
    LinkDown,
    AdminDown,
    NodeDown,
    Flapping,
    Saturated,
    Cpu,
    Flood,
    ExporterSilent,
    GroupDown,
}

/// A kind of anomaly at a place.
pub(super) type Spot = (Sign, Place);

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Symptom {
    pub spot: Spot,
    /// How probable it is to be seen when the root is there.
    pub p: f64,
    /// It is seen within this time of the root's first symptom, or not at all.
    pub within_ms: i64,
}

/// All roots that the map has, with what each shows and the way back.
#[derive(Debug, Default)]
pub(super) struct Roots {
    pub net: Net,
    all: Vec<(Root, Vec<Symptom>)>,
    of_root: HashMap<Root, usize>,
    of_spot: HashMap<Spot, Vec<usize>>,
}

/// A message at once (syslog, with what the network and ingest need), something polled (every 10 s,
/// twice running, and a window), something that waits for a timer (BGP's hold time is 180 s, RFC
/// 4271 §10).
pub(super) const SOON_MS: i64 = 10_000;
pub(super) const POLLED_MS: i64 = 60_000;
pub(super) const SLOW_MS: i64 = 180_000;

/// A syslog datagram that is lost, or a device that says nothing of it: UDP without retransmission
/// (RFC 5426 §4.4), from a network that has just lost a part.
const SAID: f64 = 0.9;
/// A message that has to cross what is broken.
const SAID_CUT_OFF: f64 = 0.1;
/// Polling repeats itself: what is not seen is rare.
const POLLED: f64 = 0.95;
/// Not every link has a BGP session across it.
const NEIGHBOUR: f64 = 0.3;
/// A side effect that may be: traffic on the way round, errors before a failure.
const MAYBE: f64 = 0.15;
const OFTEN: f64 = 0.4;
/// Further of it add nothing, and a message has a limit.
const SYMPTOMS_MAX: usize = 5_000;
/// Links of the way round that are looked at.
const DETOUR_MAX: usize = 6;

// === impl Fault ===

impl Fault {
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::LinkDown => "link-down",
            Fault::AdminDown => "admin-down",
            Fault::NodeDown => "node-down",
            Fault::Flapping => "flapping",
            Fault::Saturated => "saturated",
            Fault::Cpu => "cpu",
            Fault::Flood => "flood",
            Fault::ExporterSilent => "exporter-silent",
            Fault::GroupDown => "group-down",
        }
    }

    /// How probable it is that one such part has begun to fail within the minutes of a window. Of
    /// the unplanned failures of a backbone about 70 % were of one link, 16 % of a router, 11 % of
    /// shared optics, and a fifth of all came from maintenance (Markopoulou et al., INFOCOM 2004);
    /// per part, since there are about as many links as nodes and risk groups. Traffic and load
    /// have no such source: as often as a link. One order of magnitude is what counts.
    pub fn prior(self) -> f64 {
        match self {
            Fault::LinkDown | Fault::Saturated | Fault::Cpu | Fault::Flood => 1e-3,
            Fault::ExporterSilent => 5e-4,
            Fault::AdminDown => 3e-4,
            Fault::NodeDown => 2e-4,
            Fault::Flapping | Fault::GroupDown => 1e-4,
        }
    }
}

// === impl Roots ===

impl Roots {
    pub fn new(net: Net) -> Roots {
        let mut roots = Roots { net, ..Roots::default() };
        for root in roots.of_the_map() {
            let symptoms = roots.derive(&root);
            let at = roots.all.len();
            for symptom in &symptoms {
                roots.of_spot.entry(symptom.spot.clone()).or_default().push(at);
            }
            roots.of_root.insert(root.clone(), at);
            roots.all.push((root, symptoms));
        }
        roots
    }

    /// Every root that would show this, those of hosts (floods under way) aside.
    pub fn causes(&self, spot: &Spot) -> Vec<Root> {
        match &spot.1 {
            Place::Loose(..) => self.of_loose(spot),
            Place::Host(_) if spot.0 == Sign::Flood => {
                vec![Root { fault: Fault::Flood, place: spot.1.clone() }]
            }
            _ => {
                let all = self.of_spot.get(spot).map_or(&[][..], Vec::as_slice);
                all.iter().map(|at| self.all[*at].0.clone()).collect()
            }
        }
    }

    pub fn symptoms(&self, root: &Root) -> Cow<'_, [Symptom]> {
        match self.of_root.get(root) {
            Some(at) => Cow::Borrowed(&self.all[*at].1),
            None => Cow::Owned(self.derive(root)),
        }
    }

    /// How probable the root makes this; 0 where it has nothing to do with it.
    pub fn shows(&self, root: &Root, spot: &Spot) -> f64 {
        let symptoms = self.symptoms(root);
        symptoms.iter().find(|s| s.spot == *spot).map_or(0.0, |s| s.p)
    }

    pub fn entity(&self, root: &Root) -> Entity {
        match (root.fault, &root.place) {
            (Fault::ExporterSilent, Place::Node(node)) => {
                let device = self.net.entity(&root.place);
                let address = self.net.nodes[*node as usize].exporter.clone();
                Entity { kind: "exporter".to_owned(), name: address.unwrap_or(device.name) }
            }
            _ => self.net.entity(&root.place),
        }
    }

    fn of_the_map(&self) -> Vec<Root> {
        let mut all = Vec::new();
        let mut add = |fault, place| all.push(Root { fault, place });
        for node in 0..self.net.nodes.len() as u32 {
            for fault in [Fault::NodeDown, Fault::Cpu, Fault::ExporterSilent] {
                add(fault, Place::Node(node));
            }
        }
        for (at, port) in (0..).zip(&self.net.ports) {
            add(Fault::AdminDown, Place::Port(at));
            add(Fault::Saturated, Place::Port(at));
            if port.link.is_none() {
                add(Fault::LinkDown, Place::Port(at));
                add(Fault::Flapping, Place::Port(at));
            }
        }
        for link in 0..self.net.links.len() as u32 {
            add(Fault::LinkDown, Place::Link(link));
            add(Fault::Flapping, Place::Link(link));
        }
        for group in 0..self.net.groups.len() as u32 {
            add(Fault::GroupDown, Place::Group(group));
        }
        all
    }

    fn of_loose(&self, spot: &Spot) -> Vec<Root> {
        let faults: &[Fault] = match spot.0 {
            Sign::LinkDown => &[Fault::LinkDown, Fault::Flapping],
            Sign::AdminDown => &[Fault::AdminDown],
            Sign::Flapping | Sign::Errors => &[Fault::Flapping],
            Sign::Utilization => &[Fault::Saturated],
            _ => &[],
        };
        faults.iter().map(|fault| Root { fault: *fault, place: spot.1.clone() }).collect()
    }
}

// --- what each root shows ---

/// Collects symptoms, the likeliest of each spot.
struct Shown<'a> {
    net: &'a Net,
    cut_off: BTreeSet<u32>,
    symptoms: Vec<Symptom>,
    at: HashMap<Spot, usize>,
}

impl Roots {
    fn derive(&self, root: &Root) -> Vec<Symptom> {
        let net = &self.net;
        let (nodes, links): (Vec<u32>, Vec<u32>) = match (root.fault, &root.place) {
            (Fault::GroupDown, Place::Group(group)) => {
                let group = &net.groups[*group as usize];
                (group.nodes.clone(), group.links.clone())
            }
            (Fault::NodeDown, Place::Node(node)) => (vec![*node], Vec::new()),
            (Fault::LinkDown, Place::Link(link)) => (Vec::new(), vec![*link]),
            (Fault::AdminDown, Place::Port(port)) => {
                (Vec::new(), net.ports[*port as usize].link.into_iter().collect())
            }
            _ => (Vec::new(), Vec::new()),
        };
        let mut shown = Shown {
            net,
            cut_off: self.cut(&nodes, &links).into_iter().collect(),
            symptoms: Vec::new(),
            at: HashMap::new(),
        };
        match (root.fault, &root.place) {
            (Fault::Cpu, Place::Node(node)) => shown.cpu(*node),
            (Fault::ExporterSilent, Place::Node(node)) => shown.exporter(*node),
            (Fault::Flood, Place::Host(host)) => shown.flood(host),
            (Fault::Saturated, place) => shown.saturated(place),
            (Fault::Flapping, Place::Link(link)) => shown.flapping_link(*link),
            (Fault::Flapping, place) => shown.flapping(place),
            (Fault::AdminDown, place) => shown.shut(place),
            (Fault::LinkDown, place @ (Place::Port(_) | Place::Loose(..))) => shown.port(place),
            _ => {}
        }
        for node in &nodes {
            shown.node(*node, &nodes);
        }
        for link in &links {
            shown.link(*link, &nodes);
        }
        shown.behind();
        if root.fault == Fault::AdminDown {
            // Some systems say both of the interface that was shut; most say only that it was.
            shown.at_most((Sign::LinkDown, root.place.clone()), OFTEN);
        }
        shown.symptoms
    }

    fn cut(&self, nodes: &[u32], links: &[u32]) -> Vec<u32> {
        match (nodes, links) {
            ([], []) => Vec::new(),
            ([node], []) => self.net.cuts().by_node(*node),
            ([], [link]) => self.net.cuts().by_link(*link),
            _ => self.net.without(nodes, links),
        }
    }
}

// === impl Shown ===

impl Shown<'_> {
    fn add(&mut self, sign: Sign, place: Place, p: f64, within_ms: i64) {
        let spot = (sign, place);
        if let Some(at) = self.at.get(&spot) {
            let there = &mut self.symptoms[*at];
            there.p = there.p.max(p);
        } else if self.symptoms.len() < SYMPTOMS_MAX {
            self.at.insert(spot.clone(), self.symptoms.len());
            self.symptoms.push(Symptom { spot, p, within_ms });
        }
    }

    fn at_most(&mut self, spot: Spot, p: f64) {
        if let Some(at) = self.at.get(&spot) {
            self.symptoms[*at].p = self.symptoms[*at].p.min(p);
        }
    }

    /// A message of a device: not from one that is cut off.
    fn said(&mut self, sign: Sign, place: Place, p: f64) {
        let node = self.net.node_of(&place);
        let is_cut = node.is_some_and(|node| self.cut_off.contains(&node));
        self.add(sign, place, if is_cut { SAID_CUT_OFF } else { p }, SOON_MS);
    }

    /// Routing neighbours across a link.
    fn neighbour(&mut self, node: u32) {
        let is_cut = self.cut_off.contains(&node);
        let p = if is_cut { SAID_CUT_OFF } else { NEIGHBOUR };
        self.add(Sign::BgpDown, Place::Node(node), p, SLOW_MS);
    }

    fn link(&mut self, link: u32, gone: &[u32]) {
        let ends = self.net.links[link as usize].ends;
        for end in ends {
            let node = self.net.ports[end as usize].node;
            if !gone.contains(&node) {
                self.said(Sign::LinkDown, Place::Port(end), SAID);
                self.neighbour(node);
                self.add(Sign::ExporterTraffic, Place::Node(node), MAYBE, SLOW_MS);
                self.add(Sign::Errors, Place::Port(end), MAYBE / 3.0, POLLED_MS);
            }
        }
        for port in self.net.detour(link, DETOUR_MAX) {
            self.add(Sign::Utilization, Place::Port(port), MAYBE, POLLED_MS);
            let node = self.net.ports[port as usize].node;
            self.add(Sign::ExporterTraffic, Place::Node(node), MAYBE, SLOW_MS);
        }
    }

    /// The device itself is silent; its neighbours see their ends go down.
    fn node(&mut self, node: u32, gone: &[u32]) {
        self.add(Sign::Unreachable, Place::Node(node), POLLED, POLLED_MS);
        self.silent(node);
        let links: Vec<_> = self.net.links_of(node).collect();
        for (own, _, other) in links {
            let neighbour = self.net.ports[other as usize].node;
            if !gone.contains(&neighbour) {
                self.said(Sign::LinkDown, Place::Port(other), SAID);
                self.neighbour(neighbour);
                self.add(Sign::ExporterTraffic, Place::Node(neighbour), MAYBE, SLOW_MS);
            }
            self.add(Sign::LinkDown, Place::Port(own), SAID_CUT_OFF, SOON_MS);
        }
        self.add(Sign::Cpu, Place::Node(node), MAYBE / 3.0, POLLED_MS);
    }

    fn behind(&mut self) {
        let nodes = self.cut_off.clone();
        for node in nodes {
            self.add(Sign::Unreachable, Place::Node(node), POLLED, POLLED_MS);
            self.silent(node);
        }
    }

    fn silent(&mut self, node: u32) {
        let p = if self.net.nodes[node as usize].exporter.is_some() { SAID } else { MAYBE };
        self.add(Sign::ExporterSilent, Place::Node(node), p, SLOW_MS);
        self.add(Sign::ExporterTraffic, Place::Node(node), MAYBE, SLOW_MS);
        self.add(Sign::ExporterLoss, Place::Node(node), MAYBE, SLOW_MS);
    }

    fn port(&mut self, place: &Place) {
        self.said(Sign::LinkDown, place.clone(), SAID);
        if let Some(node) = self.net.node_of(place) {
            self.neighbour(node);
        }
    }

    /// The link's symptoms at the other end come from `link`.
    fn shut(&mut self, place: &Place) {
        self.said(Sign::AdminDown, place.clone(), SAID);
        self.add(Sign::LinkDown, place.clone(), OFTEN, SOON_MS);
    }

    fn flapping_link(&mut self, link: u32) {
        for end in self.net.links[link as usize].ends {
            self.flapping(&Place::Port(end));
        }
        for port in self.net.detour(link, DETOUR_MAX) {
            self.add(Sign::Utilization, Place::Port(port), MAYBE, POLLED_MS);
        }
    }

    fn flapping(&mut self, place: &Place) {
        self.said(Sign::LinkDown, place.clone(), SAID);
        self.add(Sign::Flapping, place.clone(), SAID, POLLED_MS);
        self.add(Sign::Errors, place.clone(), OFTEN, POLLED_MS);
        if let Some(node) = self.net.node_of(place) {
            self.neighbour(node);
            self.add(Sign::ExporterTraffic, Place::Node(node), MAYBE, SLOW_MS);
        }
    }

    /// A talker fills what it passes: before and behind the narrowest place too.
    fn saturated(&mut self, place: &Place) {
        self.add(Sign::Utilization, place.clone(), POLLED, POLLED_MS);
        let Some(node) = self.net.node_of(place) else { return };
        self.add(Sign::ExporterTraffic, Place::Node(node), OFTEN, SLOW_MS);
        if let Place::Port(port) = place
            && let Some(peer) = self.net.peer(*port)
        {
            let next = self.net.ports[peer as usize].node;
            self.add(Sign::ExporterTraffic, Place::Node(next), OFTEN, SLOW_MS);
            for port in self.net.nodes[next as usize].ports.clone() {
                self.add(Sign::Utilization, Place::Port(port), MAYBE, POLLED_MS);
            }
        }
        let before: Vec<_> = self.net.links_of(node).collect();
        for (_, _, other) in before {
            self.add(Sign::Utilization, Place::Port(other), MAYBE, POLLED_MS);
            let neighbour = self.net.ports[other as usize].node;
            self.add(Sign::ExporterTraffic, Place::Node(neighbour), MAYBE, SLOW_MS);
        }
    }

    fn cpu(&mut self, node: u32) {
        self.add(Sign::Cpu, Place::Node(node), POLLED, POLLED_MS);
        self.add(Sign::Unreachable, Place::Node(node), MAYBE / 3.0, POLLED_MS);
        self.add(Sign::BgpDown, Place::Node(node), MAYBE / 3.0, SLOW_MS);
    }

    fn exporter(&mut self, node: u32) {
        self.add(Sign::ExporterSilent, Place::Node(node), POLLED, SLOW_MS);
        self.add(Sign::ExporterTraffic, Place::Node(node), OFTEN, SLOW_MS);
        self.add(Sign::ExporterLoss, Place::Node(node), MAYBE, SLOW_MS);
    }

    /// Where the host is: its interface, its device, and what leads there.
    fn flood(&mut self, host: &str) {
        self.add(Sign::Flood, Place::Host(host.to_owned()), POLLED, POLLED_MS);
        for node in 0..self.net.nodes.len() as u32 {
            if self.net.nodes[node as usize].exporter.is_some() {
                self.add(Sign::ExporterTraffic, Place::Node(node), MAYBE, SLOW_MS);
            }
        }
        let Some(port) = self.net.behind(host) else { return };
        self.add(Sign::Utilization, Place::Port(port), OFTEN, POLLED_MS);
        let node = self.net.ports[port as usize].node;
        self.add(Sign::Cpu, Place::Node(node), MAYBE, POLLED_MS);
        let before: Vec<_> = self.net.links_of(node).collect();
        for (_, _, other) in before {
            self.add(Sign::Utilization, Place::Port(other), MAYBE, POLLED_MS);
        }
    }
}
