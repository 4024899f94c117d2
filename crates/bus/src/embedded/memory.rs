//! Memory that looks like a file to the store. It takes what was written, in blocks, where a vector
//! would double (and for a moment triple) while it grows.

use std::collections::BTreeMap;
use std::io;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const BLOCK: u64 = 1 << 20;

/// Blocks that were written; one that is absent reads as zeros.
#[derive(Debug, Default)]
struct Blocks {
    len: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
}

#[derive(Default)]
pub struct Memory(RwLock<Blocks>);

// === impl Memory ===

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("len", &self.blocks().len).finish()
    }
}

impl Memory {
    fn blocks(&self) -> RwLockReadGuard<'_, Blocks> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn blocks_mut(&self) -> RwLockWriteGuard<'_, Blocks> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl redb::StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.blocks().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let blocks = self.blocks();
        check(&blocks, offset, out.len())?;
        let mut done = 0;
        while done < out.len() {
            let (block, from, n) = piece(offset + done as u64, out.len() - done);
            let target = &mut out[done..done + n];
            match blocks.blocks.get(&block) {
                Some(bytes) => target.copy_from_slice(&bytes[from..from + n]),
                None => target.fill(0),
            }
            done += n;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut blocks = self.blocks_mut();
        blocks.blocks.split_off(&len.div_ceil(BLOCK));
        // What is cut off must read as zeros when the length grows again.
        let keep = (len % BLOCK) as usize;
        if len < blocks.len
            && let Some(last) = blocks.blocks.get_mut(&(len / BLOCK))
        {
            last[keep..].fill(0);
        }
        blocks.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut blocks = self.blocks_mut();
        check(&blocks, offset, data.len())?;
        let mut done = 0;
        while done < data.len() {
            let (block, from, n) = piece(offset + done as u64, data.len() - done);
            let bytes = blocks
                .blocks
                .entry(block)
                .or_insert_with(|| vec![0; BLOCK as usize].into_boxed_slice());
            bytes[from..from + n].copy_from_slice(&data[done..done + n]);
            done += n;
        }
        Ok(())
    }
}

/// The block of a position, the place in it, and how much of `wanted` it holds from there.
fn piece(position: u64, wanted: usize) -> (u64, usize, usize) {
    let from = (position % BLOCK) as usize;
    (position / BLOCK, from, wanted.min(BLOCK as usize - from))
}

fn check(blocks: &Blocks, offset: u64, wanted: usize) -> io::Result<()> {
    match offset.checked_add(wanted as u64) {
        Some(end) if end <= blocks.len => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "past the end of the memory")),
    }
}
