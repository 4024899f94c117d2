//! Rows of the sources for tests.

use std::net::Ipv4Addr;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use model::{addr, schema};

#[derive(Clone, Debug)]
pub struct Flow {
    pub received: i64,
    pub last: Option<i64>,
    pub src: u32,
    pub dst: u32,
    pub protocol: u8,
    pub flags: u16,
    pub packets: u64,
    pub bytes: u64,
}

pub fn address(number: u32) -> [u8; 16] {
    addr::mapped(Ipv4Addr::from(number).into())
}

pub fn text(number: u32) -> String {
    Ipv4Addr::from(number).to_string()
}

pub fn time(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(values).with_timezone("UTC"))
}

/// Flows with all columns of the schema.
pub fn flows(rows: &[Flow]) -> RecordBatch {
    let n = rows.len();
    let addresses = |of: &dyn Fn(&Flow) -> u32| -> ArrayRef {
        let all = rows.iter().map(|row| Some(address(of(row))));
        let all = FixedSizeBinaryArray::try_from_sparse_iter_with_size(all, addr::WIDTH);
        Arc::new(all.expect("16 bytes each"))
    };
    let numbers = |of: &dyn Fn(&Flow) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(of)))
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("domain", Arc::new(StringArray::from(vec!["default"; n]))),
        ("received", time(rows.iter().map(|row| Some(row.received)).collect())),
        ("exporter", addresses(&|_| 0x7f000001)),
        ("observation_domain", Arc::new(UInt32Array::from(vec![0; n]))),
        ("export_version", Arc::new(UInt8Array::from(vec![9; n]))),
        ("src_addr", addresses(&|row| row.src)),
        ("dst_addr", addresses(&|row| row.dst)),
        ("protocol", Arc::new(UInt8Array::from_iter_values(rows.iter().map(|r| r.protocol)))),
        ("tcp_flags", Arc::new(UInt16Array::from_iter_values(rows.iter().map(|r| r.flags)))),
        ("last", time(rows.iter().map(|row| row.last).collect())),
        ("bytes", numbers(&|row| row.bytes)),
        ("packets", numbers(&|row| row.packets)),
        ("bytes_scaled", numbers(&|row| row.bytes)),
        ("packets_scaled", numbers(&|row| row.packets)),
        ("notes", Arc::new(UInt32Array::from(vec![0; n]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    schema::flows().conform(&batch).expect("columns of the schema")
}
