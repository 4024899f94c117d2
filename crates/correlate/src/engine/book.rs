//! The incidents of one domain: which anomaly belongs to which, and what falls due when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::rows::{Anomaly, AnomalyKind, Element, Entity, Grouping, Incident};
use runtime::task::Outputs;
use serde::{Deserialize, Serialize};

use super::case::{Case, Due, Joined, Placed};
use super::cluster;
use super::explain::Fresh;
use super::net::Net;
use super::ours::Own;
use super::roots::{Roots, Spot};
use super::tale::Told;
use crate::config::CorrelateConfig;
use crate::metrics;

pub(super) struct Book {
    pub(super) config: Arc<CorrelateConfig>,
    pub(super) state: State,
    pub(super) cases: BTreeMap<String, Case>,
    /// The topology, by id.
    pub(super) elements: Elements,
    // The rest follows from the above.
    /// Who or what an incident is about → its time and id; the last is the present one.
    subjects: BTreeMap<Subject, BTreeSet<(i64, String)>>,
    /// Listed anomaly → incident.
    pub(super) anomalies: BTreeMap<String, String>,
    timers: BTreeSet<(i64, String)>,
    changed: BTreeSet<String>,
    pub(super) roots: Roots,
    /// The elements have changed since `roots` was made.
    is_redrawn: bool,
    /// Anomalies on the map, by when they opened; those of our own making aside.
    pub(super) spots: BTreeMap<Spot, BTreeSet<(i64, String)>>,
    /// Fault, kind and name of a root → its incidents.
    pub(super) by_root: BTreeMap<(String, String, String), BTreeSet<(i64, String)>>,
    reviews: BTreeSet<(i64, String)>,
    // Empty between two instants.
    pub(super) fresh: BTreeMap<String, Fresh>,
    pub(super) dirty: BTreeSet<Spot>,
    republish: Vec<Element>,
}

pub(super) type Elements = BTreeMap<String, Element>;

/// What a domain keeps beside its incidents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) domain: String,
    /// Anomalies that name no entity, until their window ends: by id, with all said of them since.
    loose: BTreeMap<String, Vec<Anomaly>>,
    /// The end of that window.
    window_end_ms: Option<i64>,
    /// Evidence that was refused while it waited, and is not said in an incident yet.
    lost: u64,
    /// What we changed lately, oldest first.
    pub(super) ours: Vec<Own>,
}

/// What makes a new anomaly the old incident's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Entity(Entity),
    /// An anomaly without an entity: the same series again.
    Series {
        rule: String,
        key: String,
        model: String,
    },
}

// === impl Book ===

impl Book {
    pub fn new(domain: &str, config: Arc<CorrelateConfig>) -> Book {
        let state = State {
            domain: domain.to_owned(),
            loose: BTreeMap::new(),
            window_end_ms: None,
            lost: 0,
            ours: Vec::new(),
        };
        Book::restored(state, BTreeMap::new(), Elements::new(), config)
    }

    pub fn restored(
        state: State,
        cases: BTreeMap<String, Case>,
        elements: Elements,
        config: Arc<CorrelateConfig>,
    ) -> Book {
        let mut book = Book {
            config,
            state,
            cases,
            subjects: BTreeMap::new(),
            anomalies: BTreeMap::new(),
            timers: BTreeSet::new(),
            changed: BTreeSet::new(),
            roots: Roots::new(Net::new(&elements)),
            elements,
            is_redrawn: false,
            spots: BTreeMap::new(),
            by_root: BTreeMap::new(),
            reviews: BTreeSet::new(),
            fresh: BTreeMap::new(),
            dirty: BTreeSet::new(),
            republish: Vec::new(),
        };
        let ids: Vec<String> = book.cases.keys().cloned().collect();
        for id in ids {
            book.index(&id);
        }
        book
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    pub fn cases(&self) -> &BTreeMap<String, Case> {
        &self.cases
    }

    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
            && self.state.loose.is_empty()
            && self.state.lost == 0
            && self.state.ours.is_empty()
            && self.elements.is_empty()
            && self.republish.is_empty()
    }

    /// Evidence that found no place to wait: the next incident to change says so.
    pub fn refuse(&mut self) {
        self.state.lost += 1;
    }

    pub fn take(&mut self, anomaly: Anomaly, out: &mut Outputs) {
        if self.state.window_end_ms.is_some_and(|end_ms| end_ms <= anomaly.time_ms) {
            self.close_window(out);
        }
        self.redraw();
        if let Some(spot) = self.spot(&anomaly) {
            self.take_placed(anomaly, spot, out);
        } else if let Some(id) = self.home(&anomaly) {
            self.put(&id, &anomaly, out);
        } else if anomaly.kind == AnomalyKind::Clear && !self.state.loose.contains_key(&anomaly.id)
        {
            out.count(metrics::UNMATCHED, &[], 1);
        } else if anomaly.entity.is_some() {
            let entity = self.named(&anomaly, out);
            let id = match self.about(&Subject::Entity(entity.clone())) {
                Some(id) => id,
                None => self.open(Grouping::Entity, Some(entity), &anomaly),
            };
            self.put(&id, &anomaly, out);
        } else {
            self.keep_loose(anomaly, out);
        }
    }

    pub fn next_due(&self) -> Option<i64> {
        let timer = self.timers.first().map(|(due_ms, _)| *due_ms);
        let review = self.reviews.first().map(|(due_ms, _)| *due_ms);
        let ours = self.state.ours.first().map(|own| own.forget_ms(&self.config));
        [timer, review, ours, self.state.window_end_ms].into_iter().flatten().min()
    }

    /// What falls due at this instant.
    pub fn fall_due(&mut self, due_ms: i64, out: &mut Outputs) {
        while let Some((_, id)) = self.timers.first().filter(|(at, _)| *at <= due_ms).cloned() {
            match self.cases.get(&id).and_then(|case| case.due(&self.config)) {
                Some(Due::Resolve(_)) => self.change(&id, |case| case.resolve(due_ms)),
                Some(Due::Forget(_)) | None => self.forget(&id),
            }
        }
        if self.state.window_end_ms.is_some_and(|end_ms| end_ms <= due_ms) {
            self.close_window(out);
        }
        while let Some((_, id)) = self.reviews.first().filter(|(at, _)| *at <= due_ms).cloned() {
            self.review(&id);
        }
        let config = Arc::clone(&self.config);
        self.state.ours.retain(|own| own.forget_ms(&config) > due_ms);
        self.explain(due_ms, out);
    }

    /// An element of the topology, as it now is.
    pub fn draw(&mut self, element: Element, out: &mut Outputs) {
        let there = self.elements.get(&element.id);
        if there.is_some_and(|there| there.time_ms > element.time_ms) {
            return;
        }
        let is_same = there
            .is_some_and(|there| Element { time_ms: element.time_ms, ..there.clone() } == element);
        if is_same || (there.is_none() && element.removed) {
            return;
        }
        if there.is_none() && self.elements.len() >= self.config.elements_max as usize {
            out.count(metrics::REFUSED, &[(metrics::LABEL_LIMIT, "elements")], 1);
            return;
        }
        out.count(metrics::ELEMENTS, &[], 1);
        if element.removed {
            self.elements.remove(&element.id);
        } else {
            self.elements.insert(element.id.clone(), element.clone());
        }
        self.republish.push(element);
        self.is_redrawn = true;
    }

    /// Elements that changed since.
    pub fn drawn(&mut self) -> Vec<Element> {
        std::mem::take(&mut self.republish)
    }

    pub fn elements(&self) -> &Elements {
        &self.elements
    }

    /// Makes the map anew where it has changed, and finds everything on it again.
    pub(super) fn redraw(&mut self) {
        if !std::mem::take(&mut self.is_redrawn) {
            return;
        }
        let ids: Vec<String> = self.cases.keys().cloned().collect();
        for id in &ids {
            self.unindex(id);
        }
        self.roots = Roots::new(Net::new(&self.elements));
        for id in &ids {
            self.index(id);
        }
    }

    fn spot(&self, anomaly: &Anomaly) -> Option<Spot> {
        if self.roots.net.is_empty() {
            return None;
        }
        let sign = *self.config.symptoms.get(&anomaly.rule)?;
        let place = self.roots.net.place(anomaly.entity.as_ref()?)?;
        Some((sign, place))
    }

    fn spot_of(&self, placed: &Placed) -> Option<Spot> {
        Some((placed.sign, self.roots.net.place(&placed.entity)?))
    }

    fn take_placed(&mut self, anomaly: Anomaly, spot: Spot, out: &mut Outputs) {
        if let Some(id) = self.anomalies.get(&anomaly.id).cloned() {
            let there = self.cases.get(&id).and_then(|case| case.placed.get(&anomaly.id));
            let is_again = there.is_none_or(|placed| placed.is_cleared && !placed.is_ours);
            if is_again && anomaly.kind != AnomalyKind::Clear {
                self.dirty.insert(spot.clone());
            }
            let placed = Placed::new(&anomaly, spot.0, there.is_some_and(|p| p.is_explained));
            self.put_placed(&id, &anomaly, placed, out);
        } else if let Some(fresh) = self.fresh.get_mut(&anomaly.id) {
            fresh.rows.push(anomaly);
        } else if anomaly.kind == AnomalyKind::Clear {
            out.count(metrics::UNMATCHED, &[], 1);
        } else if let Some((id, is_silenced)) = self.of_ours(&anomaly, &spot) {
            let placed =
                Placed { is_ours: true, is_silenced, ..Placed::new(&anomaly, spot.0, true) };
            self.put_placed(&id, &anomaly, placed, out);
        } else {
            self.fresh.insert(anomaly.id.clone(), Fresh { spot, rows: vec![anomaly] });
        }
    }

    pub(super) fn put_placed(
        &mut self,
        id: &str,
        anomaly: &Anomaly,
        placed: Placed,
        out: &mut Outputs,
    ) {
        let config = Arc::clone(&self.config);
        let mut joined = Joined::Listed;
        self.change(id, |case| joined = case.take_placed(anomaly, placed, &config));
        if joined == Joined::Unlisted && anomaly.kind != AnomalyKind::Clear {
            out.count(metrics::REFUSED, &[(metrics::LABEL_LIMIT, "members")], 1);
        }
    }

    /// Looks at a root again: by now more should have been seen.
    fn review(&mut self, id: &str) {
        self.unindex(id);
        if let Some(case) = self.cases.get_mut(id) {
            case.reviewed();
        }
        self.index(id);
        let placed = self.cases.get(id).into_iter().flat_map(|case| case.placed.values());
        let spots: Vec<Spot> = placed.filter_map(|placed| self.spot_of(placed)).collect();
        self.dirty.extend(spots);
    }

    pub(super) fn about_entity(&self, entity: &Entity) -> Option<String> {
        self.about(&Subject::Entity(entity.clone()))
    }

    /// The incident of this id, or the one that it became part of.
    pub(super) fn follow(&self, id: &str) -> Option<String> {
        let mut case = self.cases.get(id)?;
        while let Some(into) = &case.incident.merged_into {
            case = self.cases.get(into)?;
        }
        Some(case.incident.id.clone())
    }

    /// Every incident that changed since, as it is now.
    pub fn changed(&mut self, now_ms: i64) -> Vec<Incident> {
        let ids = std::mem::take(&mut self.changed);
        let mut told = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(case) = self.cases.get_mut(&id) else { continue };
            case.lost += std::mem::take(&mut self.state.lost);
            told.push(case.told(now_ms));
        }
        told
    }

    /// The incident that an anomaly already belongs to.
    fn home(&self, anomaly: &Anomaly) -> Option<String> {
        if let Some(id) = self.anomalies.get(&anomaly.id) {
            return Some(id.clone());
        }
        let id = self.about(&Subject::of(anomaly))?;
        let is_clear = anomaly.kind == AnomalyKind::Clear;
        let case = self.cases.get(&id)?;
        (!is_clear || case.has_unlisted()).then_some(id)
    }

    fn about(&self, subject: &Subject) -> Option<String> {
        self.subjects.get(subject)?.last().map(|(_, id)| id.clone())
    }

    /// The entity whose incident takes it: its own, or the domain where there are too many.
    pub(super) fn named(&self, anomaly: &Anomaly, out: &mut Outputs) -> Entity {
        let own = anomaly.entity.clone().expect("the caller has seen one");
        if self.cases.len() < self.config.incidents_max as usize {
            return own;
        }
        out.count(metrics::REFUSED, &[(metrics::LABEL_LIMIT, "incidents")], 1);
        Entity { kind: "domain".to_owned(), name: self.state.domain.clone() }
    }

    pub(super) fn open(
        &mut self,
        grouping: Grouping,
        entity: Option<Entity>,
        first: &Anomaly,
    ) -> String {
        let case = Case::open(grouping, entity, first);
        let id = case.incident.id.clone();
        self.cases.insert(id.clone(), case);
        self.index(&id);
        id
    }

    fn put(&mut self, id: &str, anomaly: &Anomaly, out: &mut Outputs) {
        let config = Arc::clone(&self.config);
        let mut joined = Joined::Listed;
        self.change(id, |case| joined = case.take(anomaly, &config));
        if joined == Joined::Unlisted && anomaly.kind != AnomalyKind::Clear {
            out.count(metrics::REFUSED, &[(metrics::LABEL_LIMIT, "members")], 1);
        }
    }

    /// Changes an incident and what follows from it.
    pub(super) fn change(&mut self, id: &str, change: impl FnOnce(&mut Case)) {
        self.unindex(id);
        if let Some(case) = self.cases.get_mut(id) {
            change(case);
            self.changed.insert(id.to_owned());
        }
        self.index(id);
    }

    fn forget(&mut self, id: &str) {
        self.unindex(id);
        self.cases.remove(id);
    }

    fn index(&mut self, id: &str) {
        let Some(case) = self.cases.get(id) else { return };
        if case.is_changed {
            self.changed.insert(id.to_owned());
        }
        let place = (case.incident.opened_ms, id.to_owned());
        for subject in subjects(case) {
            self.subjects.entry(subject).or_default().insert(place.clone());
        }
        for member in &case.incident.members {
            self.anomalies.insert(member.id.clone(), id.to_owned());
        }
        for (anomaly, placed) in &case.placed {
            self.anomalies.insert(anomaly.clone(), id.to_owned());
            let spot = self.roots.net.place(&placed.entity).map(|place| (placed.sign, place));
            if let Some(spot) = spot.filter(|_| !placed.is_ours) {
                self.spots.entry(spot).or_default().insert((placed.opened_ms, anomaly.clone()));
            }
        }
        if let Some(told) = &case.told {
            self.by_root.entry(told.key()).or_default().insert(place.clone());
        }
        if let Some(at) = case.next_review() {
            self.reviews.insert((at, id.to_owned()));
        }
        if let Some(Due::Resolve(at) | Due::Forget(at)) = case.due(&self.config) {
            self.timers.insert((at, id.to_owned()));
        }
    }

    fn unindex(&mut self, id: &str) {
        let Some(case) = self.cases.get(id) else { return };
        let place = (case.incident.opened_ms, id.to_owned());
        for subject in subjects(case) {
            if let Some(ids) = self.subjects.get_mut(&subject) {
                ids.remove(&place);
                if ids.is_empty() {
                    self.subjects.remove(&subject);
                }
            }
        }
        for member in &case.incident.members {
            self.anomalies.remove(&member.id);
        }
        for (anomaly, placed) in &case.placed {
            self.anomalies.remove(anomaly);
            let spot = self.roots.net.place(&placed.entity).map(|place| (placed.sign, place));
            let Some(spot) = spot else { continue };
            if let Some(all) = self.spots.get_mut(&spot) {
                all.remove(&(placed.opened_ms, anomaly.clone()));
                if all.is_empty() {
                    self.spots.remove(&spot);
                }
            }
        }
        if let Some(key) = case.told.as_ref().map(Told::key)
            && let Some(ids) = self.by_root.get_mut(&key)
        {
            ids.remove(&place);
            if ids.is_empty() {
                self.by_root.remove(&key);
            }
        }
        if let Some(at) = case.next_review() {
            self.reviews.remove(&(at, id.to_owned()));
        }
        if let Some(Due::Resolve(at) | Due::Forget(at)) = case.due(&self.config) {
            self.timers.remove(&(at, id.to_owned()));
        }
    }

    // --- anomalies without an entity ---

    fn keep_loose(&mut self, anomaly: Anomaly, out: &mut Outputs) {
        let is_new = !self.state.loose.contains_key(&anomaly.id);
        if is_new && self.state.loose.len() >= self.config.pending_max as usize {
            out.count(metrics::REFUSED, &[(metrics::LABEL_LIMIT, "pending")], 1);
            self.state.lost += 1;
            return;
        }
        if self.state.window_end_ms.is_none() {
            let length_ms = self.config.cluster_window_ms();
            let start_ms = anomaly.time_ms - anomaly.time_ms.rem_euclid(length_ms);
            self.state.window_end_ms = Some(start_ms + length_ms);
        }
        let said = self.state.loose.entry(anomaly.id.clone()).or_default();
        // Open, worse, clear: what is between the first and the last two adds nothing.
        if said.len() >= 3 {
            said.remove(1);
        }
        said.push(anomaly);
    }

    /// One incident for each group of the window.
    fn close_window(&mut self, out: &mut Outputs) {
        self.state.window_end_ms = None;
        let mut loose: Vec<Vec<Anomaly>> =
            std::mem::take(&mut self.state.loose).into_values().collect();
        loose.sort_by(|a, b| (a[0].time_ms, &a[0].id).cmp(&(b[0].time_ms, &b[0].id)));
        let firsts: Vec<&Anomaly> = loose.iter().map(|said| &said[0]).collect();
        let groups = cluster::groups(
            &firsts,
            self.config.cluster_window_ms(),
            self.config.clusters_max as usize,
        );
        let mut incidents: BTreeMap<usize, String> = BTreeMap::new();
        for (said, group) in loose.iter().zip(groups) {
            let id = match incidents.get(&group) {
                Some(id) => id.clone(),
                None => self.begin_cluster(&said[0], out),
            };
            incidents.insert(group, id.clone());
            for anomaly in said {
                self.put(&id, anomaly, out);
            }
        }
    }

    fn begin_cluster(&mut self, first: &Anomaly, out: &mut Outputs) -> String {
        if self.cases.len() < self.config.incidents_max as usize {
            return self.open(Grouping::Cluster, None, first);
        }
        out.count(metrics::REFUSED, &[(metrics::LABEL_LIMIT, "incidents")], 1);
        let entity = Entity { kind: "domain".to_owned(), name: self.state.domain.clone() };
        match self.about(&Subject::Entity(entity.clone())) {
            Some(id) => id,
            None => self.open(Grouping::Entity, Some(entity), first),
        }
    }
}

// === impl State ===

impl State {
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

// === impl Subject ===

impl Subject {
    fn of(anomaly: &Anomaly) -> Subject {
        match &anomaly.entity {
            Some(entity) => Subject::Entity(entity.clone()),
            None => Subject::Series {
                rule: anomaly.rule.clone(),
                key: anomaly.key.clone(),
                model: anomaly.model.clone(),
            },
        }
    }
}

fn subjects(case: &Case) -> Vec<Subject> {
    let incident = &case.incident;
    if case.is_merged() {
        return Vec::new();
    }
    match &incident.entity {
        Some(entity) => vec![Subject::Entity(entity.clone())],
        None => {
            let series = incident.members.iter().map(|member| Subject::Series {
                rule: member.rule.clone(),
                key: member.key.clone(),
                model: member.model.clone(),
            });
            series.collect()
        }
    }
}
