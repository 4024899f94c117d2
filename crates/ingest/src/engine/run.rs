//! Runs a program over the records of one data set: per operation one loop over the records,
//! specialised by width, then what follows from the columns (sampling, times, notes).

use super::batch::{Columns, Value};
use super::element::{Target, TimeCol, TimeForm, U8Col, U16Col, U32Col, U64Col};
use super::program::{CopyOp, Place, Program};
use super::sampling::{self, Samplers};
use super::wire::{is_zero, uint};

/// Bits of the column `notes`, see `schemas/flows.toml`.
pub mod note {
    pub const RATE_UNKNOWN: u32 = 1;
    pub const TIME_AHEAD: u32 = 2;
    pub const TIME_BEHIND: u32 = 4;
    pub const TIME_NO_BASE: u32 = 8;
    pub const UNFIT: u32 = 16;
    pub const WAITED: u32 = 32;
}

/// A device's time that is further ahead of the receive time than this is noted.
const AHEAD_MS: i64 = 60_000;
/// ... or further behind: flows are exported after active timeouts of up to half an hour.
const BEHIND_MS: i64 = 86_400_000;
/// From 1900, where NTP begins, to 1970 (RFC 868).
const NTP_UNIX_S: i64 = 2_208_988_800;

/// What the message says of all its records.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    pub received: i64,
    pub exporter: i128,
    pub domain: u32,
    pub version: u8,
    pub template: Option<u16>,
    pub export_ms: i64,
    /// The device's sysUpTime at `export_ms`.
    pub uptime: Option<u32>,
    /// When the device's sysUpTime was zero, as an options record said.
    pub system_init: Option<i64>,
    /// The sampling rate in a v5 header.
    pub header_rate: Option<u32>,
    pub waited: bool,
}

/// Some records of one length, one behind the other.
#[derive(Clone, Copy)]
struct Records<'a> {
    data: &'a [u8],
    stride: usize,
    count: usize,
}

/// Where each field of a record of variable length is; nothing where the program's places hold.
type Places<'a> = Option<&'a [(usize, usize)]>;

/// A program at work on one set.
pub struct Run<'a> {
    pub program: &'a Program,
    pub context: Context,
    pub samplers: &'a Samplers,
}

/// Rates of the records of a run; 0 is not known.
enum Rates {
    Same(u32),
    Each(Vec<u32>),
}

// === impl Records ===

impl<'a> Records<'a> {
    fn each(self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.data.chunks_exact(self.stride).take(self.count)
    }

    /// The field at `offset`, which with its `W` bytes lies within the record.
    #[inline]
    fn field<const W: usize>(self, offset: usize) -> impl ExactSizeIterator<Item = [u8; W]> + 'a {
        let from = self.data.get(offset..).unwrap_or_default();
        from.chunks(self.stride).map(|record| record.first_chunk::<W>().copied().unwrap_or([0; W]))
    }

    fn bytes(self, offset: usize, len: usize) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.each().map(move |record| slice(record, offset, len))
    }
}

fn slice(record: &[u8], offset: usize, len: usize) -> &[u8] {
    record.get(offset..).and_then(|rest| rest.get(..len)).unwrap_or_default()
}

/// An IPv4 address as the column keeps it (RFC 4291 §2.5.5.2).
#[inline]
fn mapped([a, b, c, d]: [u8; 4]) -> i128 {
    i128::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
}

macro_rules! copy_uint {
    ($column:expr, $row:expr, $records:expr, $offset:expr, $len:expr, $type:ty) => {{
        let (column, row, records, offset) = (&mut $column, $row, $records, $offset);
        match $len {
            1 => column.extend(row, records.field::<1>(offset).map(|[v]| <$type>::from(v))),
            2 => {
                let values = records.field::<2>(offset).map(u16::from_be_bytes);
                column.extend(row, values.map(<$type>::from));
            }
            len => {
                let values = records.bytes(offset, len);
                column.extend(row, values.map(|b| uint(b).unwrap_or(0) as $type));
            }
        }
    }};
}

// === impl Run ===

impl Run<'_> {
    /// Records of fixed length: `data` holds `count` of them.
    pub fn fixed(&self, data: &[u8], count: usize, out: &mut Columns) {
        let records = Records { data, stride: self.program.stride, count };
        self.records(records, None, out);
    }

    /// One record whose fields are where `places` says.
    pub fn variable(&self, record: &[u8], places: &[(usize, usize)], out: &mut Columns) {
        let records = Records { data: record, stride: record.len().max(1), count: 1 };
        self.records(records, Some(places), out);
    }

    fn records(&self, records: Records, places: Places, out: &mut Columns) {
        let row = out.rows;
        self.header(row, records.count, out);
        let mut unfit = false;
        for copy in &self.program.copies {
            let (offset, len) = span(copy.place, places);
            if len > 0 {
                unfit |= self.copy(copy, records, (offset, len), places, out);
            }
        }
        self.icmp(records, places, out);
        self.labels(records, places, out);
        let program = self.program;
        if unfit || !program.extras.is_empty() || !program.alternates.is_empty() {
            self.extras(records, places, unfit, out);
        }
        let rates = self.rates(records, places, out);
        rates.apply(row, records.count, out);
        self.check_times(row, records.count, out);
        out.rows += records.count;
    }

    /// Columns that are the same for all records of the set.
    fn header(&self, row: usize, n: usize, out: &mut Columns) {
        use super::element::AddrCol;
        let context = &self.context;
        out.times[TimeCol::Received as usize].fill(row, n, context.received);
        out.addrs[AddrCol::Exporter as usize].fill(row, n, context.exporter);
        out.u32s[U32Col::ObservationDomain as usize].fill(row, n, context.domain);
        out.u8s[U8Col::ExportVersion as usize].fill(row, n, context.version);
        if let Some(template) = context.template {
            out.u16s[U16Col::Template as usize].fill(row, n, template);
        }
        let notes = if context.waited { note::WAITED } else { 0 };
        out.u32s[U32Col::Notes as usize].fill(row, n, notes);
    }

    /// True where a record's value did not fit its column.
    fn copy(
        &self,
        op: &CopyOp,
        records: Records,
        (offset, len): (usize, usize),
        places: Places,
        out: &mut Columns,
    ) -> bool {
        let based = self.context.uptime.is_some()
            || self.context.system_init.is_some() && self.program.system_init.is_none();
        let needs_base = matches!(op.target, Target::Time(_, TimeForm::Uptime));
        if !op.target.is_plain(len) || needs_base && !based {
            return self.copy_checked(op, records, places, out);
        }
        let row = out.rows;
        match op.target {
            Target::U8(c) => {
                out.u8s[c as usize].extend(row, records.field::<1>(offset).map(|[v]| v));
            }
            Target::U16(c) => copy_uint!(out.u16s[c as usize], row, records, offset, len, u16),
            Target::U32(c) if len == 4 => {
                let values = records.field::<4>(offset).map(u32::from_be_bytes);
                out.u32s[c as usize].extend(row, values);
            }
            Target::U32(c) => copy_uint!(out.u32s[c as usize], row, records, offset, len, u32),
            Target::U64(c) if len == 4 => {
                let values = records.field::<4>(offset).map(u32::from_be_bytes);
                out.u64s[c as usize].extend(row, values.map(u64::from));
            }
            Target::U64(c) if len == 8 => {
                let values = records.field::<8>(offset).map(u64::from_be_bytes);
                out.u64s[c as usize].extend(row, values);
            }
            Target::U64(c) => copy_uint!(out.u64s[c as usize], row, records, offset, len, u64),
            Target::Addr4(c) => {
                out.addrs[c as usize].extend(row, records.field::<4>(offset).map(mapped))
            }
            Target::Addr16(c) => {
                let values = records.field::<16>(offset).map(i128::from_ne_bytes);
                out.addrs[c as usize].extend(row, values);
            }
            Target::Mac(c) => out.macs[c as usize].extend(row, records.field::<6>(offset)),
            Target::Time(c, form) => self.copy_time(c, form, records, offset, out),
        }
        false
    }

    /// Times whose every value can be told; a sysUpTime has a base here.
    fn copy_time(
        &self,
        col: TimeCol,
        form: TimeForm,
        records: Records,
        offset: usize,
        out: &mut Columns,
    ) {
        let (row, context) = (out.rows, &self.context);
        let column = &mut out.times[col as usize];
        let export_ms = context.export_ms;
        let words = || records.field::<4>(offset).map(u32::from_be_bytes);
        let longs = || records.field::<8>(offset).map(u64::from_be_bytes);
        match (form, context.uptime) {
            (TimeForm::Uptime, Some(uptime)) => {
                column.extend(row, words().map(|t| before(export_ms, uptime, t)));
            }
            (TimeForm::Uptime, None) => {
                let init = context.system_init.unwrap_or_default();
                column.extend(row, words().map(|t| init.saturating_add(i64::from(t))));
            }
            (TimeForm::Seconds, _) => column.extend(row, words().map(|s| i64::from(s) * 1000)),
            (TimeForm::MicrosBefore, _) => {
                column.extend(row, words().map(|us| export_ms - i64::from(us / 1000)));
            }
            (TimeForm::Millis, _) => {
                column.extend(row, longs().map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)));
            }
            (TimeForm::Ntp, _) => column.extend(row, longs().map(ntp_ms)),
        }
    }

    /// Value by value, for lengths at which a value may not fit and for times without a base.
    fn copy_checked(
        &self,
        op: &CopyOp,
        records: Records,
        places: Places,
        out: &mut Columns,
    ) -> bool {
        let mut unfit = false;
        for (i, record) in records.each().enumerate() {
            let row = out.rows + i;
            match self.value(op.target, at(record, op.place, places), record, places) {
                Ok(value) => out.put(row, op.target, value),
                Err(bit) => {
                    unfit = true;
                    add_note(out, row, bit);
                }
            }
        }
        unfit
    }

    /// What a field's bytes are in its column, or the bit that says why they are not.
    fn value(
        &self,
        target: Target,
        bytes: &[u8],
        record: &[u8],
        places: Places,
    ) -> Result<Value, u32> {
        let fit = |max: u64| match uint(bytes) {
            Some(value) if value <= max => Ok(Value::Uint(value)),
            _ => Err(note::UNFIT),
        };
        match target {
            Target::U8(_) => fit(u64::from(u8::MAX)),
            Target::U16(_) => fit(u64::from(u16::MAX)),
            Target::U32(_) => fit(u64::from(u32::MAX)),
            Target::U64(_) => fit(u64::MAX),
            Target::Addr4(_) => {
                bytes.try_into().map(|b| Value::Addr(mapped(b))).map_err(|_| note::UNFIT)
            }
            Target::Addr16(_) => {
                let address = bytes.try_into().map_err(|_| note::UNFIT)?;
                Ok(Value::Addr(i128::from_ne_bytes(address)))
            }
            Target::Mac(_) => bytes.try_into().map(Value::Mac).map_err(|_| note::UNFIT),
            Target::Time(_, form) => self.instant(form, bytes, record, places).map(Value::Time),
        }
    }

    fn instant(
        &self,
        form: TimeForm,
        bytes: &[u8],
        record: &[u8],
        places: Places,
    ) -> Result<i64, u32> {
        let number = uint(bytes).ok_or(note::UNFIT)?;
        let wide = bytes.len() > 4;
        match form {
            TimeForm::Ntp if bytes.len() == 8 => Ok(ntp_ms(number)),
            TimeForm::Ntp => Err(note::UNFIT),
            TimeForm::Millis => Ok(i64::try_from(number).unwrap_or(i64::MAX)),
            TimeForm::Seconds => Ok(i64::try_from(number).unwrap_or(i64::MAX).saturating_mul(1000)),
            TimeForm::MicrosBefore if wide => Err(note::UNFIT),
            TimeForm::MicrosBefore => Ok(self.context.export_ms - (number / 1000) as i64),
            TimeForm::Uptime if wide => Err(note::UNFIT),
            TimeForm::Uptime => self.uptime_instant(number as u32, record, places),
        }
    }

    fn uptime_instant(&self, t: u32, record: &[u8], places: Places) -> Result<i64, u32> {
        if let Some(uptime) = self.context.uptime {
            return Ok(before(self.context.export_ms, uptime, t));
        }
        let own = self.program.system_init.and_then(|place| uint(at(record, place, places)));
        let own = own.and_then(|ms| i64::try_from(ms).ok());
        let init = own.or(self.context.system_init).ok_or(note::TIME_NO_BASE)?;
        Ok(init.saturating_add(i64::from(t)))
    }

    fn icmp(&self, records: Records, places: Places, out: &mut Columns) {
        let Some((kind, code)) = self.program.icmp else {
            return;
        };
        let (kind, code) = (span(kind, places).0, span(code, places).0);
        let pairs = records.field::<1>(kind).zip(records.field::<1>(code));
        let values = pairs.map(|([kind], [code])| u16::from_be_bytes([kind, code]));
        out.u16s[U16Col::IcmpTypeCode as usize].extend(out.rows, values);
    }

    /// RFC 3032 §2.1: 20 bits of label, 3 of traffic class, and the bottom-of-stack bit, which ends
    /// the stack. So does a section of zeros: exporters fill the unused ones with it.
    fn labels(&self, records: Records, places: Places, out: &mut Columns) {
        if self.program.labels.is_empty() {
            return;
        }
        for (i, record) in records.each().enumerate() {
            let mut stack = [0u32; 10];
            let mut depth = 0;
            for place in self.program.labels.iter().take(10) {
                let (offset, len) = span(*place, places);
                let [a, b, c, ..] = *slice(record, offset, len) else {
                    break;
                };
                let section = u32::from_be_bytes([0, a, b, c]);
                if section == 0 {
                    break;
                }
                stack[depth] = section >> 4;
                depth += 1;
                if section & 1 == 1 {
                    break;
                }
            }
            out.labels.push(out.rows + i, &stack[..depth]);
        }
    }

    /// Row by row: alternates, elements without a column, values that did not fit theirs.
    fn extras(&self, records: Records, places: Places, unfit: bool, out: &mut Columns) {
        for (i, record) in records.each().enumerate() {
            let row = out.rows + i;
            for alternate in &self.program.alternates {
                let bytes = at(record, alternate.place, places);
                if is_zero(bytes) {
                    continue;
                }
                let free = is_zero(at(record, alternate.primary, places));
                match self.value(alternate.target, bytes, record, places) {
                    Ok(value) if free => out.put(row, alternate.target, value),
                    _ => self.keep(alternate.place, bytes, row, out),
                }
            }
            for &place in &self.program.extras {
                self.keep(place, at(record, place, places), row, out);
            }
            if unfit {
                self.keep_unfit(record, places, row, out);
            }
        }
    }

    fn keep_unfit(&self, record: &[u8], places: Places, row: usize, out: &mut Columns) {
        for copy in &self.program.copies {
            let bytes = at(record, copy.place, places);
            if !bytes.is_empty() && self.value(copy.target, bytes, record, places).is_err() {
                self.keep(copy.place, bytes, row, out);
            }
        }
    }

    /// Into `extra`: enterprise, element, length, value.
    fn keep(&self, place: Place, bytes: &[u8], row: usize, out: &mut Columns) {
        let (Some(field), false) = (self.program.fields.get(place.index), bytes.is_empty()) else {
            return;
        };
        let mut head = [0u8; 8];
        head[..4].copy_from_slice(&field.enterprise.to_be_bytes());
        head[4..6].copy_from_slice(&field.id.to_be_bytes());
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        head[6..].copy_from_slice(&len.to_be_bytes());
        out.extra.append(row, [&head, bytes]);
    }

    /// The record's own rate, else that of its sampler or interface, else the domain's.
    fn rates(&self, records: Records, places: Places, out: &Columns) -> Rates {
        if let Some(rate) = self.context.header_rate {
            return Rates::Same(rate);
        }
        let own = &self.program.rate;
        let by_interface = self.program.has_in_if && self.samplers.has_interfaces();
        if !own.any() && !self.program.has_sampler && !by_interface {
            return Rates::Same(self.samplers.default_rate().unwrap_or(0));
        }
        let samplers = &out.u64s[U64Col::Sampler as usize];
        let interfaces = &out.u32s[U32Col::InIf as usize];
        let rate = |(i, record): (usize, &[u8])| {
            let row = out.rows + i;
            let number = |place: Place| uint(at(record, place, places));
            let pair =
                |pair: Option<(Place, Place)>| pair.and_then(|(a, b)| number(a).zip(number(b)));
            let interval = own.interval.and_then(number);
            let told = sampling::rate(interval, pair(own.packets), pair(own.population));
            let looked_up = || self.samplers.rate(samplers.get(row), interfaces.get(row));
            told.or_else(looked_up).unwrap_or(0)
        };
        Rates::Each(records.each().enumerate().map(rate).collect())
    }

    fn check_times(&self, row: usize, n: usize, out: &mut Columns) {
        let ahead = self.context.received.saturating_add(AHEAD_MS);
        let behind = self.context.received.saturating_sub(BEHIND_MS);
        for col in [TimeCol::First, TimeCol::Last] {
            let column = &out.times[col as usize];
            let notes = &mut out.u32s[U32Col::Notes as usize];
            let check = |time: i64| {
                u32::from(time > ahead) * note::TIME_AHEAD
                    | u32::from(time < behind) * note::TIME_BEHIND
            };
            match column.tail(row) {
                Some(times) if times.len() == n => {
                    let notes = notes.tail_mut(row).iter_mut();
                    notes.zip(times).for_each(|(note, &time)| *note |= check(time));
                }
                _ => {
                    let notes = notes.tail_mut(row).iter_mut();
                    let times = (row..).map(|row| column.get(row));
                    notes.zip(times).for_each(|(n, t)| *n |= t.map_or(0, check));
                }
            }
        }
    }
}

// === impl Rates ===

impl Rates {
    fn apply(&self, row: usize, n: usize, out: &mut Columns) {
        match self {
            Rates::Same(0) => {
                let notes = out.u32s[U32Col::Notes as usize].tail_mut(row);
                notes.iter_mut().for_each(|bits| *bits |= note::RATE_UNKNOWN);
            }
            Rates::Same(rate) => out.u32s[U32Col::SamplingRate as usize].fill(row, n, *rate),
            Rates::Each(rates) => {
                for (i, &rate) in rates.iter().enumerate() {
                    if rate == 0 {
                        add_note(out, row + i, note::RATE_UNKNOWN);
                    } else {
                        out.u32s[U32Col::SamplingRate as usize].put(row + i, rate);
                    }
                }
            }
        }
        self.scale(U64Col::Bytes, U64Col::BytesScaled, row, n, out);
        self.scale(U64Col::Packets, U64Col::PacketsScaled, row, n, out);
    }

    fn scale(&self, from: U64Col, to: U64Col, row: usize, n: usize, out: &mut Columns) {
        let source = std::mem::take(&mut out.u64s[from as usize]);
        let scaled = &mut out.u64s[to as usize];
        match (self, source.tail(row)) {
            (Rates::Same(rate), Some(values)) if values.len() == n => {
                let rate = u64::from((*rate).max(1));
                scaled.extend(row, values.iter().map(|value| value.saturating_mul(rate)));
            }
            _ => {
                for i in 0..n {
                    if let Some(value) = source.get(row + i) {
                        scaled.put(row + i, value.saturating_mul(self.of(i)));
                    }
                }
            }
        }
        out.u64s[from as usize] = source;
    }

    /// What to multiply record `i` by: 1 where the rate is not known.
    fn of(&self, i: usize) -> u64 {
        let rate = match self {
            Rates::Same(rate) => *rate,
            Rates::Each(rates) => rates.get(i).copied().unwrap_or(0),
        };
        u64::from(rate.max(1))
    }
}

fn add_note(out: &mut Columns, row: usize, bit: u32) {
    if let Some(bits) = out.u32s[U32Col::Notes as usize].tail_mut(row).first_mut() {
        *bits |= bit;
    }
}

fn span(place: Place, places: Places) -> (usize, usize) {
    match places {
        None => (place.offset, place.len),
        Some(places) => places.get(place.index).copied().unwrap_or((0, 0)),
    }
}

fn at<'a>(record: &'a [u8], place: Place, places: Places) -> &'a [u8] {
    let (offset, len) = span(place, places);
    slice(record, offset, len)
}

/// The instant of sysUpTime `t`, the export's being `uptime`: the signed difference, so that a
/// counter that wrapped in between (every 49.7 days) does no harm.
#[inline]
fn before(export_ms: i64, uptime: u32, t: u32) -> i64 {
    export_ms + i64::from(t.wrapping_sub(uptime) as i32)
}

/// Milliseconds since 1970 of an NTP time. Seconds with the high bit clear are of the era that
/// begins in 2036 (RFC 4330 §3).
fn ntp_ms(ntp: u64) -> i64 {
    let seconds = (ntp >> 32) as i64;
    let era = if seconds < 1 << 31 { 1i64 << 32 } else { 0 };
    let millis = ((ntp & 0xffff_ffff) * 1000) >> 32;
    (seconds + era - NTP_UNIX_S) * 1000 + millis as i64
}
