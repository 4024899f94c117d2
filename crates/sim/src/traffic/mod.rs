//! What the exporters see: benign conversations, long flows, floods. Each source of traffic has a
//! random stream of its own, so that an event placed in a run leaves the rest of it as it was.

mod benign;
mod elephants;
mod flood;
mod network;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Poisson};

pub use benign::{Benign, RECORDS_PER_CONVERSATION};
pub use elephants::Elephants;
pub use flood::Flood;
pub(crate) use network::as_number;
pub use network::{BUSY_SERVER, Network};

/// A random stream of its own for each purpose and exporter.
pub fn stream(seed: u64, purpose: Purpose, exporter: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(((exporter as u64) << 8) | purpose as u64);
    rng
}

#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    Layout = 1,
    Benign = 2,
    Elephants = 3,
    Flood = 4,
    Crowd = 5,
    Sampling = 6,
    Impair = 7,
    /// Of the simulated network: where faults are.
    Place = 8,
    Wander = 9,
    Talk = 10,
    Say = 11,
    Chatter = 12,
}

/// How many of something that comes at `mean` on average.
pub fn count(mean: f64, rng: &mut impl Rng) -> u64 {
    // Above this the normal approximation inside the library is what would be used anyway.
    match Poisson::new(mean) {
        Ok(poisson) => poisson.sample(rng) as u64,
        Err(_) => 0,
    }
}
