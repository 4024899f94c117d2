//! The storm: some faults at once on random and on real graphs, with lost symptoms, noise and a
//! stale map; how well incidents part them, beside what a window and a device would say. The
//! generator has its own idea of what a fault shows, and shares no table with the correlator.
//! `cargo bench -p correlate --bench storm [-- SCENARIOS [DIRECTORY OF GRAPHML]]`

mod engine;
mod graph;
mod scenario;
mod score;

use std::path::Path;
use std::time::{Duration, Instant};

use graph::Graph;
use scenario::{Cell, Scenario};
use score::{Grouped, Sum};

const CELLS: [(&str, Cell); 5] = [
    ("nominal", Cell { loss: 0.1, stale: 0.0, noise: 1.0 }),
    ("loss .3", Cell { loss: 0.3, stale: 0.0, noise: 1.0 }),
    ("10 % stale map", Cell { loss: 0.1, stale: 0.1, noise: 1.0 }),
    ("noise x4", Cell { loss: 0.1, stale: 0.0, noise: 4.0 }),
    ("hard", Cell { loss: 0.3, stale: 0.1, noise: 4.0 }),
];

fn main() {
    let numbers: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let scenarios: u64 = numbers.first().and_then(|n| n.parse().ok()).unwrap_or(100);
    let zoo = numbers.get(1).map_or_else(Vec::new, |at| graph::zoo(Path::new(at)));
    println!("{scenarios} scenarios a cell, {} graphs of the Topology Zoo", zoo.len());
    for (name, cell) in CELLS {
        let (mut ours, mut window, mut device) = (Sum::default(), Sum::default(), Sum::default());
        let mut spent = Duration::ZERO;
        for seed in 0..scenarios {
            let graph = match zoo.len() {
                0 => Graph::random(seed),
                many => zoo[seed as usize % many].clone(),
            };
            let scenario = Scenario::new(&graph, cell, seed);
            let begun = Instant::now();
            ours.add(&scenario, &engine::ours(&scenario));
            spent += begun.elapsed();
            window.add(&scenario, &engine::window(&scenario));
            device.add(
                &scenario,
                &Grouped::by(&scenario, |a| {
                    let name = &a.entity.as_ref().expect("each names one").name;
                    name.split(' ').next().unwrap_or_default().to_owned()
                }),
            );
        }
        println!("{name}");
        for (who, sum) in [("gannet", &ours), ("k-means of 5 min", &window), ("device", &device)] {
            println!("  {who:17} {sum}");
        }
        let each = spent.as_secs_f64() * 1e6 / ours.anomalies().max(1) as f64;
        println!("  {each:.0} us an anomaly, messages included");
    }
}
