//! Graphs to break: random ones, and those of the Topology Zoo where they are there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[derive(Clone, Debug)]
pub struct Graph {
    pub nodes: usize,
    pub links: Vec<(usize, usize)>,
}

impl Graph {
    /// A tree with half as many links more: 20 to 80 nodes.
    pub fn random(seed: u64) -> Graph {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
        let nodes = rng.random_range(20..80);
        let mut links: BTreeSet<(usize, usize)> =
            (1..nodes).map(|n| (rng.random_range(0..n), n)).collect();
        for _ in 0..nodes / 2 {
            let (a, b) = (rng.random_range(0..nodes), rng.random_range(0..nodes));
            if a != b {
                links.insert((a.min(b), a.max(b)));
            }
        }
        Graph { nodes, links: links.into_iter().collect() }
    }

    /// Nodes that node 0 does not reach.
    pub fn cut_off(&self, without: &BTreeSet<usize>, gone: &BTreeSet<usize>) -> BTreeSet<usize> {
        let reach = |without: &BTreeSet<usize>, gone: &BTreeSet<usize>| {
            let (mut seen, mut queue) = (BTreeSet::from([0]), VecDeque::from([0]));
            while let Some(node) = queue.pop_front() {
                for (nth, (a, b)) in self.links.iter().enumerate() {
                    let next = if *a == node { *b } else { *a };
                    let is_here = *a == node || *b == node;
                    let is_open = !without.contains(&nth) && !gone.contains(&next);
                    if is_here && is_open && seen.insert(next) {
                        queue.push_back(next);
                    }
                }
            }
            seen
        };
        let left = reach(without, gone);
        reach(&BTreeSet::new(), &BTreeSet::new()).difference(&left).copied().collect()
    }
}

/// All graphs of a directory with 20 to 200 nodes, in the order of their names.
pub fn zoo(at: &Path) -> Vec<Graph> {
    let files = std::fs::read_dir(at).into_iter().flatten().flatten().map(|file| file.path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|e| e == "graphml")).collect();
    files.sort();
    let graphs = files.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    graphs.map(|text| parse(&text)).filter(|graph| (20..=200).contains(&graph.nodes)).collect()
}

fn parse(text: &str) -> Graph {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut links = BTreeSet::new();
    let value = |part: &str, name: &str| {
        let from = part.find(&format!("{name}=\""))? + name.len() + 2;
        Some(part[from..].split('"').next()?.to_owned())
    };
    for part in text.split("<edge ").skip(1) {
        let tag = part.split('>').next().unwrap_or_default();
        let (Some(a), Some(b)) = (value(tag, "source"), value(tag, "target")) else { continue };
        let mut number = |name| {
            let next = names.len();
            *names.entry(name).or_insert(next)
        };
        let (a, b) = (number(a), number(b));
        if a != b {
            links.insert((a.min(b), a.max(b)));
        }
    }
    Graph { nodes: names.len(), links: links.into_iter().collect() }
}
