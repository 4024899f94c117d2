//! A root in words: what is the matter, how it spread, why this and not the second.

use std::collections::BTreeSet;

use model::rows::{Cause, Entity, RunnerUp};

use super::net::Place;
use super::roots::{Fault, Root, Roots, Spot};
use crate::config::Sign;

/// What speaks for a root.
pub(super) struct Grounds<'a> {
    pub root: &'a Root,
    pub probability: f64,
    pub second: Option<(&'a Root, f64)>,
    /// What was seen of it, in the order of time.
    pub seen: &'a [Spot],
}

/// A root as its incident keeps it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Told {
    pub entity: Entity,
    pub cause: Cause,
    /// The beginning of the headline.
    pub lead: String,
}

/// Symptoms at least as probable as this are those that one looks for.
const LOOKED_FOR: f64 = 0.5;
/// What an element must be likely to show to count as affected.
const AFFECTED: f64 = 0.3;
/// A probability that has changed by less is no news.
const TOLD_AGAIN: f64 = 0.05;
const PATH_MAX: usize = 12;
const AFFECTED_MAX: usize = 50;

/// A root by its names, which stay when the map is drawn anew: fault, kind and name.
pub(super) fn key(roots: &Roots, root: &Root) -> (String, String, String) {
    let entity = roots.entity(root);
    (root.fault.as_str().to_owned(), entity.kind, entity.name)
}

// === impl Told ===

impl Told {
    pub fn key(&self) -> (String, String, String) {
        (self.cause.fault.clone(), self.entity.kind.clone(), self.entity.name.clone())
    }

    /// Whether a person would want to know.
    pub fn differs(&self, now: &Told) -> bool {
        let (was, is) = (&self.cause, &now.cause);
        self.key() != now.key()
            || was.why != is.why
            || (was.probability - is.probability).abs() > TOLD_AGAIN
    }
}

pub(super) fn tell(roots: &Roots, grounds: &Grounds<'_>) -> Told {
    let root = grounds.root;
    let entity = roots.entity(root);
    let symptoms = roots.symptoms(root);
    let looked_for: Vec<&Spot> =
        symptoms.iter().filter(|s| s.p >= LOOKED_FOR).map(|s| &s.spot).collect();
    let found = looked_for.iter().filter(|spot| grounds.seen.contains(spot)).count();
    let lead = sentence(root.fault, &entity);
    let second = grounds.second.map(|(second, probability)| RunnerUp {
        entity: roots.entity(second),
        fault: second.fault.as_str().to_owned(),
        probability,
    });
    let cause = Cause {
        fault: root.fault.as_str().to_owned(),
        probability: grounds.probability,
        why: why(roots, grounds, found, looked_for.len(), second.as_ref()),
        runner_up: second,
        path: path(roots, &entity, grounds.seen),
        affected: affected(roots, root),
        unexplained: Vec::new(),
    };
    Told { entity, cause, lead }
}

fn sentence(fault: Fault, entity: &Entity) -> String {
    let name = &entity.name;
    match fault {
        Fault::LinkDown if entity.kind == "link" => {
            format!("Link {} is down", name.replace("--", " to "))
        }
        Fault::LinkDown => format!("{name} is down"),
        Fault::AdminDown => format!("{name} was shut down (admin-down)"),
        Fault::NodeDown => format!("Device {name} is down"),
        Fault::Flapping if entity.kind == "link" => {
            format!("Link {} comes and goes", name.replace("--", " to "))
        }
        Fault::Flapping => format!("{name} comes and goes"),
        Fault::Saturated => format!("{name} is full"),
        Fault::Cpu => format!("CPU of {name} is busy"),
        Fault::Flood => format!("Flood on {name}"),
        Fault::ExporterSilent => format!("Exporter {name} is silent"),
        Fault::GroupDown => format!("All of {name} is down (shared risk)"),
    }
}

fn why(
    roots: &Roots,
    grounds: &Grounds<'_>,
    found: usize,
    of: usize,
    second: Option<&RunnerUp>,
) -> String {
    let mut text = format!("{found} of the {of} symptoms that one looks for were seen");
    let symptoms = roots.symptoms(grounds.root);
    let missing = symptoms.iter().find(|s| s.p >= LOOKED_FOR && !grounds.seen.contains(&s.spot));
    if let Some(missing) = missing {
        text.push_str(&format!(" (not {})", shown(roots, &missing.spot)));
    }
    let (Some((second_root, _)), Some(second)) = (grounds.second, second) else {
        text.push_str("; nothing else explains them as well");
        return text;
    };
    let name = format!("{} of {} {}", second.fault, second.entity.kind, second.entity.name);
    let theirs = roots.symptoms(second_root);
    let unexplained =
        grounds.seen.iter().find(|spot| !theirs.iter().any(|symptom| symptom.spot == **spot));
    let lacks = theirs.iter().find(|s| s.p >= LOOKED_FOR && !grounds.seen.contains(&s.spot));
    text.push_str(&match (unexplained, lacks) {
        (Some(spot), _) => format!("; {name} would not explain {}", shown(roots, spot)),
        (None, Some(lacks)) => {
            format!("; {name} would also show {}", shown(roots, &lacks.spot))
        }
        (None, None) => format!("; {name} explains the same, and is rarer"),
    });
    text
}

/// `link-down at edge1 Gi0/1`.
fn shown(roots: &Roots, spot: &Spot) -> String {
    format!("{} at {}", spot.0.as_str(), roots.net.entity(&spot.1).name)
}

fn path(roots: &Roots, root: &Entity, seen: &[Spot]) -> Vec<String> {
    let mut path = vec![words(root)];
    // Interfaces first, then the devices behind: what is seen far away comes from what is near.
    let far = |spot: &&Spot| u8::from(matches!(spot.0, Sign::Unreachable | Sign::ExporterSilent));
    let mut seen: Vec<&Spot> = seen.iter().collect();
    seen.sort_by_key(far);
    for spot in seen {
        let word = words(&roots.net.entity(&spot.1));
        if path.len() < PATH_MAX && !path.contains(&word) {
            path.push(word);
        }
    }
    path
}

fn affected(roots: &Roots, root: &Root) -> Vec<String> {
    let symptoms = roots.symptoms(root);
    let likely = symptoms.iter().filter(|s| s.p >= AFFECTED);
    let mut all: Vec<String> = likely.map(|s| words(&roots.net.entity(&s.spot.1))).collect();
    let gone = |spot: &Spot| match spot {
        (Sign::Unreachable, Place::Node(node)) => Some(*node),
        _ => None,
    };
    let nodes: BTreeSet<u32> =
        symptoms.iter().filter(|s| s.p >= LOOKED_FOR).filter_map(|s| gone(&s.spot)).collect();
    all.extend(roots.net.behind_nodes(&nodes).iter().map(words));
    let mut known = BTreeSet::new();
    all.retain(|word| known.insert(word.clone()));
    all.truncate(AFFECTED_MAX);
    all
}

fn words(entity: &Entity) -> String {
    format!("{} {}", entity.kind, entity.name)
}
