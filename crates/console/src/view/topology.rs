//! The network around an incident as a drawing: the root marked, what it affects shaded, how the
//! fault spread. Each mark also stands in words, beside the node and in the list below the drawing.

use std::collections::{BTreeMap, BTreeSet};

use model::rows::{Element, ElementKind, Incident};
use serde::Serialize;

use super::layout;
use super::words;
use crate::store::State;

pub const WIDTH: f64 = 640.0;
const ROW: f64 = 78.0;
const TOP: f64 = 30.0;
/// Half of what a node's box takes.
const HALF_WIDTH: f64 = 44.0;
const HALF_HEIGHT: f64 = 15.0;

/// Nodes of a drawing; those nearest to what is wrong are kept.
const NODES_MAX: usize = 40;
/// Nodes side by side.
const ROW_NODES_MAX: usize = 7;

#[derive(Clone, Debug, Default, Serialize)]
pub struct Drawing {
    pub width: f64,
    pub height: f64,
    pub nodes: Vec<Node>,
    pub links: Vec<Link>,
    /// Nodes of the network that are not drawn.
    pub left_out: usize,
    /// The drawing in one sentence.
    pub says: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Node {
    pub name: String,
    pub role: String,
    pub x: f64,
    pub y: f64,
    /// root, path, affected, alert or calm.
    pub mark: &'static str,
    /// What the mark means, below the name.
    pub says: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Link {
    pub name: String,
    pub x1: f64,
    pub y1: f64,
    pub x2: f64,
    pub y2: f64,
    pub mark: &'static str,
    pub says: String,
    /// Where one end is the root: its place and name.
    pub end: Option<(f64, f64, String)>,
}

/// What is said of the elements: by `kind name`.
struct Marks {
    root: Option<(String, String)>,
    path: BTreeSet<(String, String)>,
    affected: BTreeSet<(String, String)>,
    alerts: BTreeMap<String, usize>,
}

/// `None` where no topology is known.
pub fn drawing(state: &State, incident: &Incident) -> Option<Drawing> {
    let of_domain = |element: &&Element| element.domain == incident.domain;
    let all: Vec<&Element> = state.elements.values().filter(of_domain).collect();
    let nodes: BTreeMap<&str, &Element> =
        all.iter().filter(|e| e.kind == ElementKind::Node).map(|e| (e.name.as_str(), *e)).collect();
    if nodes.is_empty() {
        return None;
    }
    let links: Vec<&Element> = all.iter().filter(|e| ends(e).is_some()).copied().collect();
    let marks = Marks::of(incident);
    let shown = nearest(&nodes, &links, &marks);
    let left_out = nodes.len() - shown.len();
    let places = places(&shown, &nodes, &links);
    let rows = places.values().map(|place| place.1 as usize).max().unwrap_or(0);
    let drawn_nodes = shown.iter().filter_map(|name| node(name, &nodes, &places, &marks));
    let drawn_links = links.iter().filter_map(|element| link(element, &places, &marks));
    Some(Drawing {
        width: WIDTH,
        height: TOP * 2.0 + rows as f64 * ROW + HALF_HEIGHT,
        nodes: drawn_nodes.collect(),
        links: drawn_links.collect(),
        left_out,
        says: marks.sentence(),
    })
}

/// The nodes that an element joins: a link's devices, or a network and the device that it is at.
fn ends(element: &Element) -> Option<(&str, &str)> {
    let a = element.a_device.as_deref()?;
    match element.kind {
        ElementKind::Link => Some((a, element.b_device.as_deref()?)),
        ElementKind::Node => Some((a, &element.name)),
        _ => None,
    }
}

/// What is wrong, then what is around it, breadth first, up to the limit.
fn nearest(
    nodes: &BTreeMap<&str, &Element>,
    links: &[&Element],
    marks: &Marks,
) -> BTreeSet<String> {
    if nodes.len() <= NODES_MAX {
        return nodes.keys().map(|name| (*name).to_owned()).collect();
    }
    let mut order: Vec<&str> = Vec::new();
    let named = nodes.keys().copied().filter(|name| marks.of_node(name) == "root");
    let rest = nodes.keys().copied().filter(|name| marks.of_node(name) != "calm");
    let by_links = links.iter().filter(|e| marks.of_link(e) != "calm").filter_map(|e| ends(e));
    order.extend(named);
    order.extend(by_links.flat_map(|(a, b)| [a, b]));
    order.extend(rest);
    let mut shown: BTreeSet<String> = BTreeSet::new();
    let mut at = 0;
    while shown.len() < NODES_MAX && at < order.len() {
        let name = order[at];
        at += 1;
        if !nodes.contains_key(name) || !shown.insert(name.to_owned()) {
            continue;
        }
        for (a, b) in links.iter().filter_map(|e| ends(e)) {
            if a == name {
                order.push(b);
            } else if b == name {
                order.push(a);
            }
        }
    }
    shown
}

/// Centres of the nodes' boxes, and the row (as y's unit) that each is in.
fn places(
    shown: &BTreeSet<String>,
    nodes: &BTreeMap<&str, &Element>,
    links: &[&Element],
) -> BTreeMap<String, (f64, f64)> {
    let pairs: Vec<(String, String)> =
        links.iter().filter_map(|e| ends(e)).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
    let is_core = |name: &&String| {
        let role = nodes.get(name.as_str()).and_then(|e| e.role.as_deref()).unwrap_or_default();
        ["core", "spine", "backbone"].iter().any(|word| name.starts_with(word) || role == *word)
    };
    let core: BTreeSet<String> = shown.iter().filter(is_core).cloned().collect();
    let placed = layout::layers(shown, &pairs, &core);
    let mut layers: BTreeMap<usize, Vec<(f64, &String)>> = BTreeMap::new();
    for (name, (layer, at)) in &placed {
        layers.entry(*layer).or_default().push((*at, name));
    }
    let (mut found, mut row) = (BTreeMap::new(), 0usize);
    for nodes in layers.values_mut() {
        nodes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let rows = nodes.len().div_ceil(ROW_NODES_MAX);
        for part in nodes.chunks(nodes.len().div_ceil(rows)) {
            for (at, (_, name)) in part.iter().enumerate() {
                let x = (at as f64 + 0.5) / part.len() as f64 * WIDTH;
                found.insert((*name).clone(), (x, row as f64));
            }
            row += 1;
        }
    }
    found
}

fn y(row: f64) -> f64 {
    TOP + row * ROW
}

fn node(
    name: &str,
    nodes: &BTreeMap<&str, &Element>,
    places: &BTreeMap<String, (f64, f64)>,
    marks: &Marks,
) -> Option<Node> {
    let (x, row) = places.get(name)?;
    let mark = marks.of_node(name);
    let alerts = marks.alerts.get(name).copied().unwrap_or(0);
    let role = nodes.get(name).and_then(|element| element.role.clone()).unwrap_or_default();
    let says = match (mark, alerts) {
        ("root", _) => "root cause".to_owned(),
        ("affected", 0) => "affected".to_owned(),
        ("affected", 1) => "affected, 1 alert".to_owned(),
        ("affected", n) => format!("affected, {n} alerts"),
        (_, 1) => "1 alert".to_owned(),
        (_, n @ 2..) => format!("{n} alerts"),
        ("path", _) => "on the path".to_owned(),
        _ => role.clone(),
    };
    let (name, x, y) = (words::clip(name, 14), x.round(), y(*row));
    Some(Node { name, role, x, y, mark, says })
}

fn link(element: &Element, places: &BTreeMap<String, (f64, f64)>, marks: &Marks) -> Option<Link> {
    let (a, b) = ends(element)?;
    let (from, to) = (places.get(a)?, places.get(b)?);
    let (from, to) = ((from.0, y(from.1)), (to.0, y(to.1)));
    let mark = marks.of_link(element);
    let end_at = |near: (f64, f64), far: (f64, f64), interface: &str| {
        let (dx, dy) = (far.0 - near.0, far.1 - near.1);
        // Just outside of the box, in the direction of the link.
        let by_x = (HALF_WIDTH + 7.0) / dx.abs().max(1e-9);
        let by_y = (HALF_HEIGHT + 7.0) / dy.abs().max(1e-9);
        let share = by_x.min(by_y).min(0.5);
        ((near.0 + dx * share).round(), (near.1 + dy * share).round(), interface.to_owned())
    };
    let (a_if, b_if) = (element.a_interface.as_deref(), element.b_interface.as_deref());
    let end = match &marks.root {
        Some((kind, name)) if kind == "interface" => {
            let is = |device: &str, interface: &&str| *name == format!("{device} {interface}");
            let at_a = a_if.filter(|interface| is(a, interface));
            let at_b = b_if.filter(|interface| is(b, interface));
            let at_a = at_a.map(|interface| end_at(from, to, interface));
            at_a.or_else(|| at_b.map(|interface| end_at(to, from, interface)))
        }
        _ => None,
    };
    let says = match mark {
        "root" => "root cause",
        "affected" => "affected",
        "path" => "on the path",
        _ => "",
    };
    Some(Link {
        name: element.name.clone(),
        x1: from.0.round(),
        y1: from.1,
        x2: to.0.round(),
        y2: to.1,
        mark,
        says: says.to_owned(),
        end,
    })
}

// === impl Marks ===

impl Marks {
    fn of(incident: &Incident) -> Marks {
        let entity = incident.entity.as_ref();
        let root = entity.map(|entity| (entity.kind.clone(), entity.name.clone()));
        let cause = incident.cause.as_ref();
        let set = |texts: &[String]| texts.iter().map(|text| parts(text)).collect();
        let mut alerts: BTreeMap<String, usize> = BTreeMap::new();
        for member in incident.members.iter().filter(|member| member.cleared_ms.is_none()) {
            if let Some(device) = words::of_key(&member.key, "device") {
                *alerts.entry(device.to_owned()).or_default() += 1;
            }
        }
        Marks {
            root: root.filter(|_| cause.is_some()),
            path: cause.map(|cause| set(&cause.path)).unwrap_or_default(),
            affected: cause.map(|cause| set(&cause.affected)).unwrap_or_default(),
            alerts,
        }
    }

    fn of_node(&self, name: &str) -> &'static str {
        let is = |(kind, of): &(String, String)| {
            matches!(kind.as_str(), "node" | "device" | "host" | "exporter") && of == name
        };
        match () {
            () if self.root.as_ref().is_some_and(is) => "root",
            () if self.affected.iter().any(is) => "affected",
            () if self.path.iter().any(is) => "path",
            () if self.alerts.contains_key(name) => "alert",
            () => "calm",
        }
    }

    fn of_link(&self, element: &Element) -> &'static str {
        let of = |device: &Option<String>, interface: &Option<String>| {
            format!(
                "{} {}",
                device.as_deref().unwrap_or_default(),
                interface.as_deref().unwrap_or_default()
            )
        };
        let a = of(&element.a_device, &element.a_interface);
        let b = of(&element.b_device, &element.b_interface);
        let id = element.id.strip_prefix("link/").unwrap_or(&element.id);
        let is = |(kind, name): &(String, String)| match kind.as_str() {
            "link" => name == id || *name == element.name,
            "interface" => *name == a || *name == b,
            _ => false,
        };
        match () {
            () if self.root.as_ref().is_some_and(is) => "root",
            () if self.affected.iter().any(is) => "affected",
            () if self.path.iter().any(is) => "path",
            () => "calm",
        }
    }

    fn sentence(&self) -> String {
        let Some((kind, name)) = &self.root else {
            return "No root cause is named; devices with open alerts are marked.".to_owned();
        };
        let affected: Vec<&str> =
            self.affected.iter().take(8).map(|(_, name)| name.as_str()).collect();
        let more = match self.affected.len().saturating_sub(8) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        match affected.is_empty() {
            true => format!("Root: {kind} {name}. Nothing else is expected to be affected."),
            false => format!("Root: {kind} {name}. Affected: {}{more}.", affected.join(", ")),
        }
    }
}

/// `interface edge1 Gi0/1` or `node/edge1`: kind and name.
fn parts(text: &str) -> (String, String) {
    let space = text.find(' ').unwrap_or(text.len());
    let slash = text.find('/').unwrap_or(text.len());
    match space.min(slash) {
        at if at < text.len() => (text[..at].to_owned(), text[at + 1..].to_owned()),
        _ => (String::new(), text.to_owned()),
    }
}
