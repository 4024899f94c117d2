//! The named points at which act is killed, by what means the change is made, and how each must
//! end.

use model::rows::ActionState;

use super::gate::Stop;

/// How a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// SNMP set: the device can be read.
    Snmp,
    /// A program that changes a device; nothing can be read.
    Command,
    /// A webhook that changes a device; nothing can be read.
    Webhook,
    /// A webhook that only tells: no lease, nothing to verify.
    Tells,
}

/// Behind which step of an execution act is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// The plan stands, and waits for a person.
    Planned,
    Leased,
    /// The intent stands, and nothing is made.
    Intent,
    /// The write is made, and act does not know.
    Write,
    /// Act is told, and has not said so.
    Answer,
    /// The result stands.
    Result,
    /// The repair is being verified.
    Verify,
    BackIntent,
    BackWrite,
}

/// One kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    pub means: Means,
    pub point: Point,
}

/// Where act is to be caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Catch {
    /// By a row that stands on the log.
    Row(ActionState),
    /// By its write, at the receiver.
    Write(Stop),
    /// By its look at the device, at the receiver.
    Look,
    /// By its write that takes the change back.
    Back(Stop),
}

/// What begins it: each is a fault with a playbook of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By itself.
    Auto,
    /// A person approves it first.
    Asked,
    /// By itself, and it never shows: it is taken back.
    Back,
}

const fn kill(means: Means, point: Point) -> Kill {
    Kill { means, point }
}

/// In the order in which they are struck, again and again.
pub const KILLS: &[Kill] = &[
    kill(Means::Snmp, Point::Intent),
    kill(Means::Command, Point::Write),
    kill(Means::Snmp, Point::Write),
    kill(Means::Webhook, Point::Intent),
    kill(Means::Snmp, Point::BackWrite),
    kill(Means::Tells, Point::Write),
    kill(Means::Snmp, Point::Leased),
    kill(Means::Webhook, Point::Write),
    kill(Means::Snmp, Point::Planned),
    kill(Means::Command, Point::Intent),
    kill(Means::Snmp, Point::Result),
    kill(Means::Tells, Point::Intent),
    kill(Means::Snmp, Point::Verify),
    kill(Means::Webhook, Point::Leased),
    kill(Means::Snmp, Point::BackIntent),
    kill(Means::Command, Point::BackWrite),
    kill(Means::Snmp, Point::Answer),
    kill(Means::Webhook, Point::Answer),
    kill(Means::Command, Point::Planned),
    kill(Means::Snmp, Point::Intent),
    kill(Means::Command, Point::Verify),
    kill(Means::Snmp, Point::Write),
    kill(Means::Webhook, Point::Result),
    kill(Means::Command, Point::BackIntent),
    kill(Means::Tells, Point::Result),
];

// === impl Means ===

impl Means {
    pub const ALL: [Means; 4] = [Means::Snmp, Means::Command, Means::Webhook, Means::Tells];

    pub fn name(self) -> &'static str {
        match self {
            Means::Snmp => "snmp",
            Means::Command => "command",
            Means::Webhook => "webhook",
            Means::Tells => "webhook-tells",
        }
    }
}

// === impl Way ===

impl Way {
    pub const ALL: [Way; 3] = [Way::Auto, Way::Asked, Way::Back];

    /// The fault's name, and the playbook's.
    pub fn fault(self, means: Means) -> String {
        let way = match self {
            Way::Auto => "auto",
            Way::Asked => "asked",
            Way::Back => "back",
        };
        format!("{}-{way}", means.name())
    }
}

// === impl Point ===

impl Point {
    pub fn name(self) -> &'static str {
        match self {
            Point::Planned => "planned",
            Point::Leased => "leased",
            Point::Intent => "intent",
            Point::Write => "write",
            Point::Answer => "answer",
            Point::Result => "result",
            Point::Verify => "verify",
            Point::BackIntent => "rollback-intent",
            Point::BackWrite => "rollback-write",
        }
    }

    pub fn way(self) -> Way {
        match self {
            Point::Planned => Way::Asked,
            Point::BackIntent | Point::BackWrite => Way::Back,
            _ => Way::Auto,
        }
    }

    /// The last row of its execution that must stand when act is dead.
    pub fn row(self) -> &'static [ActionState] {
        match self {
            Point::Planned => &[ActionState::AwaitingApproval],
            Point::Leased => &[ActionState::Leased],
            Point::Intent | Point::Write | Point::Answer => &[ActionState::Applying],
            // One turn tells a result and what follows from it.
            Point::Result | Point::Verify => {
                &[ActionState::Applied, ActionState::Verifying, ActionState::Confirmed]
            }
            Point::BackIntent | Point::BackWrite => &[ActionState::RollingBack],
        }
    }
}

// === impl Kill ===

impl Kill {
    pub fn catch(self) -> Catch {
        match self.point {
            Point::Planned => Catch::Row(ActionState::AwaitingApproval),
            Point::Leased => Catch::Row(ActionState::Leased),
            Point::Intent => Catch::Write(Stop::Arrived),
            Point::Write => Catch::Write(Stop::Made),
            Point::Answer => Catch::Write(Stop::Answered),
            Point::Result => Catch::Row(ActionState::Applied),
            Point::Verify if self.means == Means::Snmp => Catch::Look,
            Point::Verify => Catch::Row(ActionState::Verifying),
            Point::BackIntent => Catch::Back(Stop::Arrived),
            Point::BackWrite => Catch::Back(Stop::Made),
        }
    }

    /// How it must end, by the last row that stood when act died: a change whose device cannot be
    /// read is unknown exactly where its intent stood without a result.
    pub fn end(self, landed: ActionState) -> ActionState {
        let cut = matches!(landed, ActionState::Applying | ActionState::RollingBack);
        match (self.means, self.point.way()) {
            (Means::Snmp, Way::Back) => ActionState::RolledBack,
            (Means::Snmp, _) => ActionState::Confirmed,
            _ if cut => ActionState::Unknown,
            (_, Way::Back) => ActionState::RolledBack,
            (..) => ActionState::Confirmed,
        }
    }
}
