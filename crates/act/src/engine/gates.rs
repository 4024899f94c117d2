//! What must hold before a change is allowed, each with its reason: the reach of a cut on the graph
//! of the network, how much is changed at once, when, and whether people have stopped it all.

use std::collections::BTreeSet;

use model::rows::{ActionState, Gate, GateVerdict};

use super::execution::{Execution, Progress};
use super::graph::Graph;
use super::network::Network;
use super::plan::{Plan, PlanStep};
use crate::config::{ActConfig, freeze, window};
use crate::playbook::Effect;

/// What gates look at.
pub struct Gates<'a> {
    pub config: &'a ActConfig,
    pub network: &'a Network,
    pub execution: &'a Execution,
    /// All that the domain's executions were and are, this one too.
    pub others: &'a [&'a Execution],
    /// Names of links and devices that open incidents say are broken: `edge1 Gi0/1`, `core1`.
    pub broken: &'a BTreeSet<String>,
    pub now_ms: i64,
    pub is_killed: bool,
}

const HOUR_MS: i64 = 3_600_000;
const MINUTES_OF_DAY: i64 = 1_440;

/// The gates of a cut of one link: it disconnects nobody, keeps redundancy where there was any, and
/// never takes the way to the network's management.
pub fn cut(graph: &Graph, link: usize) -> Vec<Gate> {
    let cut = &graph.links()[link];
    let (a, b) = cut.ends;
    let name = |node: usize| graph.name(node).to_owned();
    let still = graph.disjoint_ways(a, b, Some(link), 2);
    let before = match cut.is_faulty {
        // What is broken is no way that anybody may count on.
        true => still,
        false => graph.disjoint_ways(a, b, None, 2),
    };
    let connected = match still {
        0 => refuse("connectivity", format!("it would cut {} off from {}", name(a), name(b))),
        _ => pass("connectivity", format!("{} and {} stay joined without it", name(a), name(b))),
    };
    let redundancy = match (before, still) {
        (2, 1) => refuse(
            "redundancy",
            format!(
                "{} and {} have two ways that share no link, and would have one",
                name(a),
                name(b)
            ),
        ),
        (_, still) => pass("redundancy", format!("ways left that share no link: {still}")),
    };
    vec![connected, redundancy, management(graph, link)]
}

fn management(graph: &Graph, link: usize) -> Gate {
    let (a, b) = graph.links()[link].ends;
    if graph.management().is_empty() {
        let reason = "no node is named as the one that the network is managed from";
        return hold("management", reason.to_owned());
    }
    for node in graph.management() {
        if [a, b].contains(node) {
            let reason = format!("the link ends at {}, the way to management", graph.name(*node));
            return refuse("management", reason);
        }
        let (before, after) = (graph.reach(*node, None), graph.reach(*node, Some(link)));
        if let Some(lost) = before.difference(&after).next() {
            let reason = format!("{} would not be reached any more", graph.name(*lost));
            return refuse("management", reason);
        }
    }
    pass("management", "every device is still reached".to_owned())
}

// === impl Gates ===

impl Gates<'_> {
    /// Those that are asked when a plan is made and again before it begins.
    pub fn all(&self, plan: &Plan) -> Vec<Gate> {
        let mut gates = vec![self.kill_switch()];
        if !plan.changes() {
            return gates;
        }
        let changing = plan.steps.iter().filter(|step| step.effect.changes());
        for step in changing {
            gates.extend(self.step(step));
        }
        gates.push(self.devices(plan));
        gates.push(self.sites(plan));
        gates.push(self.rate());
        gates.push(self.repeats(plan));
        gates.push(self.calendar());
        gates.push(self.breaker());
        gates
    }

    fn kill_switch(&self) -> Gate {
        match self.is_killed {
            true => hold("kill-switch", "the kill switch is on: nothing begins".to_owned()),
            false => pass("kill-switch", "off".to_owned()),
        }
    }

    fn step(&self, step: &PlanStep) -> Vec<Gate> {
        match step.effect {
            Effect::Cuts => self.cut(step),
            Effect::Limits => vec![self.own_traffic(step)],
            Effect::Restores | Effect::Reads | Effect::Tells => {
                vec![pass("blast-radius", format!("{} takes nothing away", step.action))]
            }
        }
    }

    fn cut(&self, step: &PlanStep) -> Vec<Gate> {
        let domain = &self.execution.domain;
        let mut graph = self.network.graph(domain);
        self.mark_broken(&mut graph);
        let (Some(device), Some(interface)) = (&step.device, &step.entity) else {
            return vec![refuse("blast-radius", format!("{} names no link", step.name))];
        };
        let Some(link) = graph.link_at(device, interface) else {
            let reason = format!(
                "{device} {interface} is no link of the topology: what hangs on it is not known"
            );
            return vec![refuse("blast-radius", reason)];
        };
        self.mark_cut(&mut graph, link);
        cut(&graph, link)
    }

    /// Links that are broken do not count as ways; the one to be cut is at least faulty then.
    fn mark_broken(&self, graph: &mut Graph) {
        for link in 0..graph.links().len() {
            let one = &graph.links()[link];
            let (a, b) = (graph.name(one.ends.0).to_owned(), graph.name(one.ends.1).to_owned());
            let ends = [format!("{a} {}", one.interfaces.0), format!("{b} {}", one.interfaces.1)];
            let name = one.id.trim_start_matches("link/").to_owned();
            let is_broken = self.broken.contains(&name)
                || ends.iter().any(|end| self.broken.contains(end))
                || [a, b].iter().any(|node| self.broken.contains(node));
            if is_broken {
                let one = graph.link_mut(link);
                (one.is_faulty, one.is_up) = (true, false);
            }
        }
    }

    /// Links that other executions have cut, or are about to.
    fn mark_cut(&self, graph: &mut Graph, wanted: usize) {
        for other in self.others.iter().filter(|other| other.id != self.execution.id) {
            let Some(plan) = other.plan.as_ref() else {
                continue;
            };
            for (step, progress) in plan.steps.iter().zip(&other.steps) {
                let stands = match progress {
                    Progress::Waiting => !other.is_over && other.state == ActionState::Approved,
                    Progress::Back => false,
                    _ => true,
                };
                let (Some(device), Some(interface)) = (&step.device, &step.entity) else {
                    continue;
                };
                if let (true, Effect::Cuts) = (stands, step.effect)
                    && let Some(link) = graph.link_at(device, interface)
                    && link != wanted
                {
                    graph.link_mut(link).is_up = false;
                }
            }
        }
    }

    /// Traffic of the network itself is never held back.
    fn own_traffic(&self, step: &PlanStep) -> Gate {
        let domain = &self.execution.domain;
        let target = step.entity.as_deref().unwrap_or("");
        let words = target.split(|c: char| c.is_whitespace() || c == ',' || c == '/');
        for word in words.filter(|word| !word.is_empty()) {
            if self.network.is_own_address(domain, word) {
                return refuse(
                    "own-traffic",
                    format!("{word} is an address of the network itself"),
                );
            }
        }
        pass("own-traffic", format!("{} is no address of the network itself", shown(target)))
    }

    fn devices(&self, plan: &Plan) -> Gate {
        let gates = &self.config.gates;
        let since_ms = self.now_ms - i64::from(gates.devices_window_s) * 1_000;
        let recent = |other: &&&Execution| {
            other.id != self.execution.id && other.began_ms.is_some_and(|began| began >= since_ms)
        };
        let mut devices: BTreeSet<&str> = plan.devices();
        for other in self.others.iter().filter(recent) {
            devices.extend(other.plan.iter().flat_map(Plan::devices));
        }
        let (found, most) = (devices.len(), gates.devices_max);
        let window = gates.devices_window_s;
        match found > most as usize {
            true => hold(
                "devices",
                format!("{found} devices changed within {window} s, at most {most}"),
            ),
            false => pass("devices", format!("{found} of {most} devices within {window} s")),
        }
    }

    /// One at a time per site; a device without a site is one of its own.
    fn sites(&self, plan: &Plan) -> Gate {
        let domain = &self.execution.domain;
        let site = |device: &str| match self.network.site(domain, device) {
            Some(site) => format!("site {site}"),
            None => device.to_owned(),
        };
        let ours: BTreeSet<String> = plan.devices().into_iter().map(site).collect();
        let busy = self.others.iter().find(|other| {
            let theirs = other.plan.iter().flat_map(Plan::devices);
            other.id != self.execution.id
                && other.is_under_way()
                && theirs.map(site).any(|site| ours.contains(&site))
        });
        match busy {
            Some(other) => hold("site", format!("execution {} is under way there", other.id)),
            None => pass("site", "nothing else is under way there".to_owned()),
        }
    }

    fn rate(&self) -> Gate {
        let since_ms = self.now_ms - HOUR_MS;
        let began = self.others.iter().filter(|other| {
            other.id != self.execution.id && other.began_ms.is_some_and(|began| began >= since_ms)
        });
        let (found, most) = (began.count(), self.config.gates.executions_per_hour_max);
        match found >= most as usize {
            true => {
                hold("rate", format!("{found} executions began within an hour, at most {most}"))
            }
            false => pass("rate", format!("{found} of {most} within an hour")),
        }
    }

    /// The same on the same target again and again is a flapping of our own.
    fn repeats(&self, plan: &Plan) -> Gate {
        let since_ms = self.now_ms - HOUR_MS;
        let most = self.config.gates.repeats_per_hour_max;
        let same = |a: &PlanStep, b: &PlanStep| {
            (&a.action, &a.device, &a.entity) == (&b.action, &b.device, &b.entity)
        };
        for step in plan.steps.iter().filter(|step| step.effect.changes()) {
            let others = self.others.iter().filter(|other| {
                other.id != self.execution.id && other.began_ms.is_some_and(|b| b >= since_ms)
            });
            let steps = others.flat_map(|other| other.plan.iter().flat_map(|plan| &plan.steps));
            let found = steps.filter(|other| same(step, other)).count();
            if found >= most as usize {
                let (action, times) = (&step.action, format!("{found} times within an hour"));
                return refuse(
                    "repeats",
                    format!("{action} was done there {times}, at most {most}"),
                );
            }
        }
        pass("repeats", format!("fewer than {most} times within an hour"))
    }

    fn calendar(&self) -> Gate {
        let gates = &self.config.gates;
        let within = |(from, to): &(i64, i64)| (*from..*to).contains(&self.now_ms);
        if let Some((_, to)) = gates.freezes.iter().filter_map(|f| freeze(f)).find(within) {
            let to = model::time::rfc3339(to);
            return hold("calendar", format!("changes are frozen until {to}"));
        }
        let minute = self.now_ms.div_euclid(60_000).rem_euclid(MINUTES_OF_DAY) as u32;
        let is_in = |(from, to): (u32, u32)| match from <= to {
            true => (from..to).contains(&minute),
            false => minute >= from || minute < to,
        };
        let mut windows = gates.windows.iter().filter_map(|w| window(w));
        match gates.windows.is_empty() || windows.any(is_in) {
            true => pass("calendar", "changes may begin now".to_owned()),
            false => hold("calendar", format!("changes begin within {}", gates.windows.join(", "))),
        }
    }

    /// After several repairs that did not work, nothing is automatic any more.
    fn breaker(&self) -> Gate {
        let since_ms = self.now_ms - HOUR_MS;
        let failed = self.others.iter().filter(|other| {
            other.failed_verify && other.failed_ms.is_some_and(|failed| failed >= since_ms)
        });
        let (found, most) = (failed.count(), self.config.gates.breaker_after);
        match found >= most as usize {
            true => hold(
                BREAKER,
                format!("{found} repairs did not work within an hour: a person must approve"),
            ),
            false => {
                pass(BREAKER, format!("{found} of {most} repairs did not work within an hour"))
            }
        }
    }
}

/// A gate that a person's approval opens.
pub const BREAKER: &str = "breaker";
/// Gates that hold a plan back only from being automatic.
const FOR_PEOPLE: [&str; 2] = [BREAKER, "management"];

/// The first that refuses.
pub fn refused(gates: &[Gate]) -> Option<&Gate> {
    gates.iter().find(|gate| gate.verdict == GateVerdict::Refuse)
}

/// The first that holds a plan back though a person has approved it.
pub fn held(gates: &[Gate]) -> Option<&Gate> {
    gates.iter().find(|g| g.verdict == GateVerdict::Hold && !FOR_PEOPLE.contains(&g.name.as_str()))
}

/// The first that a person must open.
pub fn needs_person(gates: &[Gate]) -> Option<&Gate> {
    gates.iter().find(|g| g.verdict == GateVerdict::Hold && FOR_PEOPLE.contains(&g.name.as_str()))
}

fn gate(name: &str, verdict: GateVerdict, reason: String) -> Gate {
    Gate { name: name.to_owned(), verdict, reason }
}

fn pass(name: &str, reason: String) -> Gate {
    gate(name, GateVerdict::Pass, reason)
}

fn hold(name: &str, reason: String) -> Gate {
    gate(name, GateVerdict::Hold, reason)
}

fn refuse(name: &str, reason: String) -> Gate {
    gate(name, GateVerdict::Refuse, reason)
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}
