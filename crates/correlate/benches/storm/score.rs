//! How well a grouping parts the faults: adjusted Rand index, pairs, compression beside the true
//! one, and roots named.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::rows::{Anomaly, Incident};

use crate::scenario::Scenario;

/// The group of each anomaly, and the roots that were named.
pub struct Grouped {
    groups: Vec<usize>,
    roots: BTreeSet<String>,
}

/// Sums over scenarios.
#[derive(Default)]
pub struct Sum {
    ari: Vec<f64>,
    together: f64,
    together_true: f64,
    together_both: f64,
    groups: usize,
    faults: usize,
    anomalies: usize,
    named: usize,
    right: usize,
    roots: usize,
}

impl Grouped {
    pub fn by(scenario: &Scenario, key: impl Fn(&Anomaly) -> String) -> Grouped {
        let mut known = BTreeMap::new();
        let groups = scenario.anomalies.iter().map(|anomaly| {
            let next = known.len();
            *known.entry(key(anomaly)).or_insert(next)
        });
        Grouped { groups: groups.collect(), roots: BTreeSet::new() }
    }

    pub fn of(incidents: &[Incident], anomalies: &[Anomaly]) -> Grouped {
        let mut at = BTreeMap::new();
        let mut roots = BTreeSet::new();
        for (nth, incident) in incidents.iter().enumerate() {
            at.extend(incident.members.iter().map(|member| (member.id.clone(), nth)));
            if let (Some(cause), Some(entity)) = (&incident.cause, &incident.entity) {
                roots.insert(format!("{} {} {}", cause.fault, entity.kind, entity.name));
            }
        }
        let lone = |nth: usize| incidents.len() + nth;
        let groups = anomalies
            .iter()
            .enumerate()
            .map(|(nth, a)| at.get(&a.id).copied().unwrap_or(lone(nth)));
        Grouped { groups: groups.collect(), roots }
    }
}

impl Sum {
    pub fn add(&mut self, scenario: &Scenario, found: &Grouped) {
        let pairs = |n: usize| (n * n.saturating_sub(1)) as f64 / 2.0;
        let sizes = |of: &[usize]| {
            let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
            of.iter().for_each(|group| *sizes.entry(*group).or_default() += 1);
            sizes
        };
        let (ours, truth) = (sizes(&found.groups), sizes(&scenario.truth));
        let mut both: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for pair in found.groups.iter().zip(&scenario.truth) {
            *both.entry((*pair.0, *pair.1)).or_default() += 1;
        }
        let a: f64 = ours.values().map(|n| pairs(*n)).sum();
        let b: f64 = truth.values().map(|n| pairs(*n)).sum();
        let ab: f64 = both.values().map(|n| pairs(*n)).sum();
        let all = pairs(scenario.truth.len()).max(1.0);
        let (chance, most) = (a * b / all, (a + b) / 2.0);
        self.ari.push(if most == chance { 1.0 } else { (ab - chance) / (most - chance) });
        self.together += a;
        self.together_true += b;
        self.together_both += ab;
        self.groups += ours.len();
        self.faults += truth.len();
        self.anomalies += scenario.truth.len();
        self.named += found.roots.len();
        self.roots += scenario.roots.len();
        self.right += found.roots.intersection(&scenario.roots).count();
    }

    pub fn anomalies(&self) -> usize {
        self.anomalies
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ari = self.ari.clone();
        ari.sort_by(f64::total_cmp);
        let mean = ari.iter().sum::<f64>() / ari.len().max(1) as f64;
        let worst = &ari[..ari.len().div_ceil(10)];
        let worst = worst.iter().sum::<f64>() / worst.len().max(1) as f64;
        let part = |n: usize, of: usize| n as f64 / of.max(1) as f64;
        write!(
            f,
            "ARI {mean:.3} (worst tenth {worst:.3}), pairs P {:.3} R {:.3}, compression {:.3} of \
             {:.3}, roots P {:.2} R {:.2}",
            self.together_both / self.together.max(1.0),
            self.together_both / self.together_true.max(1.0),
            1.0 - part(self.groups, self.anomalies),
            1.0 - part(self.faults, self.anomalies),
            part(self.right, self.named),
            part(self.right, self.roots),
        )
    }
}
