//! The network as a graph: who is joined to whom, over how many ways that share no link. Small
//! networks and few questions, so plain searches do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::rows::{Element, ElementKind};

/// See the module. Links that are down are left out of every answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    names: Vec<String>,
    nodes: BTreeMap<String, usize>,
    links: Vec<Link>,
    /// Links at each node.
    at: Vec<Vec<usize>>,
    management: BTreeSet<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The element's id.
    pub id: String,
    pub ends: (usize, usize),
    pub interfaces: (String, String),
    pub is_up: bool,
    /// It is what is broken: nobody may count on it.
    pub is_faulty: bool,
}

// === impl Graph ===

impl Graph {
    pub fn of<'a>(elements: impl Iterator<Item = &'a Element> + Clone) -> Graph {
        let mut graph = Graph::default();
        for element in elements.clone().filter(|e| e.kind == ElementKind::Node && !e.removed) {
            let node = graph.node(&element.name);
            if element.management == Some(true) {
                graph.management.insert(node);
            }
        }
        for element in elements.filter(|e| e.kind == ElementKind::Link && !e.removed) {
            let ends = (&element.a_device, &element.b_device);
            let (Some(a), Some(b)) = ends else {
                continue;
            };
            let ends = (graph.node(a), graph.node(b));
            let interface = |name: &Option<String>| name.clone().unwrap_or_default();
            let interfaces = (interface(&element.a_interface), interface(&element.b_interface));
            graph.join(&element.id, ends, interfaces);
        }
        graph
    }

    /// The node of this name, made where there is none.
    pub fn node(&mut self, name: &str) -> usize {
        if let Some(node) = self.nodes.get(name) {
            return *node;
        }
        let node = self.names.len();
        self.names.push(name.to_owned());
        self.nodes.insert(name.to_owned(), node);
        self.at.push(Vec::new());
        node
    }

    pub fn join(&mut self, id: &str, ends: (usize, usize), interfaces: (String, String)) -> usize {
        let link = self.links.len();
        let (is_up, is_faulty) = (true, false);
        self.links.push(Link { id: id.to_owned(), ends, interfaces, is_up, is_faulty });
        self.at[ends.0].push(link);
        if ends.1 != ends.0 {
            self.at[ends.1].push(link);
        }
        link
    }

    pub fn manage_from(&mut self, node: usize) {
        self.management.insert(node);
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.nodes.get(name).copied()
    }

    pub fn name(&self, node: usize) -> &str {
        &self.names[node]
    }

    pub fn nodes(&self) -> usize {
        self.names.len()
    }

    pub fn links(&self) -> &[Link] {
        &self.links
    }

    pub fn link_mut(&mut self, link: usize) -> &mut Link {
        &mut self.links[link]
    }

    pub fn management(&self) -> &BTreeSet<usize> {
        &self.management
    }

    /// The link that ends at this interface.
    pub fn link_at(&self, device: &str, interface: &str) -> Option<usize> {
        let node = self.find(device)?;
        let ends_here = |link: &&usize| {
            let Link { ends, interfaces, .. } = &self.links[**link];
            (ends.0 == node && interfaces.0 == interface)
                || (ends.1 == node && interfaces.1 == interface)
        };
        self.at[node].iter().find(ends_here).copied()
    }

    /// Nodes that can be reached from here, itself included, without one of the links.
    pub fn reach(&self, from: usize, without: Option<usize>) -> BTreeSet<usize> {
        let (mut seen, mut next) = (BTreeSet::from([from]), VecDeque::from([from]));
        while let Some(node) = next.pop_front() {
            for link in self.usable(node, without) {
                let other = self.other(link, node);
                if seen.insert(other) {
                    next.push_back(other);
                }
            }
        }
        seen
    }

    /// Ways between two nodes that share no link, counted up to `most`.
    pub fn disjoint_ways(&self, a: usize, b: usize, without: Option<usize>, most: usize) -> usize {
        // The link's direction that a way found before takes: one more way may give it back.
        let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
        let mut ways = 0;
        while ways < most && a != b {
            let Some(way) = self.one_more_way(a, b, without, &taken) else {
                break;
            };
            for (link, from) in way {
                match taken.get(&link) {
                    Some(other) if *other != from => {
                        taken.remove(&link);
                    }
                    _ => {
                        taken.insert(link, from);
                    }
                }
            }
            ways += 1;
        }
        ways
    }

    fn one_more_way(
        &self,
        a: usize,
        b: usize,
        without: Option<usize>,
        taken: &BTreeMap<usize, usize>,
    ) -> Option<Vec<(usize, usize)>> {
        let mut came: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let mut next = VecDeque::from([a]);
        while let Some(node) = next.pop_front() {
            for link in self.usable(node, without) {
                let other = self.other(link, node);
                let is_taken = taken.get(&link) == Some(&node);
                if is_taken || other == a || came.contains_key(&other) {
                    continue;
                }
                came.insert(other, (link, node));
                if other == b {
                    return Some(back(&came, a, b));
                }
                next.push_back(other);
            }
        }
        None
    }

    fn usable(&self, node: usize, without: Option<usize>) -> impl Iterator<Item = usize> + '_ {
        let usable = move |link: &usize| self.links[*link].is_up && Some(*link) != without;
        self.at[node].iter().copied().filter(usable)
    }

    fn other(&self, link: usize, node: usize) -> usize {
        let (a, b) = self.links[link].ends;
        if a == node { b } else { a }
    }
}

/// The links of a way, each with the node that it is taken from.
fn back(came: &BTreeMap<usize, (usize, usize)>, a: usize, b: usize) -> Vec<(usize, usize)> {
    let (mut way, mut at) = (Vec::new(), b);
    while at != a {
        let (link, from) = came[&at];
        way.push((link, from));
        at = from;
    }
    way
}
