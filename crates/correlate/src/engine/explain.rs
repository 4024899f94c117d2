//! Which root explains which anomaly, and so which incident it belongs to. Only what hangs together
//! with what is new is weighed again: anomalies that could share a root, and opened lately.

use std::collections::{BTreeMap, BTreeSet};

use model::rows::{Anomaly, AnomalyKind, Grouping};
use runtime::task::Outputs;

use super::book::Book;
use super::case::{Case, Placed};
use super::cover::{self, Candidate};
use super::net::Place;
use super::roots::{Fault, Root, SLOW_MS, Spot};
use super::tale::{self, Grounds, Told};
use crate::config::Sign;
use crate::metrics;

/// What was said of an anomaly that is in no incident yet.
pub(super) struct Fresh {
    pub spot: Spot,
    pub rows: Vec<Anomaly>,
}

/// One anomaly that is to be explained.
struct Seen {
    id: String,
    spot: Spot,
    opened_ms: i64,
    cleared_ms: Option<i64>,
    home: Option<String>,
}

/// A root that is believed in, and what it explains (places in `seen`).
struct Found {
    told: Told,
    start_ms: i64,
    explains: Vec<usize>,
}

/// A root from a time on: the same link may fail twice.
struct Instance {
    root: Root,
    start_ms: i64,
    explains: Vec<(usize, f64)>,
}

/// Polls and messages overtake one another by so much.
const SLACK_MS: i64 = 30_000;
/// A root of a single anomaly that is less probable than this is a guess among several.
const NAMED_MIN: f64 = 0.3;

// === impl Fresh ===

impl Fresh {
    fn cleared_ms(&self) -> Option<i64> {
        let last = self.rows.last()?;
        (last.kind == AnomalyKind::Clear).then_some(last.time_ms)
    }
}

// === impl Book ===

impl Book {
    /// Explains what is new, and puts it where it belongs.
    pub fn explain(&mut self, now_ms: i64, out: &mut Outputs) {
        self.redraw();
        if self.fresh.is_empty() && self.dirty.is_empty() {
            return;
        }
        let mut fresh = std::mem::take(&mut self.fresh);
        let (seen, roots) = self.gather(&fresh, now_ms);
        self.dirty.clear();
        let found = self.infer(&seen, &roots, now_ms);
        self.assign(&seen, &found, &mut fresh, now_ms, out);
    }

    /// All that could share a root with what is new, and those roots.
    fn gather(&self, fresh: &BTreeMap<String, Fresh>, now_ms: i64) -> (Vec<Seen>, BTreeSet<Root>) {
        let since_ms = now_ms - self.config.explain_within_ms();
        let mut spots: BTreeMap<&Spot, Vec<(i64, &String)>> = BTreeMap::new();
        for (id, fresh) in fresh {
            spots.entry(&fresh.spot).or_default().push((fresh.rows[0].time_ms, id));
        }
        let mut queue: Vec<Spot> = spots.keys().map(|spot| (*spot).clone()).collect();
        queue.extend(self.dirty.iter().cloned());
        let mut known: BTreeSet<Spot> = queue.iter().cloned().collect();
        let mut roots = BTreeSet::new();
        let is_there = |spot: &Spot| {
            spots.contains_key(spot)
                || self.spots.get(spot).is_some_and(|all| all.iter().any(|o| o.0 >= since_ms))
        };
        while let Some(spot) = queue.pop() {
            for root in self.causes(&spot, fresh) {
                if roots.contains(&root) {
                    continue;
                }
                for symptom in self.roots.symptoms(&root).iter() {
                    if !known.contains(&symptom.spot) && is_there(&symptom.spot) {
                        known.insert(symptom.spot.clone());
                        queue.push(symptom.spot.clone());
                    }
                }
                roots.insert(root);
            }
        }
        let mut seen = Vec::new();
        for spot in known {
            for (opened_ms, id) in spots.get(&spot).into_iter().flatten() {
                let (id, opened_ms) = ((*id).clone(), *opened_ms);
                let cleared_ms = fresh.get(&id).and_then(Fresh::cleared_ms);
                seen.push(Seen { id, spot: spot.clone(), opened_ms, cleared_ms, home: None });
            }
            for (opened_ms, id) in self.spots.get(&spot).into_iter().flatten() {
                if *opened_ms >= since_ms {
                    let home = self.anomalies.get(id).cloned();
                    let cleared_ms = home.as_ref().and_then(|home| self.cleared_ms(home, id));
                    let (id, opened_ms) = (id.clone(), *opened_ms);
                    seen.push(Seen { id, spot: spot.clone(), opened_ms, cleared_ms, home });
                }
            }
        }
        seen.sort_by(|a, b| (a.opened_ms, &a.id).cmp(&(b.opened_ms, &b.id)));
        (seen, roots)
    }

    /// When an anomaly of an incident was over.
    fn cleared_ms(&self, home: &str, id: &str) -> Option<i64> {
        let members = &self.cases.get(home)?.incident.members;
        members.iter().find(|member| member.id == id)?.cleared_ms
    }

    fn causes(&self, spot: &Spot, fresh: &BTreeMap<String, Fresh>) -> Vec<Root> {
        let mut roots = self.roots.causes(spot);
        if spot.0 == Sign::Flood {
            return roots;
        }
        let new = fresh.values().map(|fresh| &fresh.spot);
        let first = (Sign::Flood, Place::Host(String::new()));
        let after = self.spots.range(first..).map(|(spot, _)| spot);
        let floods = after.take_while(|spot| spot.0 == Sign::Flood);
        let floods: BTreeSet<&Spot> =
            floods.chain(new.filter(|spot| spot.0 == Sign::Flood)).collect();
        for flood in floods {
            let root = Root { fault: Fault::Flood, place: flood.1.clone() };
            if self.roots.shows(&root, spot) > 0.0 {
                roots.push(root);
            }
        }
        roots
    }

    fn infer(&self, seen: &[Seen], roots: &BTreeSet<Root>, now_ms: i64) -> Vec<Found> {
        let mut at: BTreeMap<&Spot, Vec<usize>> = BTreeMap::new();
        for (nth, one) in seen.iter().enumerate() {
            at.entry(&one.spot).or_default().push(nth);
        }
        let mut instances = Vec::new();
        let mut candidates = Vec::new();
        for root in roots {
            for instance in self.instances(root, seen, &at) {
                candidates.push(Candidate {
                    cost_ln: self.cost_ln(&instance, seen, now_ms),
                    explains: instance.explains.clone(),
                });
                instances.push(instance);
            }
        }
        let leak = self.config.leak;
        let chosen = cover::solve(seen.len(), &candidates, leak);
        // Each of the seen to the one that makes it likeliest.
        let mut best: Vec<Option<(f64, usize)>> = vec![None; seen.len()];
        for nth in &chosen {
            for (one, p) in &instances[*nth].explains {
                if best[*one].is_none_or(|(other, _)| *p > other) {
                    best[*one] = Some((*p, *nth));
                }
            }
        }
        let mut found = Vec::new();
        for nth in &chosen {
            let mine = |one: &usize| best[*one].is_some_and(|(_, of)| of == *nth);
            let explains: Vec<usize> = (0..seen.len()).filter(mine).collect();
            if explains.is_empty() {
                continue;
            }
            let rivals = cover::rivals(seen.len(), &candidates, &chosen, *nth, leak);
            let root = &instances[*nth].root;
            let own = rivals.iter().find(|r| instances[r.0].root == *root).map_or(0.0, |r| r.1);
            if explains.len() == 1 && own < NAMED_MIN {
                continue;
            }
            let is_own = |r: &&(usize, f64)| instances[r.0].root == *root;
            let probability = own;
            let second = rivals.iter().find(|r| !is_own(r));
            let second = second.map(|(other, p)| (&instances[*other].root, *p));
            let spots: Vec<Spot> =
                instances[*nth].explains.iter().map(|(one, _)| seen[*one].spot.clone()).collect();
            let told =
                tale::tell(&self.roots, &Grounds { root, probability, second, seen: &spots });
            found.push(Found { told, start_ms: instances[*nth].start_ms, explains });
        }
        found.sort_by(|a, b| (a.start_ms, a.told.key()).cmp(&(b.start_ms, b.told.key())));
        found
    }

    /// A root's symptoms come within bounded times of its first: what comes later is another time.
    fn instances(
        &self,
        root: &Root,
        seen: &[Seen],
        at: &BTreeMap<&Spot, Vec<usize>>,
    ) -> Vec<Instance> {
        let mut mine: Vec<(usize, f64, i64)> = Vec::new();
        for symptom in self.roots.symptoms(root).iter() {
            for one in at.get(&symptom.spot).into_iter().flatten() {
                mine.push((*one, symptom.p, symptom.within_ms));
            }
        }
        mine.sort_by_key(|(one, ..)| *one);
        let mut instances: Vec<Instance> = Vec::new();
        while let Some(start_ms) = mine.first().map(|(one, ..)| seen[*one].opened_ms) {
            let is_in = |(one, _, within_ms): &(usize, f64, i64)| {
                let after_ms = seen[*one].opened_ms - start_ms;
                after_ms <= SLOW_MS.min(*within_ms) + SLACK_MS
            };
            let (now, later) = mine.into_iter().partition(is_in);
            mine = later;
            let explains = now.iter().map(|(one, p, _)| (*one, *p)).collect();
            instances.push(Instance { root: root.clone(), start_ms, explains });
        }
        instances
    }

    /// The prior, and what should have been seen by now, or by the time at which all that it
    /// explains was over: what was repaired shows nothing more. What has been there for longer
    /// cannot appear again.
    fn cost_ln(&self, instance: &Instance, seen: &[Seen], now_ms: i64) -> f64 {
        let there: BTreeSet<&Spot> =
            instance.explains.iter().map(|(one, _)| &seen[*one].spot).collect();
        let missing = |spot: &Spot| !there.contains(spot) && !self.spots.contains_key(spot);
        let mut cost = instance.root.fault.prior().ln();
        // What takes long to be noticed says that the rest is overdue.
        let began = |one: &usize| seen[*one].opened_ms - seen[*one].spot.0.takes_ms();
        let began_ms = instance.explains.iter().map(|(one, _)| began(one)).min();
        let began_ms = began_ms.unwrap_or(instance.start_ms);
        let over = instance.explains.iter().map(|(one, _)| seen[*one].cleared_ms);
        let over_ms = over.collect::<Option<Vec<i64>>>().and_then(|all| all.into_iter().max());
        let until_ms = over_ms.map_or(now_ms, |over_ms| over_ms.min(now_ms));
        for symptom in self.roots.symptoms(&instance.root).iter() {
            if until_ms - began_ms >= symptom.within_ms && missing(&symptom.spot) {
                cost += (-symptom.p).ln_1p();
            }
        }
        cost
    }

    fn assign(
        &mut self,
        seen: &[Seen],
        found: &[Found],
        fresh: &mut BTreeMap<String, Fresh>,
        now_ms: i64,
        out: &mut Outputs,
    ) {
        let keys: BTreeSet<_> = found.iter().map(|found| found.told.key()).collect();
        let in_play: BTreeSet<&String> = seen.iter().map(|one| &one.id).collect();
        let mut left: BTreeSet<usize> = (0..seen.len()).collect();
        let mut kept = BTreeSet::new();
        for found in found {
            let keeper = self.keeper(found, seen, &keys, &kept);
            let keeper = match keeper {
                Some(id) => id,
                None => {
                    let stays = |nth: &usize| {
                        let one = &seen[*nth];
                        !fresh.contains_key(&one.id) && self.stays(one, "", &keys, &in_play)
                    };
                    // An incident of its own would have no member.
                    if found.explains.iter().all(stays) {
                        left.retain(|nth| !found.explains.contains(nth));
                        continue;
                    }
                    self.begin(&seen[found.explains[0]], fresh, now_ms, out)
                }
            };
            kept.insert(keeper.clone());
            self.join_same(&keeper, &found.told, now_ms, out);
            for nth in &found.explains {
                left.remove(nth);
                let one = &seen[*nth];
                if let Some(fresh) = fresh.remove(&one.id) {
                    self.put_fresh(&keeper, fresh, true, out);
                } else if one.home.as_ref() == Some(&keeper) {
                    self.mark(&keeper, &one.id, true);
                } else if !self.stays(one, &keeper, &keys, &in_play) {
                    self.carry(&one.id, &keeper, true, now_ms, out);
                }
            }
            self.set_told(&keeper, Some(found.told.clone()));
        }
        for nth in left {
            self.abstain(&seen[nth], fresh, out);
        }
        let homes: BTreeSet<String> =
            seen.iter().filter_map(|one| self.anomalies.get(&one.id).cloned()).collect();
        for id in homes.difference(&kept) {
            let Some(case) = self.cases.get(id) else { continue };
            let is_whole = case.placed.keys().all(|id| in_play.contains(id));
            if is_whole && case.told.is_some() {
                self.set_told(id, None);
            }
        }
    }

    /// The oldest incident that this root may have: one that has it, or one of its symptoms'.
    fn keeper(
        &self,
        found: &Found,
        seen: &[Seen],
        keys: &BTreeSet<(String, String, String)>,
        kept: &BTreeSet<String>,
    ) -> Option<String> {
        let key = found.told.key();
        let same = self.by_root.get(&key).into_iter().flatten().cloned();
        let may = |case: &&Case| {
            let other = case.told.as_ref().map(Told::key).filter(|other| *other != key);
            let id = &case.incident.id;
            !kept.contains(id) && other.is_none_or(|other| !keys.contains(&other))
        };
        let holders = found.explains.iter().filter_map(|nth| seen[*nth].home.as_ref());
        let holders = holders.filter_map(|id| self.cases.get(id)).filter(may);
        // One with members that are not weighed now keeps its root.
        let lately = |case: &&Case| {
            case.told.is_none() || {
                let ids: BTreeSet<&String> = seen.iter().map(|one| &one.id).collect();
                case.placed.keys().all(|id| ids.contains(id))
            }
        };
        let holders = holders.filter(lately);
        let holders = holders.map(|case| (case.incident.opened_ms, case.incident.id.clone()));
        holders.chain(same).min().map(|(_, id)| id)
    }

    /// Whether it may stay in its incident: that one's root explains it as well.
    fn stays(
        &self,
        one: &Seen,
        keeper: &str,
        keys: &BTreeSet<(String, String, String)>,
        in_play: &BTreeSet<&String>,
    ) -> bool {
        let Some(id) = self.anomalies.get(&one.id) else { return true };
        let Some(case) = self.cases.get(id).filter(|_| id != keeper) else { return true };
        let Some(told) = &case.told else { return false };
        let is_kept =
            keys.contains(&told.key()) || !case.placed.keys().all(|id| in_play.contains(id));
        let causes = self.causes(&one.spot, &BTreeMap::new());
        is_kept && causes.iter().any(|root| tale::key(&self.roots, root) == told.key())
    }

    fn begin(
        &mut self,
        one: &Seen,
        fresh: &BTreeMap<String, Fresh>,
        now_ms: i64,
        out: &mut Outputs,
    ) -> String {
        let first = fresh.get(&one.id).map(|fresh| fresh.rows[0].clone());
        let first = first.unwrap_or_else(|| {
            let entity = Some(self.roots.net.entity(&one.spot.1));
            super::case::stand_in(&self.state.domain, &one.id, entity, now_ms)
        });
        let entity = self.named(&first, out);
        match self.about_entity(&entity).filter(|_| Some(&entity) != first.entity.as_ref()) {
            Some(id) => id,
            None => self.open(Grouping::Entity, Some(entity), &first),
        }
    }

    /// Nothing explains it: by what it names, as without a map.
    fn abstain(&mut self, one: &Seen, fresh: &mut BTreeMap<String, Fresh>, out: &mut Outputs) {
        let Some(fresh) = fresh.remove(&one.id) else {
            return;
        };
        let entity = self.named(&fresh.rows[0], out);
        let id = match self.about_entity(&entity) {
            Some(id) => id,
            None => self.open(Grouping::Entity, Some(entity), &fresh.rows[0]),
        };
        self.put_fresh(&id, fresh, false, out);
    }

    fn mark(&mut self, id: &str, anomaly: &str, is_explained: bool) {
        let was = self.cases.get(id).and_then(|case| case.placed.get(anomaly));
        if was.is_some_and(|placed| placed.is_explained != is_explained) {
            self.change(id, |case| case.explained(anomaly, is_explained));
        }
    }

    pub(super) fn put_fresh(
        &mut self,
        id: &str,
        fresh: Fresh,
        is_explained: bool,
        out: &mut Outputs,
    ) {
        for row in &fresh.rows {
            let placed = Placed::new(row, fresh.spot.0, is_explained);
            self.put_placed(id, row, placed, out);
        }
    }

    /// Other incidents with the same root become part of this one.
    fn join_same(&mut self, keeper: &str, told: &Told, now_ms: i64, out: &mut Outputs) {
        let same = self.by_root.get(&told.key()).cloned().unwrap_or_default();
        for (_, id) in same.into_iter().filter(|(_, id)| id != keeper) {
            let ids: Vec<String> = self.cases[&id].placed.keys().cloned().collect();
            for anomaly in ids {
                self.carry(&anomaly, keeper, true, now_ms, out);
            }
        }
    }

    /// Moves an anomaly. An incident that has none left has become part of the other.
    pub(super) fn carry(
        &mut self,
        anomaly: &str,
        to: &str,
        is_explained: bool,
        now_ms: i64,
        out: &mut Outputs,
    ) {
        let Some(from) = self.anomalies.get(anomaly).cloned().filter(|from| from != to) else {
            return;
        };
        let mut moved = None;
        self.change(&from, |case| moved = case.take_out(anomaly, now_ms));
        let Some(moved) = moved else { return };
        let config = std::sync::Arc::clone(&self.config);
        self.change(to, |case| case.put_in(moved, is_explained, now_ms, &config));
        if self.cases.get(&from).is_some_and(Case::has_nothing) {
            let (mut changes, mut feedback) = (Vec::new(), Vec::new());
            self.change(&from, |case| {
                changes = std::mem::take(&mut case.incident.changes);
                feedback = std::mem::take(&mut case.feedback);
                case.merge_into(to, now_ms);
            });
            self.change(to, |case| {
                case.incident.changes.extend(changes);
                case.feedback.extend(feedback);
            });
            out.count(metrics::MERGED, &[], 1);
        }
    }

    fn set_told(&mut self, id: &str, told: Option<Told>) {
        let differs = |case: &Case| match (&case.told, &told) {
            (None, None) => false,
            (Some(was), Some(now)) => was.differs(now),
            _ => true,
        };
        if self.cases.get(id).is_some_and(differs) {
            self.change(id, |case| case.tell(told));
        }
    }
}
