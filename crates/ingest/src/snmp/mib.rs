//! The objects that are polled: columns of IF-MIB (RFC 2863) and of CISCO-PROCESS-MIB, and the two
//! scalars that say whether what was known before still holds.

use model::snmp::Oid;

/// sysUpTime (SNMPv2-MIB, RFC 3418), without its instance: a GETNEXT or GETBULK finds that.
pub const UPTIME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 3];
/// ifTableLastChange (RFC 2863): moves when an interface came, went or was renumbered.
pub const TABLE_CHANGE: &[u32] = &[1, 3, 6, 1, 2, 1, 31, 1, 5];

/// A column of a table with one number as its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    Name,
    Descr,
    Alias,
    HighSpeed,
    Speed,
    Admin,
    Oper,
    In64,
    Out64,
    In32,
    Out32,
    InErrors,
    OutErrors,
    InDiscards,
    OutDiscards,
    Discontinuity,
    /// cpmCPUTotal5secRev.
    Cpu5s,
    /// cpmCPUTotal1minRev, where there is no other.
    Cpu1m,
}

/// What is seldom asked.
pub const NAMES: [Column; 5] =
    [Column::Name, Column::Descr, Column::Alias, Column::HighSpeed, Column::Speed];

/// What is asked at each poll.
pub const COUNTERS: [Column; 10] = [
    Column::Admin,
    Column::Oper,
    Column::In64,
    Column::Out64,
    Column::InErrors,
    Column::OutErrors,
    Column::InDiscards,
    Column::OutDiscards,
    Column::Discontinuity,
    Column::Cpu5s,
];

/// What is asked too where an interface has no 64-bit counters.
pub const NARROW: [Column; 2] = [Column::In32, Column::Out32];

const IF_ENTRY: &[u32] = &[1, 3, 6, 1, 2, 1, 2, 2, 1];
const IF_X_ENTRY: &[u32] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1];
const CPM_ENTRY: &[u32] = &[1, 3, 6, 1, 4, 1, 9, 9, 109, 1, 1, 1, 1];

// === impl Column ===

impl Column {
    /// The entry that it is a column of, and its number there.
    fn place(self) -> (&'static [u32], u32) {
        match self {
            Column::Descr => (IF_ENTRY, 2),
            Column::Speed => (IF_ENTRY, 5),
            Column::Admin => (IF_ENTRY, 7),
            Column::Oper => (IF_ENTRY, 8),
            Column::In32 => (IF_ENTRY, 10),
            Column::InDiscards => (IF_ENTRY, 13),
            Column::InErrors => (IF_ENTRY, 14),
            Column::Out32 => (IF_ENTRY, 16),
            Column::OutDiscards => (IF_ENTRY, 19),
            Column::OutErrors => (IF_ENTRY, 20),
            Column::Name => (IF_X_ENTRY, 1),
            Column::In64 => (IF_X_ENTRY, 6),
            Column::Out64 => (IF_X_ENTRY, 10),
            Column::HighSpeed => (IF_X_ENTRY, 15),
            Column::Alias => (IF_X_ENTRY, 18),
            Column::Discontinuity => (IF_X_ENTRY, 19),
            Column::Cpu5s => (CPM_ENTRY, 6),
            Column::Cpu1m => (CPM_ENTRY, 7),
        }
    }

    pub fn oid(self) -> Oid {
        let (entry, number) = self.place();
        Oid(entry.iter().copied().chain([number]).collect())
    }

    /// Whether its index is an ifIndex.
    pub fn is_of_interfaces(self) -> bool {
        !matches!(self, Column::Cpu5s | Column::Cpu1m)
    }
}
