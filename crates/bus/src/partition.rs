//! Which partition a key belongs to: murmur2 as Java's default partitioner computes it, so that
//! clients of others co-partition with ours (DESIGN §2).

/// The partition of a key among `partitions` (at least 1).
pub fn partition(key: &[u8], partitions: u32) -> u32 {
    // Java makes the hash positive by clearing the sign bit, not by its absolute value.
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// MurmurHash2, 32 bit, with the seed that Kafka uses.
pub fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Java's array lengths are 32 bit; a key is never near that.
    let mut h = SEED ^ (data.len() as u32);
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> R;
        k = k.wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    let rest = words.remainder();
    for (at, byte) in rest.iter().enumerate() {
        h ^= u32::from(*byte) << (8 * at);
    }
    if !rest.is_empty() {
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

/// A partition for something that needs no co-partitioning: even over seeds that count up.
pub fn spread(seed: u64, partitions: u32) -> u32 {
    partition(&seed.to_be_bytes(), partitions)
}
