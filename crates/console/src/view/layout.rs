//! A layered drawing of a small graph: layers by distance from its core, the order within a layer
//! by where a node's neighbours stand. The same graph gives the same drawing, so that a person
//! finds a device where it was yesterday.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Where each node stands: layer from the top, place within it (0 to 1).
pub type Places = BTreeMap<String, (usize, f64)>;

/// Passes over all layers; the order does not change after a few.
const SWEEPS: usize = 6;

/// `core` are the nodes of the first layer; where it is empty the graph's centre is.
pub fn layers(
    nodes: &BTreeSet<String>,
    links: &[(String, String)],
    core: &BTreeSet<String>,
) -> Places {
    let neighbours = neighbours(nodes, links);
    let core = match core.is_empty() {
        true => centre(&neighbours),
        false => core.clone(),
    };
    let distances = distances(&neighbours, &core);
    let deepest = distances.values().copied().max().unwrap_or(0);
    let mut rows: Vec<Vec<&str>> = vec![Vec::new(); deepest + 2];
    for node in nodes {
        // What hangs on nothing stands below all others.
        let layer = distances.get(node.as_str()).copied().unwrap_or(deepest + 1);
        rows[layer].push(node);
    }
    rows.retain(|row| !row.is_empty());
    for sweep in 0..SWEEPS {
        let places = spread(&rows);
        let order: Vec<usize> = match sweep % 2 {
            0 => (0..rows.len()).collect(),
            _ => (0..rows.len()).rev().collect(),
        };
        let mut places = places;
        for at in order {
            sort_row(&mut rows[at], &neighbours, &places);
            places = spread(&rows);
        }
    }
    let placed = spread(&rows);
    placed.into_iter().map(|(node, place)| (node.to_owned(), place)).collect()
}

type Neighbours<'a> = BTreeMap<&'a str, Vec<&'a str>>;

fn neighbours<'a>(nodes: &'a BTreeSet<String>, links: &'a [(String, String)]) -> Neighbours<'a> {
    let mut all: Neighbours<'a> = nodes.iter().map(|node| (node.as_str(), Vec::new())).collect();
    for (a, b) in links {
        if a != b && nodes.contains(a) && nodes.contains(b) {
            all.entry(a).or_default().push(b);
            all.entry(b).or_default().push(a);
        }
    }
    all
}

fn distances<'a>(neighbours: &Neighbours<'a>, from: &BTreeSet<String>) -> BTreeMap<&'a str, usize> {
    let known = neighbours.keys().filter(|node| from.contains(**node)).copied();
    let mut queue: VecDeque<(&str, usize)> = known.map(|node| (node, 0)).collect();
    let mut found: BTreeMap<&str, usize> = queue.iter().copied().collect();
    while let Some((node, distance)) = queue.pop_front() {
        for next in neighbours.get(node).into_iter().flatten() {
            if !found.contains_key(next) {
                found.insert(next, distance + 1);
                queue.push_back((next, distance + 1));
            }
        }
    }
    found
}

/// The nodes whose farthest other node is nearest, in the largest connected part.
fn centre(neighbours: &Neighbours<'_>) -> BTreeSet<String> {
    let mut best: Option<((usize, usize), BTreeSet<String>)> = None;
    for node in neighbours.keys() {
        let found = distances(neighbours, &BTreeSet::from([(*node).to_owned()]));
        let unreached = neighbours.len() - found.len();
        let rank = (unreached, found.values().copied().max().unwrap_or(0));
        match &mut best {
            Some((known, nodes)) if *known == rank => {
                nodes.insert((*node).to_owned());
            }
            Some((known, _)) if *known < rank => {}
            _ => best = Some((rank, BTreeSet::from([(*node).to_owned()]))),
        }
    }
    best.map(|(_, nodes)| nodes).unwrap_or_default()
}

fn spread<'a>(rows: &[Vec<&'a str>]) -> BTreeMap<&'a str, (usize, f64)> {
    let mut places = BTreeMap::new();
    for (layer, row) in rows.iter().enumerate() {
        for (at, node) in row.iter().enumerate() {
            places.insert(*node, (layer, (at as f64 + 0.5) / row.len() as f64));
        }
    }
    places
}

/// By the mean place of a node's neighbours; those without any keep theirs.
fn sort_row(row: &mut [&str], neighbours: &Neighbours<'_>, places: &BTreeMap<&str, (usize, f64)>) {
    let wanted = |node: &str| {
        let around = neighbours.get(node).into_iter().flatten();
        let at: Vec<f64> = around.filter_map(|next| Some(places.get(next)?.1)).collect();
        match at.is_empty() {
            true => places.get(node).map_or(0.5, |place| place.1),
            false => at.iter().sum::<f64>() / at.len() as f64,
        }
    };
    let mut ranked: Vec<(f64, &str)> = row.iter().map(|node| (wanted(node), *node)).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
    for (place, (_, node)) in row.iter_mut().zip(ranked) {
        *place = node;
    }
}
