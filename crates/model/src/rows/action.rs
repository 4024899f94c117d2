//! What act decides and does (`actions`), whom it asks (`approvals`), and what it tells correlate
//! of itself (`evidence.change`); a person's word on an incident (`evidence.feedback`).

use arrow::array::{Array, ArrayRef};
use serde::{Deserialize, Serialize};

use super::build;
use super::read::{Columns, RowError, items_at};
use super::table::{Cell, table, words};
use crate::schema_file;

words! {
    /// Where an execution stands (DESIGN §7).
    ActionState in "state" {
        Proposed = "proposed",
        Planned = "planned",
        AwaitingApproval = "awaiting-approval",
        Approved = "approved",
        Leased = "leased",
        Applying = "applying",
        Applied = "applied",
        Verifying = "verifying",
        Confirmed = "confirmed",
        /// A gate said no.
        Refused = "refused",
        Rejected = "rejected",
        /// Nobody approved in time.
        Expired = "expired",
        /// The incident was over before anything was changed.
        Withdrawn = "withdrawn",
        Failed = "failed",
        /// What became of a change cannot be told: a person decides.
        Unknown = "unknown",
        RollingBack = "rolling-back",
        RolledBack = "rolled-back",
        /// The way back failed too: a person is needed.
        Stuck = "stuck",
    }
}

words! {
    /// What a gate says of a plan.
    GateVerdict in "verdict" {
        Pass = "pass",
        /// Not now: a person must approve, or a window must open.
        Hold = "hold",
        Refuse = "refuse",
    }
}

/// What was checked before a change was allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    pub name: String,
    pub verdict: GateVerdict,
    pub reason: String,
}

table! {
    /// One step of one execution, written before the effect that it allows.
    Action of actions {
        domain: String = "domain",
        time_ms: i64 = "time",
        execution: String = "execution",
        incident: String = "incident",
        playbook: String = "playbook",
        serial: u32 = "serial",
        state: ActionState = "state",
        step: Option<u32> = "step",
        attempt: u32 = "attempt",
        device: Option<String> = "device",
        entity: Option<String> = "entity",
        action: Option<String> = "action",
        driver: Option<String> = "driver",
        command: Option<String> = "command",
        result: Option<String> = "result",
        reason: String = "reason",
        plan_hash: Option<String> = "plan_hash",
        /// JSON; on `Planned` only.
        plan: Option<String> = "plan",
        gates: Vec<Gate> = "gates",
        who: Option<String> = "who",
        until_ms: Option<i64> = "until",
    }
}

words! {
    ApprovalVerdict in "verdict" {
        Approve = "approve",
        Reject = "reject",
    }
}

table! {
    /// A person's word on one plan.
    Approval of approvals {
        domain: String = "domain",
        time_ms: i64 = "time",
        execution: String = "execution",
        incident: String = "incident",
        plan_hash: String = "plan_hash",
        verdict: ApprovalVerdict = "verdict",
        who: String = "who",
        reason: Option<String> = "reason",
        until_ms: i64 = "until",
    }
}

words! {
    ChangeState in "state" {
        Began = "began",
        Ended = "ended",
        Failed = "failed",
        RolledBack = "rolled-back",
    }
}

table! {
    /// A change that we make, have made or have taken back.
    Change of changes {
        domain: String = "domain",
        time_ms: i64 = "time",
        execution: String = "execution",
        incident: String = "incident",
        step: u32 = "step",
        state: ChangeState = "state",
        device: String = "device",
        entity: Option<String> = "entity",
        action: String = "action",
        text: String = "text",
    }
}

words! {
    FeedbackVerdict in "verdict" {
        Right = "right",
        Wrong = "wrong",
        Duplicate = "duplicate",
        Expected = "expected",
    }
}

table! {
    /// A person's word on an incident.
    Feedback of feedback {
        domain: String = "domain",
        time_ms: i64 = "time",
        incident: String = "incident",
        verdict: FeedbackVerdict = "verdict",
        who: String = "who",
        text: Option<String> = "text",
    }
}

// === impl Gate ===

impl Cell for Vec<Gate> {
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        let rows: Vec<&Vec<Gate>> = cells.collect();
        let lengths: Vec<usize> = rows.iter().map(|row| row.len()).collect();
        let all = || rows.iter().flat_map(|row| row.iter());
        let items = vec![
            build::text(all().map(|gate| gate.name.as_str())),
            build::text(all().map(|gate| gate.verdict.as_str())),
            build::text(all().map(|gate| gate.reason.as_str())),
        ];
        build::list(schema_file::gate(), &lengths, items)
    }

    fn read(columns: &Columns<'_>, name: &'static str) -> Result<Vec<Self>, RowError> {
        let lists = columns.list(name)?;
        let one = |row| {
            let Some(items) = items_at(lists, row, name)? else {
                return Ok(Vec::new());
            };
            let columns = Columns::of_struct(&items);
            let names = <String as Cell>::read(&columns, "name")?.into_iter();
            let verdicts = <GateVerdict as Cell>::read(&columns, "verdict")?;
            let reasons = <String as Cell>::read(&columns, "reason")?;
            let both = names.zip(verdicts).zip(reasons);
            Ok(both.map(|((name, verdict), reason)| Gate { name, verdict, reason }).collect())
        };
        (0..lists.len()).map(one).collect()
    }
}
