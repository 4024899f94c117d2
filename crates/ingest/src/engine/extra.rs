//! Reads the column `extra`: elements without a column, one behind the other.

use super::element::Field;
use super::wire::Cursor;

/// The elements of one row with their bytes; ends at the first that is cut short.
pub fn elements(bytes: &[u8]) -> impl Iterator<Item = (Field, &[u8])> {
    let mut cursor = Cursor::new(bytes);
    std::iter::from_fn(move || {
        let enterprise = cursor.u32()?;
        let id = cursor.u16()?;
        let len = cursor.u16()?;
        Some((Field { enterprise, id, len }, cursor.take(usize::from(len))?))
    })
}
