//! One series as a chart: the values, the band that its model expected, and where it was anomalous.
//! Drawn here as paths of an SVG, so that it reads without a script, prints, and needs no library.

use serde::Serialize;

use super::words;
use crate::store::{Point, SeriesKey};

/// The drawing's size; the page scales it.
pub const WIDTH: f64 = 400.0;
pub const HEIGHT: f64 = 132.0;
const LEFT: f64 = 42.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 20.0;

/// Points of a chart: what is legible in its width.
const POINTS_MAX: usize = 90;
/// Values beyond it are drawn at the edge.
const VALUE_MAX: f64 = 1e150;
/// Rows of the table below it.
const TABLE_ROWS: usize = 20;

#[derive(Clone, Debug, Serialize)]
pub struct Chart {
    pub title: String,
    pub subject: String,
    pub value_name: String,
    /// The last value, and what was expected then.
    pub last: String,
    pub expected: Option<String>,
    pub line: String,
    pub band: String,
    pub middle: String,
    pub marks: Vec<(f64, f64)>,
    /// Where the incident began.
    pub opened_x: Option<f64>,
    pub y_ticks: Vec<(f64, String)>,
    pub x_ticks: Vec<(f64, String)>,
    /// For reading by pointer: x, y, time, value, band.
    pub readings: Vec<Reading>,
    pub table: Vec<Reading>,
    /// SQL that gives these points.
    pub query: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Reading {
    pub x: f64,
    pub y: Option<f64>,
    pub time: String,
    pub value: String,
    pub band: String,
    pub is_anomalous: bool,
}

struct Scale {
    from_ms: i64,
    to_ms: i64,
    low: f64,
    high: f64,
}

/// `None` where there is nothing to draw.
pub fn chart(key: &SeriesKey, points: &[Point], opened_ms: i64) -> Option<Chart> {
    let skipped = points.len().saturating_sub(POINTS_MAX);
    let points = &points[skipped..];
    let scale = Scale::of(points)?;
    let last = points.iter().rev().find(|point| !point.value.is_nan())?;
    let readings: Vec<Reading> = points.iter().map(|point| reading(point, &scale)).collect();
    let expected = (!last.expected.is_nan()).then(|| words::number(last.expected));
    let is_inside = (scale.from_ms..=scale.to_ms).contains(&opened_ms);
    let mark = |p: &Point| (scale.x(p.end_ms), scale.y(p.value));
    let marked = points.iter().filter(|p| p.is_anomalous && !p.value.is_nan());
    Some(Chart {
        title: key.rule.clone(),
        subject: words::key(&key.key),
        value_name: key.value_name.clone(),
        last: words::number(last.value),
        expected,
        line: path(points, &scale, |point| point.value),
        band: band(points, &scale),
        middle: path(points, &scale, |point| point.expected),
        marks: marked.map(mark).collect(),
        opened_x: is_inside.then(|| scale.x(opened_ms)),
        y_ticks: scale.y_ticks(),
        x_ticks: scale.x_ticks(),
        table: readings.iter().rev().take(TABLE_ROWS).cloned().collect(),
        readings,
        query: query(key),
    })
}

fn query(key: &SeriesKey) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    format!(
        "SELECT window_end, value, lower, upper, anomalous FROM signals WHERE rule = {} AND key = \
         {} AND value_name = {} ORDER BY window_end DESC",
        quoted(&key.rule),
        quoted(&key.key),
        quoted(&key.value_name)
    )
}

fn reading(point: &Point, scale: &Scale) -> Reading {
    let has_band = !point.lower.is_nan() || !point.upper.is_nan();
    let band = match has_band {
        true => format!("{} to {}", words::number(point.lower), words::number(point.upper)),
        false => "no band yet".to_owned(),
    };
    Reading {
        x: round(scale.x(point.end_ms)),
        y: (!point.value.is_nan()).then(|| round(scale.y(point.value))),
        time: words::clock(point.end_ms),
        value: words::number(point.value),
        band,
        is_anomalous: point.is_anomalous,
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A line through what is there; a gap where a value is missing.
fn path(points: &[Point], scale: &Scale, value: impl Fn(&Point) -> f64) -> String {
    let mut path = String::new();
    let mut is_down = false;
    for point in points {
        let value = value(point);
        if value.is_nan() {
            is_down = false;
            continue;
        }
        let command = if is_down { 'L' } else { 'M' };
        let (x, y) = (scale.x(point.end_ms), scale.y(value));
        path.push_str(&format!("{command}{x:.1} {y:.1}"));
        is_down = true;
    }
    path
}

/// Closed shapes between the edges, one for each stretch that has both (or one open side).
fn band(points: &[Point], scale: &Scale) -> String {
    let has = |point: &Point| !point.lower.is_nan() || !point.upper.is_nan();
    let mut path = String::new();
    for stretch in points.chunk_by(|a, b| has(a) == has(b)) {
        if stretch.len() < 2 || !has(&stretch[0]) {
            continue;
        }
        let upper = |p: &Point| if p.upper.is_nan() { scale.high } else { p.upper };
        let lower = |p: &Point| if p.lower.is_nan() { scale.low } else { p.lower };
        let place = |p: &Point, value: f64| (scale.x(p.end_ms), scale.y(value));
        let there = stretch.iter().map(|p| place(p, upper(p)));
        let back = stretch.iter().rev().map(|p| place(p, lower(p)));
        for (at, (x, y)) in there.chain(back).enumerate() {
            path.push_str(&format!("{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' }));
        }
        path.push('Z');
    }
    path
}

// === impl Scale ===

impl Scale {
    fn of(points: &[Point]) -> Option<Scale> {
        let (first, last) = (points.first()?, points.last()?);
        // What is larger has no place on a scale: its square, or a difference, would be infinite.
        let values = points.iter().map(|p| p.value).filter(|value| value.abs() < VALUE_MAX);
        let (low, high) = bounds(values)?;
        // The band is context: where it is far wider than the values it must not flatten them.
        let reach = (high - low).max(high.abs() * 0.2).max(1e-9);
        let edges = points.iter().flat_map(|p| [p.lower, p.upper]);
        let near = edges.filter(|e| *e >= low - 2.0 * reach && *e <= high + 2.0 * reach);
        let (low, high) = bounds(near.chain([low, high]))?;
        // What is always nothing is a line at the foot, not a scale of its rounding.
        let high = if low == 0.0 && high == 0.0 { 1.0 } else { high };
        let is_count = low >= 0.0 && low < high * 0.7;
        let low = if is_count { 0.0 } else { low };
        let room = ((high - low) * 0.08).max(high.abs() * 1e-3).max(1e-9);
        let low = if is_count { 0.0 } else { low - room };
        let to_ms = last.end_ms.max(first.end_ms + 1);
        Some(Scale { from_ms: first.end_ms, to_ms, low, high: high + room })
    }

    fn x(&self, ms: i64) -> f64 {
        let share = (ms - self.from_ms) as f64 / (self.to_ms - self.from_ms) as f64;
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }

    fn y_ticks(&self) -> Vec<(f64, String)> {
        let step = nice((self.high - self.low) / 3.0);
        let first = (self.low / step).ceil() as i64;
        let values = (first..first + 6).map(|n| n as f64 * step);
        let inside = values.filter(|value| *value <= self.high);
        inside.map(|value| (round(self.y(value)), words::number(value))).collect()
    }

    fn x_ticks(&self) -> Vec<(f64, String)> {
        let length = self.to_ms - self.from_ms;
        let times = [1, 3, 5].map(|sixth| self.from_ms + length * sixth / 6);
        times.map(|ms| (round(self.x(ms)), words::clock(ms))).to_vec()
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |found: Option<(f64, f64)>, value| {
        let (low, high) = found.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

/// 1, 2 or 5 times a power of ten, at least `step`.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let found = factors.iter().map(|factor| factor * power).find(|nice| *nice >= step * 0.999);
    found.unwrap_or(power * 10.0)
}
