//! Follows one exporter's sequence numbers under one way of counting. A gap is loss only after it
//! had its time to be filled by datagrams that were overtaken; a number out of line counts only
//! when the next one continues from it. Numbers wrap at 2^32.

use std::collections::VecDeque;

use super::ledger::{Settled, Totals};

/// Datagrams that a gap stays open for latecomers.
const WINDOW: u64 = 128;
/// Open gaps kept; with each second datagram overtaken, a window has half as many.
const GAPS_MAX: usize = 128;
/// A jump ahead by more than this many units must be confirmed by the next datagram.
const JUMP: u32 = 100_000;
/// ... and by more than this it is a new sequence and no loss: no outage loses 2^26 records unseen.
const RESTART_JUMP: u32 = 1 << 26;

/// The units that one datagram covers: `start`, `start + 1`, ... `n` of them.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub start: u32,
    pub n: u32,
    /// Units that its undecoded sets hold at most ...
    pub hidden_max: u32,
    /// ... which lie before `start` instead of behind the `n`.
    pub hidden_before: bool,
    pub dead: bool,
    pub restarted: bool,
    pub received: i64,
    /// Running number of the datagram.
    pub number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    start: u32,
    len: u32,
    number: u64,
    received: i64,
    /// It may hold what an earlier run put on the log.
    resumed: bool,
}

/// An earlier run's place from which this one goes on.
#[derive(Clone, Copy, Debug)]
struct Resumed {
    /// Units before that place which are lost; below zero: so many behind it are on the log.
    owed: i64,
    /// Running number and receive time of the first datagram that this run heard.
    heard: Option<(u64, i64)>,
}

/// A number out of line, until the next one tells.
#[derive(Clone, Copy, Debug)]
struct Stray {
    next: u32,
    n: u32,
    behind: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Tracker {
    expected: Option<u32>,
    gaps: VecDeque<Gap>,
    stray: Option<Stray>,
    hidden_max: u32,
    dead: bool,
    fits: u64,
    totals: Totals,
    resumed: Option<Resumed>,
}

// === impl Tracker ===

impl Tracker {
    /// Messages that began exactly where the one before ended.
    pub fn fits(&self) -> u64 {
        self.fits
    }

    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Where it stands: the number that comes next, and the units before it of which it is not
    /// known yet whether they were lost.
    pub fn place(&self) -> Option<(u32, i64)> {
        let open: i64 = self.gaps.iter().map(|gap| i64::from(gap.len)).sum();
        let unresolved = i64::try_from(self.totals.unresolved).unwrap_or(i64::MAX);
        let jumped = self.stray.filter(|stray| !stray.behind).map_or(0, |stray| i64::from(stray.n));
        let resumed = self.resumed.map_or(0, |resumed| resumed.owed);
        let open = open.saturating_add(unresolved).saturating_add(resumed);
        self.expected.map(|expected| (expected, open - jumped))
    }

    /// Goes on from where an earlier run stood.
    pub fn resume(&mut self, expected: u32, owed: i64, fits: u64) {
        let resumed = Some(Resumed { owed, heard: None });
        *self = Tracker { expected: Some(expected), resumed, fits, ..Tracker::default() };
    }

    pub fn observe(&mut self, span: &Span) {
        self.dead |= span.dead;
        self.totals.units += u64::from(span.n);
        let Some(expected) = self.expected else {
            self.advance(span);
            return;
        };
        let delta = span.start.wrapping_sub(expected);
        if delta == 0 {
            self.fits += 1;
            self.drop_stray();
            self.advance(span);
        } else if delta < 1 << 31 {
            self.ahead(span, expected, delta);
        } else if span.n > 0 && !self.fill(span) {
            self.behind(span);
        }
        self.close_old(span.number);
        self.settle_resumed(span.number, i64::MIN);
    }

    fn advance(&mut self, span: &Span) {
        if let Some(resumed) = &mut self.resumed {
            resumed.heard.get_or_insert((span.number, span.received));
        }
        self.expected = Some(span.start.wrapping_add(span.n));
        self.hidden_max = if span.hidden_before { 0 } else { span.hidden_max };
    }

    fn ahead(&mut self, span: &Span, expected: u32, delta: u32) {
        if span.restarted {
            self.restart(span);
            return;
        }
        let room = if span.hidden_before { span.hidden_max } else { self.hidden_max };
        let hidden = delta.min(room);
        let stray = self.stray.take().filter(|stray| stray.next == span.start);
        let missing = delta - hidden;
        if missing > JUMP && stray.is_none() {
            self.stray = Some(Stray::of(span, false));
            return;
        }
        // The datagram that the jump was confirmed by is here, and so is the one before it.
        let missing = missing - stray.map_or(0, |stray| stray.n.min(missing));
        if missing > RESTART_JUMP {
            self.restart(span);
            return;
        }
        self.totals.unresolved += u64::from(hidden);
        if missing == 0 {
            self.fits += 1;
        } else {
            self.open(expected.wrapping_add(hidden), missing, span);
        }
        self.advance(span);
    }

    fn open(&mut self, start: u32, len: u32, span: &Span) {
        let (number, received) = (span.number, span.received);
        let resumed = self
            .resumed
            .is_some_and(|resumed| resumed.heard.is_none_or(|(first, _)| number < first + WINDOW));
        self.gaps.push_back(Gap { start, len, number, received, resumed });
        if self.gaps.len() > GAPS_MAX {
            self.close_first();
        }
    }

    /// Takes a latecomer out of the gap that it left.
    fn fill(&mut self, span: &Span) -> bool {
        let inside = |gap: &Gap| {
            let from = span.start.wrapping_sub(gap.start);
            from < gap.len && span.n <= gap.len - from
        };
        let Some(at) = self.gaps.iter().rposition(inside) else {
            return false;
        };
        let gap = self.gaps[at];
        let before = span.start.wrapping_sub(gap.start);
        let after = gap.len - before - span.n;
        let rest = Gap { start: span.start.wrapping_add(span.n), len: after, ..gap };
        self.gaps[at].len = before;
        self.gaps.insert(at + 1, rest);
        self.gaps.retain(|gap| gap.len > 0);
        self.totals.reordered += 1;
        true
    }

    /// Neither next nor missing: the exporter restarted, or a datagram came very late.
    fn behind(&mut self, span: &Span) {
        if span.restarted || self.stray.is_some_and(|stray| stray.next == span.start) {
            self.restart(span);
        } else {
            self.drop_stray();
            self.stray = Some(Stray::of(span, true));
        }
    }

    /// The sequence went on as if the stray had not been: it came after its gap was closed.
    fn drop_stray(&mut self) {
        if let Some(stray) = self.stray.take()
            && stray.behind
            && self.totals.lost >= u64::from(stray.n)
        {
            self.totals.lost -= u64::from(stray.n);
            self.totals.reordered += 1;
        }
    }

    fn restart(&mut self, span: &Span) {
        while !self.gaps.is_empty() {
            self.close_first();
        }
        // How much of the old sequence was sent is not known; what is known to be lost is counted.
        self.end_resumed();
        self.totals.restarts += 1;
        self.stray = None;
        self.advance(span);
    }

    fn close_first(&mut self) {
        let Some(gap) = self.gaps.pop_front() else {
            return;
        };
        match &mut self.resumed {
            Some(resumed) if gap.resumed => resumed.owed += i64::from(gap.len),
            _ => self.totals.lost += u64::from(gap.len),
        }
    }

    /// What lay between two runs is known when all that could still be overtaken has come: after a
    /// window of datagrams, or of time. A datagram that came late or twice does not make what lies
    /// behind it a loss: until then every gap is set against what is on the log.
    fn settle_resumed(&mut self, number: u64, received: i64) {
        let Some(Resumed { heard: Some((first, heard)), .. }) = self.resumed else {
            return;
        };
        let over = number >= first + WINDOW || heard < received;
        if over && !self.gaps.iter().any(|gap| gap.resumed) {
            self.end_resumed();
        }
    }

    fn end_resumed(&mut self) {
        if let Some(resumed) = self.resumed.take() {
            self.totals.missed += u64::try_from(resumed.owed).unwrap_or(0);
        }
    }

    fn close_old(&mut self, number: u64) {
        while self.gaps.front().is_some_and(|gap| number - gap.number >= WINDOW) {
            self.close_first();
        }
    }

    pub fn close_gaps(&mut self, received: i64) {
        while self.gaps.front().is_some_and(|gap| gap.received < received) {
            self.close_first();
        }
        self.settle_resumed(0, received);
    }

    /// `n` units that were hidden are decoded. Those not yet counted as hidden belong to the last
    /// message, whose end moves with them where the number counts what came before.
    pub fn decoded_late(&mut self, n: u32, moves_end: bool) {
        self.totals.units += u64::from(n);
        let resolved = u64::from(n).min(self.totals.unresolved);
        self.totals.unresolved -= resolved;
        let surplus = n - resolved as u32;
        if moves_end && surplus <= self.hidden_max {
            self.hidden_max -= surplus;
            self.expected = self.expected.map(|expected| expected.wrapping_add(surplus));
        }
    }

    /// What is still hidden now that nothing waits was lost with datagrams that never came, or
    /// never to be decoded.
    pub fn settle(&mut self, why: Settled) {
        let rest = std::mem::take(&mut self.totals.unresolved);
        match why {
            _ if self.dead => self.totals.undecodable += rest,
            Settled::Expired => self.totals.expired += rest,
            Settled::Decoded => self.totals.lost += rest,
        }
        self.dead = false;
    }
}

// === impl Stray ===

impl Stray {
    fn of(span: &Span, behind: bool) -> Stray {
        Stray { next: span.start.wrapping_add(span.n), n: span.n, behind }
    }
}
