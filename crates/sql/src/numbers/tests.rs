//! Numbers of keys: as a table of whole keys would give them, whatever the batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, FixedSizeBinaryArray, Int64Array, StringArray, TimestampMillisecondArray,
    UInt32Array,
};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use proptest::prelude::*;

use super::{Numbers, are_worth_it};

type Row = (Option<u8>, Option<u8>, Option<i64>);

fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    let text = |n: u8| "a".repeat(usize::from(n));
    let address = |n: u8| [n; 16];
    let addresses = rows.iter().map(|row| row.1.map(address));
    vec![
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.0.map(text)))),
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(addresses, 16).unwrap()),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.2))),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    // Few values, null and zero among them, so that keys come again.
    let value = || proptest::option::of(0u8..3);
    let number = proptest::option::of(prop_oneof![Just(0i64), Just(-1), Just(i64::MAX)]);
    proptest::collection::vec((value(), value(), number), 0..60)
}

proptest! {
    #[test]
    fn a_key_has_one_number_and_comes_back_from_it(rows in rows(), cut in 0usize..60) {
        let (first, second) = rows.split_at(cut.min(rows.len()));
        let kinds = [DataType::Utf8, DataType::FixedSizeBinary(16), DataType::Int64];
        let mut numbers = Numbers::new(&kinds, rows.len());
        let mut wanted: BTreeMap<Row, u32> = BTreeMap::new();
        let mut all = Vec::new();
        for part in [first, second] {
            let found = numbers.of(&columns(part)).unwrap();
            for (row, number) in part.iter().zip(found.values()) {
                let next = wanted.len() as u32;
                prop_assert_eq!(*wanted.entry(*row).or_insert(next), *number);
                all.push(*number);
            }
        }
        let number: ArrayRef = Arc::new(UInt32Array::from(all));
        let batch = RecordBatch::try_from_iter([("n", Arc::clone(&number)), ("rest", number)]);
        let back = numbers.in_place_of_first(&batch.unwrap()).unwrap();
        prop_assert_eq!(&back[..3], &columns(&rows)[..]);
        prop_assert_eq!(back.len(), 4);
    }
}

#[test]
fn times_of_every_unit_and_what_has_no_numbers() {
    let times: ArrayRef =
        Arc::new(TimestampMillisecondArray::from(vec![5, -5, 5]).with_timezone("UTC"));
    let kind = times.data_type().clone();
    let mut numbers = Numbers::new(std::slice::from_ref(&kind), 3);
    assert_eq!(numbers.of(&[times]).unwrap().values(), &[0, 1, 0]);
    assert!(are_worth_it(&[kind, DataType::Utf8]));
    // -0.0 and 0.0 are one group and two numbers; one number needs no second.
    assert!(!are_worth_it(&[DataType::Float64, DataType::Utf8]));
    assert!(!are_worth_it(&[DataType::UInt32]));
    assert!(!are_worth_it(&[]));
    assert!(are_worth_it(&[DataType::FixedSizeBinary(16)]));
    let floats: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![0.0]));
    assert!(Numbers::new(&[DataType::Float64], 1).of(&[floats]).is_err());
}
