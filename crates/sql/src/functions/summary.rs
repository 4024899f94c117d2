//! The heaviest keys of a stream in bounded memory: a weighted Misra-Gries summary, which merges
//! ("Mergeable Summaries", Agarwal et al., PODS 2012). With capacity c and total weight W, a key's
//! counted weight is at most its true weight and less by at most W / (c + 1); while no more than c
//! keys were seen it is exact. Ties are broken by key, so the result is a function of the input.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use datafusion::common::hash_utils::RandomState;

/// Longest key that is kept, in bytes; longer ones are cut there.
pub(super) const KEY_BYTES_MAX: usize = 256;

/// What can be summed up: integers saturate, floats add.
pub(super) trait Weight: Copy + Default + std::fmt::Debug + Send + Sync + 'static {
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn order(&self, other: &Self) -> Ordering;
    fn to_f64(self) -> f64;
    /// Whether it counts: more than zero, and finite.
    fn counts(&self) -> bool;
}

impl Weight for i64 {
    fn plus(self, other: i64) -> i64 {
        self.saturating_add(other)
    }

    fn minus(self, other: i64) -> i64 {
        self.saturating_sub(other)
    }

    fn order(&self, other: &i64) -> Ordering {
        self.cmp(other)
    }

    fn to_f64(self) -> f64 {
        self as f64
    }

    fn counts(&self) -> bool {
        *self > 0
    }
}

impl Weight for f64 {
    fn plus(self, other: f64) -> f64 {
        self + other
    }

    fn minus(self, other: f64) -> f64 {
        self - other
    }

    fn order(&self, other: &f64) -> Ordering {
        self.total_cmp(other)
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn counts(&self) -> bool {
        *self > 0.0 && self.is_finite()
    }
}

/// A key where it is: addresses and numbers, which come and go by the thousand, need no allocation.
#[derive(Debug, Clone)]
pub(super) enum Key {
    Short { len: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

const SHORT_BYTES: usize = 16;

#[derive(Debug, Clone)]
pub(super) struct Summary<W> {
    capacity: usize,
    /// Weight of everything that was added, kept or not.
    total: W,
    weights: HashMap<Key, W, RandomState>,
}

// === impl Key ===

impl Key {
    pub fn new(key: &[u8]) -> Key {
        let mut bytes = [0; SHORT_BYTES];
        match bytes.get_mut(..key.len()) {
            Some(start) => {
                start.copy_from_slice(key);
                Key::Short { len: key.len() as u8, bytes }
            }
            None => Key::Long(key.into()),
        }
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        match self {
            Key::Short { len, bytes } => &bytes[..usize::from(*len)],
            Key::Long(bytes) => bytes,
        }
    }
}

/// Looked up by its bytes, so hash and equality are theirs.
impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.as_ref()
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Key {}

// === impl Summary ===

impl<W: Weight> Summary<W> {
    pub fn new(capacity: usize) -> Self {
        Summary { capacity, total: W::default(), weights: HashMap::default() }
    }

    pub fn total(&self) -> W {
        self.total
    }

    /// Counts `weight` for `key`; without a key only in the total.
    pub fn add(&mut self, key: Option<&[u8]>, weight: W) {
        if !weight.counts() {
            return;
        }
        self.total = self.total.plus(weight);
        if let Some(key) = key {
            self.count(key, weight);
            self.shrink_above(self.capacity * 4);
        }
    }

    /// Adds another summary's entries and total.
    pub fn merge<'a>(&mut self, total: W, entries: impl Iterator<Item = (&'a [u8], W)>) {
        self.total = self.total.plus(total);
        for (key, weight) in entries {
            self.count(key, weight);
        }
        self.shrink_above(self.capacity);
    }

    /// At most `capacity` entries in order of their key: the summary's state.
    pub fn entries(&mut self) -> Vec<(Key, W)> {
        self.shrink_above(self.capacity);
        let mut all: Vec<_> = self.weights.iter().map(|(k, w)| (k.clone(), *w)).collect();
        all.sort_unstable_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        all
    }

    /// The `k` heaviest, heaviest first, equal ones in order of their key.
    pub fn heaviest(&mut self, k: usize) -> Vec<(Key, W)> {
        let mut all = self.entries();
        all.sort_by(|a, b| b.1.order(&a.1));
        all.truncate(k);
        all
    }

    pub fn size_bytes(&self) -> usize {
        let apart = |key: &Key| match key {
            Key::Short { .. } => 0,
            Key::Long(bytes) => bytes.len(),
        };
        let keys: usize = self.weights.keys().map(apart).sum();
        keys + self.weights.capacity() * size_of::<(Key, W)>() + size_of::<Self>()
    }

    fn count(&mut self, key: &[u8], weight: W) {
        let key = &key[..key.len().min(KEY_BYTES_MAX)];
        match self.weights.get_mut(key) {
            Some(sum) => *sum = sum.plus(weight),
            None => drop(self.weights.insert(Key::new(key), weight)),
        }
    }

    /// With more than `limit` keys, takes the weight of the (capacity + 1)-th from all and drops
    /// what is left with none. Each such step takes that weight from capacity + 1 keys at least,
    /// which is where the bound comes from.
    fn shrink_above(&mut self, limit: usize) {
        if self.weights.len() <= limit.max(self.capacity) {
            return;
        }
        let mut weights: Vec<W> = self.weights.values().copied().collect();
        let (_, cut, _) = weights.select_nth_unstable_by(self.capacity, |a, b| b.order(a));
        let cut = *cut;
        self.weights.retain(|_, weight| {
            *weight = weight.minus(cut);
            weight.counts()
        });
    }
}
