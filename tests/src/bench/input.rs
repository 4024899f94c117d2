//! The input of the throughput runs: flows of a busy network, 5,000 a message, with heartbeats as
//! ingest sends them; and the same rows as one JSON text each, for the baseline.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use bus::{Log, OutRecord};
use bytes::Bytes;
use model::schema;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::feed::Feed;

/// Rows of a message.
pub const MESSAGE_ROWS: u64 = 5_000;
/// Rows a second of simulated receive time.
pub const RATE: u64 = 100_000;
/// Destinations and sources; the n-th is seen about 1/n as often as the first.
const HOSTS: f64 = 10_000.0;
const CLIENTS: f64 = 50_000.0;
const SEED: u64 = 1;

/// What a run of input is: when it begins, how much it is.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    pub start_ms: i64,
    pub rows: u64,
    pub partitions: u32,
}

// === impl Input ===

impl Input {
    /// The receive time of the first row of a message.
    fn at_ms(&self, message: u64) -> i64 {
        self.start_ms + (message * MESSAGE_ROWS * 1_000 / RATE) as i64
    }

    pub fn end_ms(&self) -> i64 {
        self.at_ms(self.rows / MESSAGE_ROWS)
    }

    /// Writes flows, and a heartbeat a second to every partition of all three sources; the last
    /// ones lie a few seconds past the end, so that everything before it closes.
    pub fn write(&self, log: &dyn Log, prefix: &str) -> Result<u64> {
        let mut feed = Feed::new(log, prefix, self.partitions)?;
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let (mut beat_ms, mut bytes) = (self.start_ms, 0);
        for message in 0..self.rows / MESSAGE_ROWS {
            let at_ms = self.at_ms(message);
            while beat_ms <= at_ms {
                feed.heartbeats(beat_ms)?;
                beat_ms += 1_000;
            }
            let batch = flows(&mut rng, at_ms);
            bytes += feed.flows((message % u64::from(self.partitions)) as u32, batch, at_ms)?;
        }
        for second in 0..5 {
            feed.heartbeats(self.end_ms() + second * 1_000)?;
        }
        feed.finish()?;
        Ok(bytes)
    }

    /// The same rows, each a message of JSON.
    pub fn write_json(&self, log: &dyn Log, topic: &str) -> Result<u64> {
        let mut producer = log.producer("ingest", "json")?;
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let topic: Arc<str> = Arc::from(topic);
        let mut bytes = 0;
        for message in 0..self.rows / MESSAGE_ROWS {
            let at_ms = self.at_ms(message);
            let batch = flows(&mut rng, at_ms);
            for row in 0..batch.num_rows() {
                let text = ingest::decode::json::row(&batch, row);
                bytes += text.len() as u64;
                let record = OutRecord {
                    topic: Arc::clone(&topic),
                    partition: 0,
                    timestamp_ms: at_ms,
                    key: None,
                    headers: Vec::new(),
                    payload: Some(Bytes::from(text)),
                };
                super::feed::send(producer.as_mut(), &record)?;
            }
        }
        super::feed::drain(producer.as_mut())?;
        Ok(bytes)
    }
}

/// 23 columns of one message.
fn flows(rng: &mut ChaCha8Rng, at_ms: i64) -> RecordBatch {
    let rows = MESSAGE_ROWS as usize;
    let mut addresses = |network: u32, hosts: f64| -> ArrayRef {
        let all = (0..rows).map(|_| {
            // Log-uniform: the density of the n-th is 1/n.
            let host = hosts.powf(rng.random::<f64>()) as u32;
            mapped(network + host)
        });
        Arc::new(FixedSizeBinaryArray::try_from_iter(all).expect("16 bytes each"))
    };
    let (src, dst) = (addresses(0x0b00_0000, CLIENTS), addresses(0x0a00_0000, HOSTS));
    let exporter = addresses(0x7f00_0001, 4.0);
    let times = |from: i64| -> ArrayRef {
        let per_ms = RATE as usize / 1_000;
        let all = (0..rows).map(|row| from + (row / per_ms) as i64);
        Arc::new(TimestampMillisecondArray::from_iter_values(all).with_timezone("UTC"))
    };
    macro_rules! numbers {
        ($kind:ident, $to:expr) => {{
            let all = (0..rows).map(|_| rng.random_range(0..$to));
            Arc::new($kind::from_iter_values(all)) as ArrayRef
        }};
    }
    let (packets, sizes) = (numbers!(UInt64Array, 100u64), numbers!(UInt64Array, 100_000u64));
    // One in fifty only opens a connection.
    let flags = (0..rows).map(|_| if rng.random_bool(0.02) { 2 } else { 27 });
    let flags: ArrayRef = Arc::new(UInt16Array::from_iter_values(flags));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("domain", Arc::new(StringArray::from(vec!["default"; rows]))),
        ("received", times(at_ms)),
        ("exporter", exporter),
        ("observation_domain", Arc::new(UInt32Array::from(vec![0; rows]))),
        ("export_version", Arc::new(UInt8Array::from(vec![9; rows]))),
        ("in_if", numbers!(UInt32Array, 48u32)),
        ("out_if", numbers!(UInt32Array, 48u32)),
        ("src_addr", src),
        ("dst_addr", dst),
        ("src_port", numbers!(UInt16Array, 60_000u16)),
        ("dst_port", numbers!(UInt16Array, 1_000u16)),
        ("protocol", Arc::new(UInt8Array::from(vec![6; rows]))),
        ("tcp_flags", flags),
        ("tos", Arc::new(UInt8Array::from(vec![0; rows]))),
        ("src_as", numbers!(UInt32Array, 500u32)),
        ("dst_as", numbers!(UInt32Array, 500u32)),
        ("first", times(at_ms - 5_000)),
        ("last", times(at_ms - 100)),
        ("bytes", Arc::clone(&sizes)),
        ("packets", Arc::clone(&packets)),
        ("bytes_scaled", sizes),
        ("packets_scaled", packets),
        ("notes", Arc::new(UInt32Array::from(vec![0; rows]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    schema::prune(&batch)
}

/// An IPv4 address as it stands in a column.
pub fn mapped(v4: u32) -> [u8; 16] {
    (0xffff_0000_0000u128 + u128::from(v4)).to_be_bytes()
}
