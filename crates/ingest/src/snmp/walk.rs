//! A walk over some columns at once: which request comes next, what an answer adds, and the guards
//! against agents that answer in circles, out of order, too much or nothing (research/ingest.md,
//! R11). Every column stands where its own last row was, so sparse columns cost nothing.

use model::snmp::{Oid, Request, Response, TOO_BIG, Value};

use super::mib::{self, Column};

/// How rows are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Bulk,
    /// GETNEXT, one row a request: for agents whose GETBULK cannot be trusted.
    Next,
}

/// One value of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    pub column: Column,
    pub index: u32,
    pub value: Value,
}

/// The scalars beside the rows of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scalars {
    /// Hundredths of a second.
    pub uptime: Option<u32>,
    pub table_change: Option<u32>,
}

/// Why an answer is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// `tooBig`: ask for less.
    TooBig,
    /// Another error of the agent; it gave up on the whole request.
    Error,
    /// The error is about one column, which is left out from now on.
    ErrorInColumn,
    /// An identifier that is not behind the one before.
    NotIncreasing,
    /// Nothing that was asked for.
    Empty,
    /// More rows than a table may have.
    TableFull,
}

#[derive(Debug)]
pub struct Walk {
    cursors: Vec<Cursor>,
    rows_max: u32,
    /// Which columns the request at hand asks, in its order.
    asked: Vec<usize>,
    /// How many columns at once; fewer after `tooBig` to a GETNEXT.
    width: usize,
}

#[derive(Debug)]
struct Cursor {
    column: Column,
    base: Oid,
    last: Oid,
    rows: u32,
    is_done: bool,
}

/// What of an answer's bind a column makes.
enum Took {
    Row,
    End,
    Fault(Fault),
}

/// Scalars in front of each request.
const SCALARS: usize = 2;

// === impl Fault ===

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Fault::TooBig => "too_big",
            Fault::Error => "error",
            Fault::ErrorInColumn => "error_in_column",
            Fault::NotIncreasing => "not_increasing",
            Fault::Empty => "empty",
            Fault::TableFull => "table_full",
        }
    }
}

// === impl Walk ===

impl Walk {
    /// A walk over `columns` that takes at most `rows_max` rows of each.
    pub fn new(columns: &[Column], rows_max: u32) -> Walk {
        let cursor = |&column: &Column| {
            let base = column.oid();
            Cursor { column, last: base.clone(), base, rows: 0, is_done: false }
        };
        let cursors: Vec<Cursor> = columns.iter().map(cursor).collect();
        let width = cursors.len().max(1);
        Walk { cursors, rows_max, asked: Vec::new(), width }
    }

    /// The next request; none where all columns have ended. `rows` is how many rows the table is
    /// known to have: what is behind them is not asked for.
    pub fn request(
        &mut self,
        method: Method,
        repetitions: u32,
        rows: Option<u32>,
    ) -> Option<Request> {
        let open = |(i, cursor): (usize, &Cursor)| (!cursor.is_done).then_some(i);
        self.asked = self.cursors.iter().enumerate().filter_map(open).take(self.width).collect();
        if self.asked.is_empty() {
            return None;
        }
        let scalars = [mib::UPTIME, mib::TABLE_CHANGE].into_iter().map(Oid::from);
        let places = self.asked.iter().map(|&i| self.cursors[i].last.clone());
        let oids = scalars.chain(places).collect();
        if method == Method::Next {
            return Some(Request::GetNext(oids));
        }
        let got = self.asked.iter().map(|&i| self.cursors[i].rows).min().unwrap_or(0);
        // One more than there should be says that there are no more.
        let left = rows.map_or(u32::MAX, |rows| rows.saturating_sub(got).saturating_add(1));
        let max_repetitions = repetitions.min(left).max(1);
        Some(Request::GetBulk { non_repeaters: SCALARS as u32, max_repetitions, oids })
    }

    /// Takes an answer to the request that `request` gave last. What is right in it counts, also
    /// where something is not.
    pub fn take(
        &mut self,
        response: &Response,
        method: Method,
        cells: &mut Vec<Cell>,
    ) -> (Scalars, Result<(), Fault>) {
        if response.error_status != 0 {
            return (Scalars::default(), Err(self.error(response)));
        }
        let scalars = scalars(response);
        let rows = response.binds.get(SCALARS..).unwrap_or_default();
        let mut fault = if rows.is_empty() { Some(Fault::Empty) } else { None };
        // A column that has gone wrong in this answer: its later binds are as wrong.
        let mut broken = vec![false; self.asked.len()];
        for (i, bind) in rows.iter().enumerate() {
            let at = i % self.asked.len();
            let cursor = &mut self.cursors[self.asked[at]];
            if broken[at] || cursor.is_done {
                continue;
            }
            match cursor.take(&bind.oid, &bind.value, self.rows_max, cells) {
                Took::Row => {}
                Took::End => cursor.is_done = true,
                Took::Fault(what) => {
                    broken[at] = true;
                    // Asked row by row it would answer the same again.
                    cursor.is_done = method == Method::Next || what == Fault::TableFull;
                    fault = fault.or(Some(what));
                }
            }
        }
        (scalars, fault.map_or(Ok(()), Err))
    }

    fn error(&mut self, response: &Response) -> Fault {
        if response.error_status == TOO_BIG {
            return Fault::TooBig;
        }
        let index = response.error_index as usize;
        match index.checked_sub(1 + SCALARS).and_then(|at| self.asked.get(at)) {
            Some(&i) => {
                self.cursors[i].is_done = true;
                Fault::ErrorInColumn
            }
            None => Fault::Error,
        }
    }

    /// Asks for half as many columns at once; where that was one, it is left out.
    pub fn narrow(&mut self) {
        match self.asked.as_slice() {
            [only] => self.cursors[*only].is_done = true,
            asked => self.width = (asked.len() / 2).max(1),
        }
    }

    /// Leaves out what the last request asked for: the agent will not answer it.
    pub fn give_up(&mut self) {
        for &i in &self.asked {
            self.cursors[i].is_done = true;
        }
    }

    /// Columns that had no row at all.
    pub fn absent(&self) -> impl Iterator<Item = Column> {
        self.cursors.iter().filter(|c| c.is_done && c.rows == 0).map(|cursor| cursor.column)
    }

    pub fn is_done(&self) -> bool {
        self.cursors.iter().all(|cursor| cursor.is_done)
    }
}

// === impl Cursor ===

impl Cursor {
    fn take(&mut self, oid: &Oid, value: &Value, rows_max: u32, cells: &mut Vec<Cell>) -> Took {
        let Some(index) = oid.under(&self.base).filter(|_| value.is_there()) else {
            return Took::End;
        };
        if *oid <= self.last {
            return Took::Fault(Fault::NotIncreasing);
        }
        if self.rows >= rows_max {
            return Took::Fault(Fault::TableFull);
        }
        self.last = oid.clone();
        self.rows += 1;
        if let [index] = *index {
            cells.push(Cell { column: self.column, index, value: value.clone() });
        }
        Took::Row
    }
}

/// What stands in front of the rows. An agent without the second gives what comes next instead.
fn scalars(response: &Response) -> Scalars {
    let of = |at: usize, base: &[u32]| {
        let bind = response.binds.get(at).filter(|bind| bind.oid.0 == [base, &[0]].concat())?;
        match bind.value {
            Value::TimeTicks(ticks) => Some(ticks),
            _ => None,
        }
    };
    Scalars { uptime: of(0, mib::UPTIME), table_change: of(1, mib::TABLE_CHANGE) }
}
