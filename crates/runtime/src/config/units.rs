//! Times and sizes as people write them, for `#[serde(with = "runtime::config::units::duration")]`.

/// `20s`, `1h 30m`, `200ms`.
pub mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map_err(|e| D::Error::custom(format!("`{text}` is not a time such as `20s`: {e}")))
    }
}

/// `256KiB`, `4MiB`, `1GiB`, or a plain number of bytes.
pub mod bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const UNITS: [(&str, u32); 5] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

    pub fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        let fits = |shift: &u32| value.trailing_zeros() >= *shift;
        let unit = UNITS.iter().find(|(_, shift)| *value > 0 && fits(shift));
        match unit {
            Some((name, shift)) => {
                serializer.collect_str(&format_args!("{}{name}", value >> shift))
            }
            None => serializer.collect_str(&format_args!("{value}B")),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is not a size such as `256KiB`")))
    }

    fn parse(text: &str) -> Option<u64> {
        let (digits, shift) = UNITS
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
            .unwrap_or((text, 0));
        digits.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
    }
}
