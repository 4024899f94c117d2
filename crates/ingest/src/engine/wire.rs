//! Big-endian reads of bytes that nobody has vouched for. Every read says where the bytes end; what
//! the bytes mean is left to the callers.

/// The unread rest of a datagram or of one set of it.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(head)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
}

/// An unsigned number of any length (RFC 7011 §6.2 shortens them, some exporters lengthen them);
/// `None` where it does not fit 64 bits.
pub fn uint(bytes: &[u8]) -> Option<u64> {
    let (high, low) = bytes.split_at(bytes.len().saturating_sub(8));
    if high.iter().any(|&byte| byte != 0) {
        return None;
    }
    Some(low.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// A 64-bit digest to tell a repeated datagram from one that only has the same header. Four lanes
/// of multiply and rotate: no defence against an attacker, who could send the datagram itself.
pub fn digest(bytes: &[u8]) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut lanes = [K, K.rotate_left(17), K.rotate_left(31), bytes.len() as u64];
    let mut blocks = bytes.chunks_exact(32);
    for block in &mut blocks {
        for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            let word = word.first_chunk().map_or(0, |w| u64::from_le_bytes(*w));
            *lane = (*lane ^ word).wrapping_mul(K).rotate_left(29);
        }
    }
    for &byte in blocks.remainder() {
        lanes[3] = (lanes[3] ^ u64::from(byte)).wrapping_mul(K).rotate_left(29);
    }
    lanes.iter().fold(0, |sum, &lane| (sum ^ lane).wrapping_mul(K).rotate_left(32))
}
