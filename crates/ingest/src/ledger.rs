//! The ledger's rows in messages: all of an exporter's rows and its marks in one, so that what was
//! told and where it stood are on the log together or not at all.

use std::collections::BTreeMap;

use model::rows::Metric;

use crate::engine::marks::Mark;

/// Rows of one message: about 120 KB, under the size at which a batch is split.
const ROWS_MAX: usize = 1_000;

/// What goes into one message.
pub type Part = (Vec<Metric>, Vec<Mark>);

/// Rows and marks by partition of their device, in the order of devices.
pub fn parts(rows: Vec<Metric>, marks: Vec<Mark>, partitions: u32) -> Vec<Part> {
    let mut devices: BTreeMap<(u32, String), Part> = BTreeMap::new();
    let place = |device: &str| {
        (bus::partition::partition(device.as_bytes(), partitions), device.to_owned())
    };
    for row in rows {
        devices.entry(place(&row.device)).or_default().0.push(row);
    }
    for mark in marks {
        let device = model::addr::to_ip(&mark.key.exporter).map(|ip| ip.to_string());
        if let Some(part) = devices.get_mut(&place(&device.unwrap_or_default())) {
            part.1.push(mark);
        }
    }
    let mut parts: Vec<(u32, Part)> = Vec::new();
    for ((partition, _), (rows, marks)) in devices {
        match parts.last_mut() {
            Some((last, part)) if *last == partition && part.0.len() + rows.len() <= ROWS_MAX => {
                part.0.extend(rows);
                part.1.extend(marks);
            }
            _ => parts.push((partition, (rows, marks))),
        }
    }
    parts.into_iter().map(|(_, part)| part).collect()
}
