//! How a rule names its models: a word, or a word with parameters.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    Level, LevelParams, Model, Silence, SilenceParams, SynFlood, SynFloodParams, Threshold,
    ThresholdParams, Window,
};

/// The models by name. `Row` is no `Model`: it judges rows without a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModelKind {
    Threshold,
    Level,
    SynFlood,
    Silence,
    Row,
}

/// A model with its parameters, as a rule names it.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelSpec {
    Threshold(ThresholdParams),
    Level(LevelParams),
    SynFlood(SynFloodParams),
    Silence(SilenceParams),
}

/// A parameter that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("model {model}: {reason}")]
pub struct ParamError {
    pub model: &'static str,
    pub reason: &'static str,
}

const NAMES: [&str; 4] = ["threshold", "level", "syn-flood", "silence"];

impl ModelKind {
    pub fn as_str(self) -> &'static str {
        match self {
            ModelKind::Threshold => "threshold",
            ModelKind::Level => "level",
            ModelKind::SynFlood => "syn-flood",
            ModelKind::Silence => "silence",
            ModelKind::Row => "row",
        }
    }
}

// === impl ModelSpec ===

impl ModelSpec {
    pub fn kind(&self) -> ModelKind {
        match self {
            ModelSpec::Threshold(_) => ModelKind::Threshold,
            ModelSpec::Level(_) => ModelKind::Level,
            ModelSpec::SynFlood(_) => ModelKind::SynFlood,
            ModelSpec::Silence(_) => ModelKind::Silence,
        }
    }

    /// The model, for windows like this one.
    pub fn build(&self, window: Window) -> Box<dyn Model> {
        match self.clone() {
            ModelSpec::Threshold(params) => Box::new(Threshold::new(params, window.every_ms)),
            ModelSpec::Level(params) => Box::new(Level::new(params)),
            ModelSpec::SynFlood(params) => {
                Box::new(SynFlood::new(params, window.end_ms - window.start_ms))
            }
            ModelSpec::Silence(params) => Box::new(Silence::new(params)),
        }
    }

    pub fn check(&self) -> Result<(), ParamError> {
        let model = self.kind().as_str();
        let need = |holds: bool, reason| match holds {
            true => Ok(()),
            false => Err(ParamError { model, reason }),
        };
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let probability = |p: f64| p > 0.0 && p < 1.0;
        match self {
            ModelSpec::Threshold(p) => {
                let limits = [p.above, p.below];
                need(limits.iter().any(Option::is_some), "say above or below")?;
                need(limits.iter().flatten().all(|l| l.is_finite()), "a limit is a number")?;
                need(p.margin >= 0.0, "margin is at least 0")
            }
            ModelSpec::Level(p) => {
                need(probability(p.tail), "tail is a probability, above 0 and below 1")?;
                need(p.sustain >= 1 && p.clear >= 1, "sustain and clear are at least 1")?;
                need(p.warmup >= 20, "warmup is at least 20 points")?;
                need(p.floor >= 0.0 && p.floor.is_finite(), "floor is at least 0")
            }
            ModelSpec::SynFlood(p) => {
                need(positive(p.rate_min), "rate-min is above 0")?;
                need(probability(p.tail), "tail is a probability, above 0 and below 1")?;
                need(p.share_min > 0.0 && p.share_min <= 1.0, "share-min is above 0, at most 1")?;
                need(p.times_usual >= 1.0, "times-usual is at least 1")?;
                need(p.clear >= 1, "clear is at least 1")
            }
            ModelSpec::Silence(p) => {
                need(probability(p.tail), "tail is a probability, above 0 and below 1")?;
                need(p.windows_min >= 1 && p.warmup >= 1, "windows-min and warmup are at least 1")
            }
        }
    }
}

impl<'de> Deserialize<'de> for ModelSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ModelSpec, D::Error> {
        deserializer.deserialize_any(SpecVisitor)
    }
}

struct SpecVisitor;

impl<'de> Visitor<'de> for SpecVisitor {
    type Value = ModelSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a model ({}), or one with parameters", NAMES.join(", "))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<ModelSpec, E> {
        Ok(match name {
            "threshold" => ModelSpec::Threshold(ThresholdParams::default()),
            "level" => ModelSpec::Level(LevelParams::default()),
            "syn-flood" => ModelSpec::SynFlood(SynFloodParams::default()),
            "silence" => ModelSpec::Silence(SilenceParams::default()),
            _ => return Err(E::unknown_variant(name, &NAMES)),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ModelSpec, A::Error> {
        let Some(name) = map.next_key::<String>()? else {
            return Err(de::Error::custom("an empty map names no model"));
        };
        let spec = match name.as_str() {
            "threshold" => ModelSpec::Threshold(map.next_value()?),
            "level" => ModelSpec::Level(map.next_value()?),
            "syn-flood" => ModelSpec::SynFlood(map.next_value()?),
            "silence" => ModelSpec::Silence(map.next_value()?),
            _ => return Err(de::Error::unknown_variant(&name, &NAMES)),
        };
        match map.next_key::<String>()? {
            None => Ok(spec),
            Some(_) => Err(de::Error::custom("one model an entry of the list")),
        }
    }
}

impl Serialize for ModelSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        let name = self.kind().as_str();
        match self {
            ModelSpec::Threshold(params) => map.serialize_entry(name, params)?,
            ModelSpec::Level(params) => map.serialize_entry(name, params)?,
            ModelSpec::SynFlood(params) => map.serialize_entry(name, params)?,
            ModelSpec::Silence(params) => map.serialize_entry(name, params)?,
        }
        map.end()
    }
}
