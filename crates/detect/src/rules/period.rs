//! Lengths of time as rules write them: `500ms`, `10s`, `5m`, `1h`, `7d`, `5 minutes`.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time in milliseconds, at most a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(i64);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a length of time: {0:?} (write 500ms, 10s, 5m, 1h or 7d, at most a year)")]
pub struct BadPeriod(String);

const YEAR_MS: i64 = 366 * 86_400_000;

impl Period {
    pub const fn from_ms(ms: i64) -> Period {
        Period(ms)
    }

    pub const fn ms(self) -> i64 {
        self.0
    }
}

fn unit_ms(unit: &str) -> Option<i64> {
    Some(match unit {
        "ms" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "second" | "seconds" => 1000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return None,
    })
}

impl FromStr for Period {
    type Err = BadPeriod;

    fn from_str(text: &str) -> Result<Period, BadPeriod> {
        let bad = || BadPeriod(text.chars().take(40).collect());
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = trimmed.split_at(digits);
        let number: i64 = number.parse().map_err(|_| bad())?;
        let ms = unit_ms(unit.trim()).and_then(|unit| number.checked_mul(unit)).ok_or_else(bad)?;
        if ms > YEAR_MS { Err(bad()) } else { Ok(Period(ms)) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
        let unit = units.into_iter().find(|(ms, _)| self.0 != 0 && self.0 % ms == 0);
        let (ms, name) = unit.unwrap_or((1, "ms"));
        write!(f, "{}{name}", self.0 / ms)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Period, D::Error> {
        deserializer.deserialize_str(PeriodVisitor)
    }
}

struct PeriodVisitor;

impl Visitor<'_> for PeriodVisitor {
    type Value = Period;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time such as 10s, 5m or 1h")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
        text.parse().map_err(E::custom)
    }
}
