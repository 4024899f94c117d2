//! Who works on which task of a stage, within this process. Tasks move as in a cooperative
//! rebalance: the owner gives a task up at its next `next`, only then its successor gets it. Pure:
//! no clock, no store. A member that hangs keeps its tasks (only its thread could tell); one that
//! is dropped leaves, and one whose name joins again is evicted.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::TaskId;

/// The group of one stage.
#[derive(Debug, Default)]
pub struct Group {
    members: BTreeMap<u64, Member>,
}

#[derive(Debug)]
struct Member {
    instance: String,
    inputs: Vec<String>,
    owned: BTreeSet<TaskId>,
    target: BTreeSet<TaskId>,
}

/// What a member must do next.
#[derive(Debug, PartialEq)]
pub enum Step {
    Evicted,
    Revoked(Vec<TaskId>),
    Assigned(Vec<TaskId>),
    Nothing,
}

/// How a member stands to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    Owner,
    NotOwner,
    NotMember,
}

// === impl Group ===

impl Group {
    /// Adds a member and evicts one of the same instance. `tasks` are all tasks of the inputs of
    /// all members, in order.
    pub fn join(&mut self, id: u64, instance: &str, inputs: &[String]) {
        self.members.retain(|_, member| member.instance != instance);
        let (owned, target) = (BTreeSet::new(), BTreeSet::new());
        let member =
            Member { instance: instance.to_owned(), inputs: inputs.to_vec(), owned, target };
        self.members.insert(id, member);
    }

    pub fn leave(&mut self, id: u64) {
        self.members.remove(&id);
    }

    pub fn instances(&self) -> Vec<String> {
        self.members.values().map(|member| member.instance.clone()).collect()
    }

    /// The topics that any member reads.
    pub fn inputs(&self) -> BTreeSet<String> {
        self.members.values().flat_map(|member| member.inputs.iter().cloned()).collect()
    }

    pub fn is_member(&self, id: u64) -> bool {
        self.members.contains_key(&id)
    }

    pub fn hold(&self, id: u64, task: &TaskId) -> Hold {
        match self.members.get(&id) {
            None => Hold::NotMember,
            Some(member) if member.owned.contains(task) => Hold::Owner,
            Some(_) => Hold::NotOwner,
        }
    }

    /// Sets new targets: as even as can be, and each task stays where it is as far as that allows.
    pub fn rebalance(&mut self, tasks: &[TaskId]) {
        let Some(members) = u32::try_from(self.members.len()).ok().filter(|n| *n > 0) else {
            return;
        };
        let quota = tasks.len().div_ceil(members as usize);
        let mut targets: BTreeMap<u64, BTreeSet<TaskId>> =
            self.members.keys().map(|id| (*id, BTreeSet::new())).collect();
        let mut full = tasks.len() % members as usize;
        let mut homeless = Vec::new();
        for (id, member) in &self.members {
            let here = targets.entry(*id).or_default();
            // Of n members only n mod tasks may have the larger share, else one would have none.
            let share = share_of(quota, tasks.len(), members as usize, &mut full, member);
            let kept = tasks.iter().filter(|task| member.owned.contains(task)).take(share);
            here.extend(kept.cloned());
        }
        let placed: BTreeSet<TaskId> = targets.values().flatten().cloned().collect();
        homeless.extend(tasks.iter().filter(|task| !placed.contains(task)));
        for task in homeless {
            let least = self
                .members
                .iter()
                .filter(|(_, member)| member.inputs.iter().any(|input| **input == *task.topic))
                .min_by_key(|(id, _)| (targets[id].len(), **id));
            if let Some((id, _)) = least {
                targets.entry(*id).or_default().insert(task.clone());
            }
        }
        for (id, target) in targets {
            if let Some(member) = self.members.get_mut(&id) {
                member.target = target;
            }
        }
    }

    /// Takes the next step of a member; tasks that it must give up are free from here on.
    pub fn step(&mut self, id: u64) -> Step {
        let Some(member) = self.members.get_mut(&id) else {
            return Step::Evicted;
        };
        let revoked: Vec<TaskId> = member.owned.difference(&member.target).cloned().collect();
        if !revoked.is_empty() {
            member.owned.retain(|task| member.target.contains(task));
            return Step::Revoked(revoked);
        }
        let wanted: Vec<TaskId> = member.target.difference(&member.owned).cloned().collect();
        let free = |task: &TaskId| !self.members.values().any(|m| m.owned.contains(task));
        let assigned: Vec<TaskId> = wanted.into_iter().filter(free).collect();
        if assigned.is_empty() {
            return Step::Nothing;
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.owned.extend(assigned.iter().cloned());
        }
        Step::Assigned(assigned)
    }
}

/// How many of its tasks a member may keep.
fn share_of(
    quota: usize,
    tasks: usize,
    members: usize,
    full: &mut usize,
    member: &Member,
) -> usize {
    if tasks % members == 0 {
        return quota;
    }
    if member.owned.len() >= quota && *full > 0 {
        *full -= 1;
        return quota;
    }
    quota.saturating_sub(1)
}
