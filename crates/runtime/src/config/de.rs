//! The tree as a serde deserializer. An error gets the place of the nearest value that failed, and
//! an unknown key or variant the nearest known one.

use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::diagnostic::{ConfigError, Diagnostic, Place};
use super::node::{Key, Kind, Node, Scalar, Style};
use super::scalar::{Resolved, resolve};
use super::suggest;

pub(super) fn from_node<T: DeserializeOwned>(tree: &Node) -> Result<T, ConfigError> {
    T::deserialize(tree).map_err(|e| e.at(&tree.place, tree).diagnostic().into())
}

/// An error on its way up to the first place that it can name.
#[derive(Debug)]
pub(super) struct Error {
    what: What,
    place: Option<Place>,
}

#[derive(Debug)]
enum What {
    Message(String),
    UnknownKey { name: String, known: &'static [&'static str] },
    UnknownVariant { name: String, known: &'static [&'static str] },
    Missing(&'static str),
}

struct Map<'a> {
    entries: std::slice::Iter<'a, (Key, Node)>,
    value: Option<&'a (Key, Node)>,
}

struct Sequence<'a>(std::slice::Iter<'a, Node>);

struct Enum<'a> {
    name: &'a str,
    name_place: &'a Place,
    value: Option<&'a Node>,
}

// === impl Error ===

impl Error {
    /// Keeps the first place it was given. Where an error came through a buffer (a tagged enum),
    /// the name itself is looked for below `within`.
    fn at(mut self, place: &Place, within: &Node) -> Error {
        if self.place.is_none() {
            let found = match &self.what {
                What::UnknownKey { name, .. } => within.find_word(name, Word::Key),
                What::UnknownVariant { name, .. } => within.find_word(name, Word::Value),
                What::Message(_) | What::Missing(_) => None,
            };
            self.place = Some(found.unwrap_or(place).clone());
        }
        self
    }

    fn is_missing(&self) -> bool {
        matches!(self.what, What::Missing(_))
    }

    fn diagnostic(self) -> Diagnostic {
        let place = self.place.unwrap_or(Place::Default);
        let (message, help) = match self.what {
            What::Message(message) => (message, None),
            What::Missing(name) => (format!("the key `{name}` is missing"), None),
            What::UnknownKey { name, known } => {
                (format!("unknown key `{name}`"), suggest::help(&name, known))
            }
            What::UnknownVariant { name, known } => {
                (format!("unknown value `{name}`"), suggest::help(&name, known))
            }
        };
        Diagnostic { message, place, help }
    }
}

impl From<What> for Error {
    fn from(what: What) -> Error {
        Error { what, place: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Message(message) => write!(f, "{message}"),
            What::UnknownKey { name, .. } => write!(f, "unknown key `{name}`"),
            What::UnknownVariant { name, .. } => write!(f, "unknown value `{name}`"),
            What::Missing(name) => write!(f, "the key `{name}` is missing"),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        What::Message(message.to_string()).into()
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Error {
        What::Message(format!("expected {expected}, found {found}")).into()
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Error {
        What::Message(format!("expected {expected}, found {found}")).into()
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Error {
        What::UnknownVariant { name: name.to_owned(), known }.into()
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Error {
        What::UnknownKey { name: name.to_owned(), known }.into()
    }

    fn missing_field(name: &'static str) -> Error {
        What::Missing(name).into()
    }
}

// === impl Node ===

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Key,
    Value,
}

impl Node {
    fn find_word(&self, word: &str, kind: Word) -> Option<&Place> {
        match &self.kind {
            Kind::Scalar(scalar) => {
                (kind == Word::Value && scalar.text == word).then_some(&self.place)
            }
            Kind::Sequence(items) => items.iter().find_map(|item| item.find_word(word, kind)),
            Kind::Mapping(entries) => entries.iter().find_map(|(key, value)| {
                let here = (kind == Word::Key && key.text == word).then_some(&key.place);
                here.or_else(|| value.find_word(word, kind))
            }),
        }
    }

    fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    fn resolved(&self) -> Option<Resolved<'_>> {
        let scalar = self.scalar()?;
        Some(match scalar.style {
            Style::Plain => resolve(&scalar.text),
            _ => Resolved::Text(&scalar.text),
        })
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Node {
    type Deserializer = &'de Node;

    fn into_deserializer(self) -> &'de Node {
        self
    }
}

impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.kind {
            Kind::Sequence(items) => visitor.visit_seq(Sequence(items.iter())),
            Kind::Mapping(entries) => {
                visitor.visit_map(Map { entries: entries.iter(), value: None })
            }
            Kind::Scalar(_) => match self.resolved().unwrap_or(Resolved::Null) {
                Resolved::Null => visitor.visit_unit(),
                Resolved::Bool(value) => visitor.visit_bool(value),
                Resolved::Unsigned(value) => visitor.visit_u64(value),
                Resolved::Signed(value) => visitor.visit_i64(value),
                Resolved::Float(value) => visitor.visit_f64(value),
                Resolved::Text(value) => visitor.visit_borrowed_str(value),
            },
        }
    }

    /// A string is asked for: `5` and `true` are taken as written.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.scalar() {
            Some(scalar) if !scalar.is_null() => visitor.visit_borrowed_str(&scalar.text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.is_null() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// A section with nothing in it (all keys commented out) has its defaults.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.is_null() {
            true => visitor.visit_map(Map { entries: [].iter(), value: None }),
            false => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.is_null() {
            true => visitor.visit_seq(Sequence([].iter())),
            false => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let (name, name_place, value) = match &self.kind {
            Kind::Scalar(scalar) if !scalar.is_null() => (&scalar.text, &self.place, None),
            Kind::Mapping(entries) if entries.len() == 1 => {
                (&entries[0].0.text, &entries[0].0.place, Some(&entries[0].1))
            }
            _ => return Err(de::Error::custom("expected one name, or one name with its settings")),
        };
        visitor.visit_enum(Enum { name, name_place, value })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct identifier
    }
}

// === impl Map, Sequence, Enum ===

impl<'de> de::MapAccess<'de> for Map<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.value = self.entries.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        let name = de::value::BorrowedStrDeserializer::new(&key.text);
        seed.deserialize(name).map(Some).map_err(|e: Error| Error {
            place: e.place.or_else(|| Some(key.place.clone())),
            what: e.what,
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let Some((key, value)) = self.value else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(value).map_err(|e| match e.is_missing() {
            true => e.at(&key.place, value),
            false => e.at(&value.place, value),
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

impl<'de> de::SeqAccess<'de> for Sequence<'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some(item) = self.0.next() else { return Ok(None) };
        seed.deserialize(item).map(Some).map_err(|e| e.at(&item.place, item))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

impl<'de> de::EnumAccess<'de> for Enum<'de> {
    type Error = Error;
    type Variant = Enum<'de>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Enum<'de>), Error> {
        let name = de::value::BorrowedStrDeserializer::new(self.name);
        let variant = seed
            .deserialize(name)
            .map_err(|e: Error| Error { place: Some(self.name_place.clone()), ..e })?;
        Ok((variant, self))
    }
}

impl<'de> Enum<'de> {
    fn settings(&self) -> Result<&'de Node, Error> {
        self.value.ok_or_else(|| de::Error::custom(format!("`{}` needs settings", self.name)))
    }

    fn within<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        match self.value {
            None => result,
            Some(value) => result.map_err(|e| match e.is_missing() {
                true => e.at(self.name_place, value),
                false => e.at(&value.place, value),
            }),
        }
    }
}

impl<'de> de::VariantAccess<'de> for Enum<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.value {
            Some(value) if !value.is_null() => {
                let message = format!("`{}` takes no settings", self.name);
                Err(<Error as de::Error>::custom(message).at(&value.place, value))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        self.within(seed.deserialize(self.settings()?))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.within(de::Deserializer::deserialize_seq(self.settings()?, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.within(de::Deserializer::deserialize_map(self.settings()?, visitor))
    }
}
