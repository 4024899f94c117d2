//! How often the level model calls noise improbable, against how often it says that it would: a
//! million points each of normal, lognormal, Poisson and AR(1) noise, one parameter set, seeds in
//! print. Ends with an error where a rate of a single series is off by more than a factor of two; a
//! thousand young series, most of whose tail is the pool's, are printed beside them.

use std::process::ExitCode;

use detect::models::{Level, LevelParams, Model, Points, Verdict, Window};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, LogNormal, Normal, Poisson};

const POINTS: usize = 1_000_000;
const SEED: u64 = 20_261_123;
const STATED: [f64; 2] = [1e-3, 1e-4];
const FACTOR: f64 = 2.0;

type Noise = Box<dyn FnMut(&mut ChaCha8Rng) -> f64>;

fn noises() -> Vec<(&'static str, Box<dyn Fn() -> Noise>)> {
    fn of<D: Distribution<f64> + Copy + 'static>(dist: D) -> Box<dyn Fn() -> Noise> {
        Box::new(move || Box::new(move |rng: &mut ChaCha8Rng| dist.sample(rng)))
    }
    let ar = |phi: f64| -> Box<dyn Fn() -> Noise> {
        Box::new(move || {
            let step = Normal::new(0.0, 1.0).expect("a deviation of 1");
            let mut last = 0.0;
            Box::new(move |rng: &mut ChaCha8Rng| {
                last = phi * last + step.sample(rng);
                100.0 + last
            })
        })
    };
    vec![
        ("normal", of(Normal::new(100.0, 10.0).expect("a deviation of 10"))),
        ("lognormal", of(LogNormal::new(3.0, 1.0).expect("a shape of 1"))),
        ("poisson 3", of(Poisson::new(3.0).expect("a mean of 3"))),
        ("poisson 20", of(Poisson::new(20.0).expect("a mean of 20"))),
        ("poisson 200", of(Poisson::new(200.0).expect("a mean of 200"))),
        ("ar(1) 0.5", ar(0.5)),
        ("ar(1) 0.9", ar(0.9)),
    ]
}

/// Points judged, and how many of them at or beyond each stated probability.
fn rates(noise: &dyn Fn() -> Noise, series: usize) -> (usize, [usize; 2]) {
    let mut model = Level::new(LevelParams::default());
    model.grow(series);
    let mut sources: Vec<(Noise, ChaCha8Rng)> =
        (0..series).map(|i| (noise(), ChaCha8Rng::seed_from_u64(SEED + i as u64))).collect();
    let slots: Vec<u32> = (0..series as u32).collect();
    let open = vec![false; series];
    let (mut judged, mut alarms) = (0, [0; 2]);
    let mut verdicts: Vec<Verdict> = Vec::new();
    for window in 0..POINTS / series {
        let values: Vec<f64> = sources.iter_mut().map(|(next, rng)| next(rng)).collect();
        let start_ms = window as i64 * 60_000;
        let window = Window { start_ms, end_ms: start_ms + 60_000, every_ms: 60_000 };
        verdicts.clear();
        let points = Points { window, slots: &slots, values: &values, columns: &[], open: &open };
        model.judge(&points, &mut verdicts);
        for score in verdicts.iter().map(|v| v.score).filter(|score| !score.is_nan()) {
            judged += 1;
            for (alarm, stated) in alarms.iter_mut().zip(STATED) {
                *alarm += usize::from(score >= -stated.log10());
            }
        }
    }
    (judged, alarms)
}

fn main() -> ExitCode {
    println!("{POINTS} points a row, seed {SEED}, {:?}", LevelParams::default());
    let mut off = 0;
    for series in [1, 1000] {
        println!("{series} series × {} points", POINTS / series);
        for (name, noise) in noises() {
            let started = std::time::Instant::now();
            let (judged, alarms) = rates(&*noise, series);
            let cost = started.elapsed().as_nanos() / POINTS as u128;
            print!("  {name:12}");
            for (alarm, stated) in alarms.into_iter().zip(STATED) {
                let rate = alarm as f64 / judged as f64;
                let ratio = rate / stated;
                let holds = (1.0 / FACTOR..=FACTOR).contains(&ratio);
                off += usize::from(!holds && series == 1);
                let mark = if holds { ' ' } else { '!' };
                print!("  {rate:.3e} for {stated:.0e} ({ratio:.2}×){mark}");
            }
            println!("  {cost} ns a point, noise included");
        }
    }
    println!("{off} rates of a single series off by more than {FACTOR}×");
    if off == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
