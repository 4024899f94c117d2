//! Histograms with log-spaced bins, one row a series: what is counted of residuals. A halving at a
//! limit is their memory. What the counts mean is left to `tail`.

use ndarray::Array2;

use super::tail::Tail;

/// Bins of one histogram. The first takes all below `FIRST`, the last all above its edge (407).
pub const BINS: usize = 64;
/// Values are in scales (mean absolute deviations); below a quarter of one nothing is told apart.
const FIRST: f64 = 0.25;
/// Six bins an octave: 12 % a bin, and log-linear between edges. Finer bins changed no alarm rate
/// of the calibration bench by a tenth.
const PER_OCTAVE: f64 = 6.0;

/// One histogram a series.
#[derive(Default)]
pub struct Histograms {
    counts: Array2<f32>,
}

pub fn bin_of(z: f64) -> usize {
    if z.is_nan() || z < FIRST {
        return 0;
    }
    let octaves = (z / FIRST).log2() * PER_OCTAVE;
    // Saturates: an infinite value is in the last bin.
    (octaves as usize + 1).min(BINS - 1)
}

/// Lower edge of a bin; 0 for the first.
pub fn edge(bin: usize) -> f64 {
    if bin == 0 {
        return 0.0;
    }
    FIRST * ((bin - 1) as f64 / PER_OCTAVE).exp2()
}

/// What stands for all values of a bin.
pub fn middle(bin: usize) -> f64 {
    match bin {
        0 => FIRST / 2.0,
        _ => FIRST * ((bin as f64 - 0.5) / PER_OCTAVE).exp2(),
    }
}

/// `weight` values of an exponential distribution with mean 1: what is believed before there is
/// data.
pub fn exponential(weight: f64) -> Vec<f32> {
    let beyond = |bin: usize| if bin == BINS { 0.0 } else { (-edge(bin)).exp() };
    (0..BINS).map(|bin| (weight * (beyond(bin) - beyond(bin + 1))) as f32).collect()
}

// === impl Histograms ===

impl Histograms {
    pub fn grow(&mut self, rows: usize) {
        let have = self.counts.nrows();
        if rows <= have {
            return;
        }
        // Doubled, so that a thousand new series do not copy the table a thousand times.
        let mut counts = Array2::zeros((rows.next_power_of_two(), BINS));
        if have > 0 {
            counts.slice_mut(ndarray::s![..have, ..]).assign(&self.counts);
        }
        self.counts = counts;
    }

    pub fn clear(&mut self, row: usize) {
        self.counts.row_mut(row).fill(0.0);
    }

    pub fn learn(&mut self, row: usize, z: f64, weight: f32) {
        self.counts[(row, bin_of(z))] += weight;
    }

    pub fn halve(&mut self, row: usize) {
        self.counts.row_mut(row).mapv_inplace(|count| count * 0.5);
    }

    pub fn tail(&self, row: usize, total: f64) -> Tail<'_> {
        Tail { counts: self.row(row), total }
    }

    pub fn row(&self, row: usize) -> &[f32] {
        let flat = self.counts.as_slice().expect("rows are only added to the standard layout");
        &flat[row * BINS..(row + 1) * BINS]
    }

    pub fn to_flat(&self) -> Vec<f32> {
        self.counts.iter().copied().collect()
    }

    /// `None` where the values do not fill whole rows.
    pub fn from_flat(flat: Vec<f32>) -> Option<Histograms> {
        let rows = flat.len() / BINS;
        let counts = Array2::from_shape_vec((rows, BINS), flat).ok()?;
        Some(Histograms { counts })
    }
}
