//! Times as devices write them. A device's clock may be wrong and often lacks its year or zone, so
//! what is read here is kept beside the time of receipt and decides nothing.

/// A date and a time of day, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub year: Option<u16>,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub ms: u16,
    /// East of UTC, where it is written.
    pub offset_min: Option<i16>,
}

/// What stands where a time is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Date(Stamp),
    /// Time since the device's start (IOS: `00:00:46:`, `2d03h:`), which is no date.
    Uptime,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAY_MS: i64 = 86_400_000;

/// A value and what stands behind it.
type Read<'a, T> = Option<(T, &'a str)>;

// === impl Stamp ===

impl Stamp {
    /// Milliseconds since 1970. A missing year is the one that brings the stamp nearest to the time
    /// of receipt, a missing zone is UTC. `None` for a date that no calendar has.
    pub fn ms_since_1970(&self, received_ms: i64) -> Option<i64> {
        if let Some(year) = self.year {
            return self.in_year(i64::from(year));
        }
        let now = year_of(received_ms);
        let years = [now, now - 1, now + 1].into_iter();
        let times = years.filter_map(|year| self.in_year(year));
        times.min_by_key(|time| (time - received_ms).abs())
    }

    fn in_year(&self, year: i64) -> Option<i64> {
        if self.day > days_in(year, self.month)? {
            return None;
        }
        let seconds = (i64::from(self.hour) * 60 + i64::from(self.minute)) * 60;
        let of_day = (seconds + i64::from(self.second)) * 1000 + i64::from(self.ms);
        let offset = i64::from(self.offset_min.unwrap_or(0)) * 60_000;
        Some(day_number(year, self.month, self.day) * DAY_MS + of_day - offset)
    }
}

fn days_in(year: i64, month: u8) -> Option<u8> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if is_leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar: years begin in March, so that the leap day is
/// their last.
fn day_number(year: i64, month: u8, day: u8) -> i64 {
    let (month, day) = (i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + leaps + of_year - 719_468
}

fn year_of(ms: i64) -> i64 {
    let day = ms.div_euclid(DAY_MS);
    // The mean year is 365.2425 days; a year's first and last days may be guessed wrong by one.
    let guess = 1970 + day * 10_000 / 3_652_425;
    let starts = |year: i64| day_number(year, 1, 1);
    (guess - 1..=guess + 1).rev().find(|&year| starts(year) <= day).unwrap_or(guess)
}

/// The time at the start of a text, an IOS clock mark (`*` not set, `.` not in step) before it.
pub fn read(text: &str) -> Read<'_, When> {
    let text = text.strip_prefix(['*', '.']).unwrap_or(text);
    let first = *text.as_bytes().first()?;
    if first.is_ascii_alphabetic() {
        let (stamp, rest) = month_first(text)?;
        return Some((When::Date(stamp), rest));
    }
    if !first.is_ascii_digit() {
        return None;
    }
    let dated = year_first(text).map(|(stamp, rest)| (When::Date(stamp), rest));
    dated.or_else(|| uptime(text).map(|rest| (When::Uptime, rest)))
}

/// `Nov 26 10:00:00.123`, `Nov 26 2026 10:00:00`.
fn month_first(text: &str) -> Read<'_, Stamp> {
    let (month, rest) = month(text)?;
    let rest = rest.strip_prefix(' ')?.trim_start_matches(' ');
    let (day, rest) = number(rest, 2)?;
    let rest = rest.strip_prefix(' ')?.trim_start_matches(' ');
    let year = number(rest, 4).filter(|_| digits(rest) == 4);
    let year = year.and_then(|(year, behind)| Some((year, behind.strip_prefix(' ')?)));
    let (year, rest) = match year {
        Some((year, behind)) => (Some(year), behind.trim_start_matches(' ')),
        None => (None, rest),
    };
    clock(Stamp { year, month, day: u8::try_from(day).ok()?, ..MIDNIGHT }, rest)
}

/// `2026-11-26T10:00:00.123+01:00`, `2026-11-6 10:00:00.270.1`, `2026-Nov- 6 10:00:00`,
/// `2026 Nov 26 10:00:00`, `2026/11/26 10:00:00`.
fn year_first(text: &str) -> Read<'_, Stamp> {
    let (year, rest) = number(text, 4).filter(|_| digits(text) == 4)?;
    let mark = rest.chars().next().filter(|mark| matches!(mark, '-' | '/' | ' '))?;
    let rest = rest.strip_prefix(mark)?;
    let (month, rest) = match number(rest, 2) {
        Some((month, rest)) if mark != ' ' => (u8::try_from(month).ok()?, rest),
        _ => month(rest)?,
    };
    let (day, rest) = number(rest.strip_prefix(mark)?.trim_start_matches(' '), 2)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?.trim_start_matches(' ');
    let stamp = Stamp { year: Some(year), month, day: u8::try_from(day).ok()?, ..MIDNIGHT };
    let (stamp, rest) = clock(stamp, rest)?;
    Some(offset(stamp, rest))
}

const MIDNIGHT: Stamp =
    Stamp { year: None, month: 1, day: 1, hour: 0, minute: 0, second: 0, ms: 0, offset_min: None };

/// The time of day behind a date, with its fractions; both must exist. Huawei writes a second
/// fraction, which counts messages.
fn clock(date: Stamp, text: &str) -> Read<'_, Stamp> {
    let (hour, rest) = number(text, 2)?;
    let (minute, rest) = number(rest.strip_prefix(':')?, 2)?;
    let (second, mut rest) = number(rest.strip_prefix(':')?, 2)?;
    let mut ms = None;
    while let Some(behind) = rest.strip_prefix(['.', ',']).filter(|behind| digits(behind) > 0) {
        ms = ms.or_else(|| Some(thousandths(behind)));
        rest = behind.get(digits(behind)..)?;
    }
    let in_day = hour < 24 && minute < 60 && second <= 60;
    let in_year = (1..=12).contains(&date.month) && (1..=31).contains(&date.day);
    let small = |value: u16| u8::try_from(value).ok();
    let (hour, minute, second) = (small(hour)?, small(minute)?, small(second)?);
    let stamp = Stamp { hour, minute, second, ms: ms.unwrap_or(0), ..date };
    (in_day && in_year).then_some((stamp, rest))
}

fn thousandths(text: &str) -> u16 {
    let digits = text.bytes().map_while(|byte| byte.is_ascii_digit().then(|| byte - b'0'));
    digits.chain([0; 3]).take(3).fold(0, |ms, digit| ms * 10 + u16::from(digit))
}

/// `Z`, `+01:00`, `-0500` behind a time.
fn offset(stamp: Stamp, text: &str) -> (Stamp, &str) {
    if let Some(rest) = text.strip_prefix(['Z', 'z']) {
        return (Stamp { offset_min: Some(0), ..stamp }, rest);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let found = text.strip_prefix(['+', '-']).and_then(|rest| {
        let (hours, rest) = number(rest, 2)?;
        let (minutes, rest) = number(rest.strip_prefix(':').unwrap_or(rest), 2)?;
        let minutes = i16::try_from(hours * 60 + minutes).ok().filter(|_| minutes < 60)?;
        Some((Stamp { offset_min: Some(sign * minutes), ..stamp }, rest))
    });
    found.unwrap_or((stamp, text))
}

/// `00:00:46` or `2d03h`, with the colon behind it that IOS writes; what is left begins there.
fn uptime(text: &str) -> Option<&str> {
    let rest = match number(text, 3)? {
        (_, rest) if rest.starts_with(':') => {
            let (_, rest) = number(rest.strip_prefix(':')?, 2)?;
            number(rest.strip_prefix(':')?, 2)?.1
        }
        (_, rest) => {
            let (_, rest) = number(rest.strip_prefix(['y', 'w', 'd', 'h'])?, 2)?;
            rest.strip_prefix(['w', 'd', 'h', 'm'])?
        }
    };
    rest.starts_with(':').then_some(rest)
}

fn month(text: &str) -> Read<'_, u8> {
    let name = text.get(..3)?;
    let place = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    Some((u8::try_from(place + 1).ok()?, text.get(3..)?))
}

/// How many digits a text begins with.
pub fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// A number of at most so many digits.
fn number(text: &str, digits_max: usize) -> Read<'_, u16> {
    let (number, rest) = text.split_at_checked(digits(text).min(digits_max))?;
    Some((number.parse().ok()?, rest))
}
