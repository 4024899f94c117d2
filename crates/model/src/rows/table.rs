//! Rows whose struct is their schema: a struct from its columns, with the way to Arrow and back. A
//! cell's type says the column's (`i64` is a time), an empty list is null.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, StringArray, UInt16Array, UInt32Array,
    UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};

use super::build;
use super::read::{Columns, RowError, float_at, text_at, time_at};

/// A type that is a column's cell.
pub trait Cell: Sized {
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;

    fn read(columns: &Columns<'_>, name: &'static str) -> Result<Vec<Self>, RowError>;
}

/// A struct with one field a column, in the order of its schema.
macro_rules! table {
    (
        $(#[$meta:meta])*
        $row:ident of $schema:ident {
            $($(#[$doc:meta])* $field:ident: $cell:ty = $column:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $row {
            $($(#[$doc])* pub $field: $cell,)*
        }

        impl $row {
            #[cfg(test)]
            pub(crate) const COLUMNS: &[&str] = &[$($column),*];

            pub fn to_batch(
                rows: &[$row],
            ) -> Result<arrow::array::RecordBatch, $crate::rows::RowError> {
                use $crate::rows::table::Cell;
                let columns = vec![
                    $(<$cell as Cell>::column(rows.iter().map(|row| &row.$field)),)*
                ];
                Ok($crate::rows::build::batch($crate::schema::$schema(), rows.len(), columns)?)
            }

            pub fn from_batch(
                batch: &arrow::array::RecordBatch,
            ) -> Result<Vec<$row>, $crate::rows::RowError> {
                use $crate::rows::table::Cell;
                let batch = $crate::schema::$schema().conform(batch)?;
                let columns = $crate::rows::read::Columns::of(&batch);
                $(let mut $field = <$cell as Cell>::read(&columns, $column)?.into_iter();)*
                let one = |_| $row {
                    $($field: $field.next().expect("a column has a cell for each row"),)*
                };
                Ok((0..batch.num_rows()).map(one).collect())
            }
        }
    };
}

/// An enum that is a column of words.
macro_rules! words {
    (
        $(#[$meta:meta])*
        $name:ident in $column:literal { $($(#[$doc:meta])* $word:ident = $text:literal,)* }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $text)] $word,)*
        }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$word),*];

            pub fn as_str(self) -> &'static str {
                match self { $($name::$word => $text,)* }
            }

            pub fn parse(text: &str) -> Result<$name, $crate::rows::RowError> {
                match text {
                    $($text => Ok($name::$word),)*
                    _ => Err($crate::rows::RowError::Value {
                        column: $column,
                        value: text.to_owned(),
                    }),
                }
            }
        }

        impl $crate::rows::table::Cell for $name {
            fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> arrow::array::ArrayRef {
                $crate::rows::build::text(cells.map(|cell| cell.as_str()))
            }

            fn read(
                columns: &$crate::rows::read::Columns<'_>,
                name: &'static str,
            ) -> Result<Vec<Self>, $crate::rows::RowError> {
                let texts = columns.text(name)?;
                (0..arrow::array::Array::len(texts)).map(|i| $name::parse(texts.value(i))).collect()
            }
        }
    };
}

pub(crate) use {table, words};

// === impl Cell ===

impl Cell for String {
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        build::text(cells.map(String::as_str))
    }

    fn read(columns: &Columns<'_>, name: &'static str) -> Result<Vec<Self>, RowError> {
        let texts = columns.text(name)?;
        Ok((0..texts.len()).map(|i| texts.value(i).to_owned()).collect())
    }
}

impl Cell for Option<String> {
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        build::text_or_null(cells.map(Option::as_deref))
    }

    fn read(columns: &Columns<'_>, name: &'static str) -> Result<Vec<Self>, RowError> {
        let texts = columns.text(name)?;
        Ok((0..texts.len()).map(|i| text_at(texts, i)).collect())
    }
}

/// Milliseconds since 1970.
impl Cell for i64 {
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        build::time(cells.copied())
    }

    fn read(columns: &Columns<'_>, name: &'static str) -> Result<Vec<Self>, RowError> {
        Ok(columns.time(name)?.values().to_vec())
    }
}

impl Cell for Option<i64> {
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        build::time_or_null(cells.copied())
    }

    fn read(columns: &Columns<'_>, name: &'static str) -> Result<Vec<Self>, RowError> {
        let times = columns.time(name)?;
        Ok((0..times.len()).map(|i| time_at(times, i)).collect())
    }
}

impl Cell for Option<f64> {
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        build::float(cells.copied())
    }

    fn read(columns: &Columns<'_>, name: &'static str) -> Result<Vec<Self>, RowError> {
        let floats = columns.float(name)?;
        Ok((0..floats.len()).map(|i| float_at(floats, i)).collect())
    }
}

impl Cell for bool {
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        build::boolean(cells.copied())
    }

    fn read(columns: &Columns<'_>, name: &'static str) -> Result<Vec<Self>, RowError> {
        Ok(columns.boolean(name)?.values().iter().collect())
    }
}

impl Cell for Option<bool> {
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        Arc::new(cells.copied().collect::<BooleanArray>())
    }

    fn read(columns: &Columns<'_>, name: &'static str) -> Result<Vec<Self>, RowError> {
        Ok(columns.boolean(name)?.iter().collect())
    }
}

impl Cell for u32 {
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        build::uint32(cells.copied())
    }

    fn read(columns: &Columns<'_>, name: &'static str) -> Result<Vec<Self>, RowError> {
        Ok(columns.uint32(name)?.values().to_vec())
    }
}

macro_rules! number_or_null {
    ($($number:ty, $array:ty;)*) => {$(
        impl Cell for Option<$number> {
            fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new(cells.copied().collect::<$array>())
            }

            fn read(columns: &Columns<'_>, name: &'static str) -> Result<Vec<Self>, RowError> {
                let array = columns.array(name)?.as_any().downcast_ref::<$array>();
                Ok(array.ok_or(RowError::Column(name))?.iter().collect())
            }
        }
    )*};
}

number_or_null! {
    u16, UInt16Array;
    u32, UInt32Array;
    u64, UInt64Array;
}

impl Cell for Vec<String> {
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
        texts(cells.map(|cell| &cell[..]))
    }

    fn read(columns: &Columns<'_>, name: &'static str) -> Result<Vec<Self>, RowError> {
        let lists = columns.list(name)?;
        (0..lists.len()).map(|i| texts_at(lists, i, name)).collect()
    }
}

/// A list of texts a row; a row without any is null.
pub fn texts<'a>(rows: impl Iterator<Item = &'a [String]>) -> ArrayRef {
    let rows: Vec<&[String]> = rows.collect();
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.len()));
    let nulls = NullBuffer::from_iter(rows.iter().map(|row| !row.is_empty()));
    let values = build::text(rows.iter().flat_map(|row| row.iter().map(String::as_str)));
    Arc::new(ListArray::new(item, offsets, values, Some(nulls)))
}

pub fn texts_at(
    lists: &ListArray,
    row: usize,
    name: &'static str,
) -> Result<Vec<String>, RowError> {
    if lists.is_null(row) {
        return Ok(Vec::new());
    }
    let values = lists.value(row);
    let texts: &StringArray = values.as_string_opt::<i32>().ok_or(RowError::Column(name))?;
    Ok(texts.iter().flatten().map(str::to_owned).collect())
}
