//! Gates on graphs of any form: whatever is cut in whatever order, nobody is cut off, redundancy
//! stays where it was, and the way to management stands.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::engine::gates::{cut, held, needs_person, refused};
use crate::engine::graph::Graph;

/// Sequences that the property is tried on.
const SEQUENCES: u32 = 10_000;

/// A graph of up to 8 nodes with its links, and what is wanted: cuts, restorations, faults.
fn worlds() -> impl Strategy<Value = (usize, Vec<(usize, usize)>, Vec<(usize, u8)>)> {
    (3..8_usize).prop_flat_map(|nodes| {
        let links = prop::collection::vec((0..nodes, 0..nodes), 2..14);
        let wanted = prop::collection::vec((0..14_usize, 0..4_u8), 1..12);
        (Just(nodes), links, wanted)
    })
}

fn graph(nodes: usize, links: &[(usize, usize)]) -> Graph {
    let mut graph = Graph::default();
    for node in 0..nodes {
        graph.node(&format!("n{node}"));
    }
    graph.manage_from(0);
    for (at, (a, b)) in links.iter().enumerate().filter(|(_, (a, b))| a != b) {
        graph.join(&format!("l{at}"), (*a, *b), (format!("a{at}"), format!("b{at}")));
    }
    graph
}

/// Pairs of nodes that are joined, and those that stay joined whichever link fails: by trying it.
fn pairs(graph: &Graph) -> (BTreeSet<(usize, usize)>, BTreeSet<(usize, usize)>) {
    let joined = |without: Option<usize>| {
        let reach = |a: usize| graph.reach(a, without).into_iter().map(move |b| (a, b));
        (0..graph.nodes()).flat_map(reach).collect::<BTreeSet<_>>()
    };
    let all = joined(None);
    let mut redundant = all.clone();
    for link in (0..graph.links().len()).filter(|link| graph.links()[*link].is_up) {
        redundant = redundant.intersection(&joined(Some(link))).copied().collect();
    }
    (all, redundant)
}

/// Plays what is wanted under a gate; the first thing that must not be.
fn play(
    world: &(usize, Vec<(usize, usize)>, Vec<(usize, u8)>),
    allows: &dyn Fn(&Graph, usize) -> bool,
) -> Result<u32, String> {
    let (nodes, links, wanted) = world;
    let mut graph = graph(*nodes, links);
    let mut cuts = 0;
    for (link, what) in wanted {
        let link = link % graph.links().len().max(1);
        match what {
            _ if graph.links().is_empty() => break,
            0 => {
                let one = graph.link_mut(link);
                (one.is_up, one.is_faulty) = (true, false);
            }
            1 => {
                // It breaks by itself: whatever that takes with it is not our doing.
                let one = graph.link_mut(link);
                (one.is_up, one.is_faulty) = (false, true);
            }
            _ if allows(&graph, link) => {
                let before = pairs(&graph);
                graph.link_mut(link).is_up = false;
                cuts += 1;
                let after = pairs(&graph);
                if before.0 != after.0 {
                    return Err(format!("disconnected by {link} of {links:?}"));
                }
                if !before.1.is_subset(&after.1) {
                    return Err(format!("redundancy taken by {link} of {links:?}"));
                }
                let (a, b) = graph.links()[link].ends;
                if a == 0 || b == 0 {
                    return Err(format!("a link of management cut: {link} of {links:?}"));
                }
            }
            _ => {}
        }
    }
    Ok(cuts)
}

fn gate(graph: &Graph, link: usize) -> bool {
    let gates = cut(graph, link);
    refused(&gates).is_none() && held(&gates).is_none() && needs_person(&gates).is_none()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: SEQUENCES, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_cuts_disconnects_or_takes_redundancy(world in worlds()) {
        prop_assert!(play(&world, &gate).is_ok(), "{:?}", play(&world, &gate));
    }
}

/// The property can fail: without any one of the gates it does.
#[test]
fn without_a_gate_the_property_fails() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    for (left_out, finds) in [
        ("connectivity", "disconnected"),
        ("redundancy", "redundancy"),
        ("management", "management"),
    ] {
        let without = |graph: &Graph, link: usize| {
            let mut gates = cut(graph, link);
            // Whoever is cut off from management is seen there too.
            gates.retain(|g| {
                g.name != left_out && (left_out != "connectivity" || g.name == "redundancy")
            });
            refused(&gates).is_none()
        };
        let mut runner = TestRunner::deterministic();
        let tree = || worlds().new_tree(&mut runner).expect("a world").current();
        let found = std::iter::repeat_with(tree)
            .take(5_000)
            .find_map(|w| play(&w, &without).err().filter(|e| e.contains(finds)));
        assert!(found.is_some(), "without {left_out} nothing was found");
    }
    let mut runner = TestRunner::deterministic();
    let tree = || worlds().new_tree(&mut runner).expect("a world").current();
    let cuts: u32 =
        std::iter::repeat_with(tree).take(2_000).map(|w| play(&w, &gate).unwrap_or(0)).sum();
    assert!(cuts > 100, "the gates let things through: {cuts}");
}
