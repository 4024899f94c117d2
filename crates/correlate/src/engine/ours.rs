//! What we did ourselves, and what people say: both belong to an incident that is there. An anomaly
//! at what we changed is no news, it joins the incident of the change.

use model::rows::{Anomaly, Change, ChangeState, Feedback};
use runtime::task::Outputs;
use serde::{Deserialize, Serialize};

use super::book::Book;
use super::case::Placed;
use super::net::Place;
use super::roots::Spot;
use crate::config::{CorrelateConfig, Sign};
use crate::metrics;

/// One change, from its beginning on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Own {
    change: Change,
    began_ms: i64,
    last_ms: i64,
}

/// What a device says may be stamped a little before what we say of it.
const BEFORE_MS: i64 = 2_000;
/// Words of people that an incident keeps.
const FEEDBACK_MAX: usize = 20;
/// Lines on changes that an incident lists.
const CHANGES_MAX: usize = 50;

// === impl Own ===

impl Own {
    pub fn forget_ms(&self, config: &CorrelateConfig) -> i64 {
        self.last_ms + config.change_settles_ms() + config.explain_within_ms()
    }

    fn is_silent(&self, config: &CorrelateConfig) -> bool {
        self.change.state == ChangeState::Ended && config.shut_actions.contains(&self.change.action)
    }
}

// === impl Book ===

impl Book {
    pub fn changed_by_us(&mut self, change: Change, out: &mut Outputs) {
        out.count(metrics::OWN_CHANGES, &[], 1);
        self.redraw();
        let same = |own: &Own| {
            (&own.change.execution, own.change.step) == (&change.execution, change.step)
        };
        let at = self.state.ours.iter().position(same);
        let began_ms = at.map_or(change.time_ms, |at| self.state.ours.remove(at).began_ms);
        let own = Own { began_ms, last_ms: change.time_ms, change: change.clone() };
        if self.state.ours.len() >= self.config.changes_max as usize {
            out.count(metrics::REFUSED, &[(metrics::LABEL_LIMIT, "changes")], 1);
            self.state.ours.remove(0);
        }
        // In the order in which they are forgotten.
        self.state.ours.push(own.clone());
        self.state.ours.sort_by_key(|own| own.last_ms);
        let Some(id) = self.follow(&change.incident) else {
            out.count(metrics::UNKNOWN, &[], 1);
            return;
        };
        self.change(&id, |case| {
            let changes = &mut case.incident.changes;
            if changes.len() >= CHANGES_MAX {
                changes.remove(0);
            }
            let (execution, step) = (&change.execution, change.step);
            changes.push(format!("{execution} step {step} {}", change.state.as_str()));
            case.is_changed = true;
        });
        self.gather_ours(&own, &id, out);
        self.silence(&own, &id);
    }

    /// The incident of the change that explains an anomaly, and whether it was silenced by it.
    pub(super) fn of_ours(&self, anomaly: &Anomaly, spot: &Spot) -> Option<(String, bool)> {
        let settles_ms = self.config.change_settles_ms();
        let fits = |own: &&Own| {
            let is_over = own.change.state != ChangeState::Began;
            let until_ms = if is_over { own.last_ms + settles_ms } else { i64::MAX };
            (own.began_ms - BEFORE_MS..=until_ms).contains(&anomaly.time_ms)
                && self.touches(&own.change, spot)
        };
        let own = self.state.ours.iter().rev().find(fits)?;
        let is_silenced = own.is_silent(&self.config) && is_of_port(spot.0);
        Some((self.follow(&own.change.incident)?, is_silenced))
    }

    /// What opened before we were told of the change.
    fn gather_ours(&mut self, own: &Own, id: &str, out: &mut Outputs) {
        let mut hit = Vec::new();
        for (spot, all) in &self.spots {
            if self.touches(&own.change, spot) {
                let since = all.range((own.began_ms - BEFORE_MS, String::new())..);
                // What was known before is why we changed something.
                let is_why = |(opened_ms, anomaly): &&(i64, String)| {
                    *opened_ms < own.began_ms
                        && self.anomalies.get(anomaly).is_some_and(|home| home == id)
                };
                let new = since.filter(|one| !is_why(one));
                hit.extend(new.map(|(_, anomaly)| anomaly.clone()));
            }
        }
        for anomaly in hit {
            self.carry(&anomaly, id, true, own.last_ms, out);
            self.change(id, |case| {
                if let Some(placed) = case.placed.get_mut(&anomaly) {
                    placed.is_ours = true;
                }
            });
        }
    }

    /// A port that we shut says nothing any more, and one that we gave back may speak again.
    fn silence(&mut self, own: &Own, id: &str) {
        if !self.config.shut_actions.contains(&own.change.action) {
            return;
        }
        let is_silent = match own.change.state {
            ChangeState::Ended => true,
            ChangeState::RolledBack => false,
            ChangeState::Began | ChangeState::Failed => return,
        };
        let Some(case) = self.cases.get(id) else { return };
        let touched = |placed: &Placed| {
            let place = self.roots.net.place(&placed.entity);
            let spot = place.map(|place| (placed.sign, place));
            spot.is_some_and(|s| is_of_port(s.0) && self.touches(&own.change, &s))
        };
        let hit: Vec<Placed> =
            case.placed.values().filter(|placed| touched(placed)).cloned().collect();
        self.change(id, |case| {
            case.silence(own.last_ms, |placed| hit.contains(placed).then_some(is_silent));
        });
    }

    /// Whether a change can show so: at the port that it changed and the other end of the link, or
    /// in the traffic of the device.
    fn touches(&self, change: &Change, spot: &Spot) -> bool {
        let net = &self.roots.net;
        let port = change.entity.as_ref().and_then(|entity| net.port(&change.device, entity));
        match port {
            Some(Place::Port(port)) => {
                let ends = [Some(port), net.peer(port)];
                match &spot.1 {
                    Place::Port(at) => is_of_port(spot.0) && ends.contains(&Some(*at)),
                    Place::Node(node) => {
                        let mut at = ends.iter().flatten().map(|p| net.ports[*p as usize].node);
                        spot.0 == Sign::BgpDown && at.any(|at| at == *node)
                    }
                    _ => false,
                }
            }
            Some(place) if matches!(&spot.1, Place::Loose(..)) => {
                is_of_port(spot.0) && place == spot.1
            }
            _ => {
                let is_there = net
                    .node_of(&spot.1)
                    .is_some_and(|node| net.nodes[node as usize].name == change.device);
                is_there && spot.0 == Sign::ExporterTraffic
            }
        }
    }

    pub fn hear(&mut self, feedback: Feedback, out: &mut Outputs) {
        let verdict = feedback.verdict.as_str();
        out.count(metrics::FEEDBACK, &[(metrics::LABEL_VERDICT, verdict)], 1);
        let Some(case) = self.follow(&feedback.incident).and_then(|id| self.cases.get_mut(&id))
        else {
            out.count(metrics::UNKNOWN, &[], 1);
            return;
        };
        if case.feedback.len() >= FEEDBACK_MAX {
            out.count(metrics::REFUSED, &[(metrics::LABEL_LIMIT, "feedback")], 1);
            case.feedback.remove(0);
        }
        case.feedback.push(feedback);
    }
}

/// What an interface says of its own state.
fn is_of_port(sign: Sign) -> bool {
    matches!(sign, Sign::LinkDown | Sign::AdminDown | Sign::Flapping | Sign::Errors)
}
