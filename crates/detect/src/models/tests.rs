//! Models against hand-made series: what opens, gets worse, clears, and what must not.

use model::rows::AnomalyKind;

use super::*;

/// A window a second point of one series, its anomalies and reasons.
struct One {
    model: Box<dyn Model>,
    life: Lifecycle,
    windows: i64,
    every_ms: i64,
    size_ms: i64,
}

#[derive(Debug, PartialEq)]
struct Step {
    window: i64,
    kind: AnomalyKind,
    why: String,
}

impl One {
    fn new(spec: ModelSpec, size_ms: i64, every_ms: i64) -> One {
        let model = spec.build(Window { start_ms: 0, end_ms: size_ms, every_ms });
        let mut one = One { model, life: Lifecycle::default(), windows: 0, every_ms, size_ms };
        one.model.grow(1);
        one.life.grow(1);
        one
    }

    fn push(&mut self, value: f64, columns: &[f64]) -> (Verdict, Option<Step>) {
        let start_ms = self.windows * self.every_ms;
        let window = Window { start_ms, end_ms: start_ms + self.size_ms, every_ms: self.every_ms };
        let columns_of: Vec<Vec<f64>> = columns.iter().map(|&c| vec![c]).collect();
        let open = [self.life.is_open(0)];
        let values = [value];
        let points =
            Points { window, slots: &[0], values: &values, columns: &columns_of, open: &open };
        let mut verdicts = Vec::new();
        self.model.judge(&points, &mut verdicts);
        let when = self.model.hysteresis();
        let step = self.life.step(0, start_ms, &verdicts[0], &when).map(|(kind, _)| {
            let finding =
                Finding { window, value_name: "v", value, columns, slot: 0, verdict: verdicts[0] };
            Step { window: self.windows, kind, why: self.model.why(&finding) }
        });
        self.windows += 1;
        (verdicts[0], step)
    }

    fn all(&mut self, values: impl IntoIterator<Item = f64>) -> Vec<Step> {
        values.into_iter().filter_map(|value| self.push(value, &[]).1).collect()
    }
}

fn kinds(steps: &[Step]) -> Vec<(i64, AnomalyKind)> {
    steps.iter().map(|step| (step.window, step.kind)).collect()
}

use AnomalyKind::{Clear, Open, Worse};
const GAP: f64 = f64::NAN;

fn threshold(lasting_ms: i64) -> One {
    let params = ThresholdParams {
        above: Some(90.0),
        below: None,
        lasting: Some(crate::rules::Period::from_ms(lasting_ms)),
        margin: 0.0,
    };
    One::new(ModelSpec::Threshold(params), 60_000, 60_000)
}

#[test]
fn a_threshold_opens_after_its_time_and_clears_by_points_only() {
    let table: [(&[f64], &[(i64, AnomalyKind)]); 6] = [
        (&[95., 95., 95., 95., 10., 10.], &[(2, Open), (5, Clear)]),
        (&[95., 95., 10., 95., 95., 10.], &[]),
        (&[95., 95., 95., GAP, GAP, GAP, GAP], &[(2, Open)]),
        (&[95., GAP, 95., 95., GAP, 10., GAP, 10.], &[(3, Open), (7, Clear)]),
        (&[95., 95., GAP, GAP, GAP, 95., 95.], &[]),
        (&[95., 95., 95., 190., 10., 95., 10., 10.], &[(2, Open), (3, Worse), (7, Clear)]),
    ];
    for (values, expected) in table {
        let steps = threshold(180_000).all(values.iter().copied());
        assert_eq!(kinds(&steps), expected, "{values:?}");
    }
}

#[test]
fn a_threshold_says_why() {
    let steps = threshold(300_000).all([97.5; 5]);
    assert_eq!(steps[0].why, "v 97.50 is above 90 for 5 min");
}

/// Noise without a generator: the fractional parts of multiples of the golden ratio.
fn noise(i: usize) -> f64 {
    (i as f64 * 0.618_033_988_749_895).fract() - 0.5
}

#[test]
fn level_finds_a_shift_and_its_end() {
    let mut one = One::new(ModelSpec::Level(LevelParams::default()), 60_000, 60_000);
    let quiet = (0..500).map(|i| 1000.0 + 40.0 * noise(i));
    assert_eq!(one.all(quiet), []);
    let high = (0..10).map(|i| 2000.0 + 40.0 * noise(i));
    let steps = one.all(high);
    assert_eq!(kinds(&steps), [(502, Open)]);
    assert!(steps[0].why.contains("expected"), "{}", steps[0].why);
    assert_eq!(one.all([GAP; 50]), [], "missing points do not clear");
    let back = one.all((0..20).map(|i| 1000.0 + 40.0 * noise(i)));
    assert_eq!(kinds(&back), [(564, Clear)]);
}

#[test]
fn level_follows_a_day_and_takes_a_lasting_change_in() {
    let mut one = One::new(ModelSpec::Level(LevelParams::default()), 60_000, 60_000);
    let day = (0..4 * 1440).map(|i| {
        let phase = i as f64 / 1440.0 * std::f64::consts::TAU;
        1e9 * (1.0 + 0.5 * phase.sin()) * (1.0 + 0.1 * noise(i))
    });
    assert_eq!(one.all(day), []);
    let steps = one.all((0..2000).map(|i| 3e9 * (1.0 + 0.1 * noise(i))));
    assert_eq!(steps.first().map(|s| s.kind), Some(Open));
    assert_eq!(steps.last().map(|s| s.kind), Some(Clear), "a new norm");
}

#[test]
fn level_speaks_of_a_series_that_was_always_zero() {
    let params = LevelParams { side: Side::Up, floor: 0.002, ..LevelParams::default() };
    let mut one = One::new(ModelSpec::Level(params), 60_000, 60_000);
    assert_eq!(one.all([0.0; 300]), []);
    assert_eq!(kinds(&one.all([0.2; 5])), [(302, Open)]);
    assert_eq!(kinds(&one.all([0.0; 20])), [(309, Clear)]);
}

#[test]
fn an_open_anomaly_is_not_learned_at_full_weight() {
    let mut one = One::new(ModelSpec::Level(LevelParams::default()), 60_000, 60_000);
    one.all((0..300).map(|i| 100.0 + 10.0 * noise(i)));
    one.all([200.0; 30]);
    let (verdict, _) = one.push(200.0, &[]);
    assert!(verdict.expected < 110.0, "expected {}", verdict.expected);
    assert_eq!(verdict.stand, Stand::Breach);
}

fn flood_model() -> One {
    One::new(ModelSpec::SynFlood(SynFloodParams::default()), 10_000, 5_000)
}

/// A window of 10 s: SYN-only packets and flows per second of all, from so many sources.
fn flood_point(syn_per_s: f64, flows_per_s: f64, sources: f64) -> (f64, [f64; 4]) {
    let syn = 10.0 * syn_per_s;
    let flows = 10.0 * flows_per_s;
    (syn, [syn.min(flows), flows, 12.0 * (flows - syn).max(0.0) + syn, sources])
}

#[test]
fn a_flood_on_a_known_victim_at_half_and_four_times_the_rate() {
    // The capture of 37,841 spoofed SYN packets in 23.7 s is 1,597 a second.
    for rate in [800.0, 1600.0, 6400.0] {
        let mut one = flood_model();
        for i in 0..60 {
            let (syn, columns) = flood_point(0.4 + noise(i), 5.0, 3.0);
            assert_eq!(one.push(syn.max(0.0), &columns).1, None);
        }
        let (syn, columns) = flood_point(rate, rate + 5.0, 10.0 * rate);
        let (verdict, step) = one.push(syn, &columns);
        let step = step.unwrap_or_else(|| panic!("no anomaly at {rate}: {verdict:?}"));
        assert_eq!(step.kind, Open);
        assert!(step.why.starts_with("SYN flood"), "{}", step.why);
        assert!(verdict.upper < syn && verdict.score > 3.0, "{verdict:?}");
        let mut ends = Vec::new();
        for _ in 0..6 {
            ends.extend(one.push(0.0, &[0.0; 4]).1.map(|step| step.kind));
        }
        assert_eq!(ends, [Clear]);
    }
}

/// Ten destinations with a little of everything, then one that nobody has seen before.
#[test]
fn a_victim_unknown_before_is_found_after_a_minute() {
    let window =
        |i: i64| Window { start_ms: i * 5_000, end_ms: i * 5_000 + 10_000, every_ms: 5_000 };
    let mut model = ModelSpec::SynFlood(SynFloodParams::default()).build(window(0));
    model.grow(11);
    let judge = |model: &mut Box<dyn Model>, i: i64, victim: bool| {
        let mut all: Vec<(f64, [f64; 4])> =
            (0..10).map(|d| flood_point((noise(d + i as usize) + 0.5) * 2.0, 30.0, 5.0)).collect();
        if victim {
            all.push(flood_point(800.0, 800.0, 7000.0));
        }
        let slots: Vec<u32> = (0..all.len() as u32).collect();
        let values: Vec<f64> = all.iter().map(|(v, _)| *v).collect();
        let columns: Vec<Vec<f64>> =
            (0..4).map(|c| all.iter().map(|(_, columns)| columns[c]).collect()).collect();
        let open = vec![false; all.len()];
        let points = Points {
            window: window(i),
            slots: &slots,
            values: &values,
            columns: &columns,
            open: &open,
        };
        let mut verdicts = Vec::new();
        model.judge(&points, &mut verdicts);
        verdicts
    };
    for i in 0..12 {
        assert!(judge(&mut model, i, false).iter().all(|v| v.stand != Stand::Breach));
    }
    let verdicts = judge(&mut model, 12, true);
    assert_eq!(verdicts[10].stand, Stand::Breach, "{:?}", verdicts[10]);
    assert!(verdicts[..10].iter().all(|v| v.stand == Stand::Inside));
}

#[test]
fn a_flood_that_began_before_the_model_was_usable_is_found_all_the_same() {
    let mut one = flood_model();
    let (syn, columns) = flood_point(1600.0, 1605.0, 16_000.0);
    let opened: Vec<i64> =
        (0..20).filter_map(|_| one.push(syn, &columns).1).map(|step| step.window).collect();
    assert_eq!(opened, [11]);
}

#[test]
fn innocent_causes_are_no_flood() {
    let cases = [
        ("a busy server", flood_point(20.0, 2000.0, 500.0)),
        ("a port scan", flood_point(1000.0, 1000.0, 1.0)),
        ("a few retries", flood_point(50.0, 60.0, 40.0)),
    ];
    for (what, (syn, columns)) in cases {
        let mut one = flood_model();
        for i in 0..40 {
            one.push(10.0 * (noise(i) + 0.5), &flood_point(0.5, 5.0, 3.0).1);
        }
        for _ in 0..10 {
            assert_eq!(one.push(syn, &columns).1, None, "{what}");
        }
    }
    // A server that has gone down: its own clients' flows are SYN only now, three packets each.
    let mut one = flood_model();
    for _ in 0..40 {
        one.push(20.0, &flood_point(2.0, 300.0, 200.0).1);
    }
    for _ in 0..10 {
        let columns = [3000.0, 3000.0, 9000.0, 500.0];
        assert_eq!(one.push(9000.0, &columns).1, None, "a server that is down");
    }
}

fn silence() -> One {
    One::new(ModelSpec::Silence(SilenceParams::default()), 10_000, 10_000)
}

#[test]
fn a_silent_source_is_found_and_clears_by_traffic() {
    let mut one = silence();
    assert_eq!(one.all((0..100).map(|i| 50.0 + noise(i))), []);
    let steps = one.all([0.0; 12]);
    assert_eq!(steps.len(), 1);
    assert!(steps[0].window <= 103, "after {} windows", steps[0].window - 99);
    assert!(steps[0].why.starts_with("silent"), "{}", steps[0].why);
    assert_eq!(one.all([GAP; 10]), [], "missing points neither clear nor open");
    assert_eq!(kinds(&one.all([5.0])), [(122, Clear)]);
}

#[test]
fn points_that_are_missing_are_ingest_s_end() {
    let mut one = silence();
    one.all([50.0; 50]);
    let steps = one.all([GAP; 5]);
    assert_eq!(kinds(&steps), [(52, Open)]);
    assert!(steps[0].why.starts_with("ingest gone"), "{}", steps[0].why);
    assert_eq!(kinds(&one.all([50.0])), [(55, Clear)]);
}

#[test]
fn a_source_that_speaks_once_a_minute_is_not_silent_in_between() {
    let mut one = silence();
    let sparse = (0..600).map(|i| if i % 6 == 0 { 100.0 } else { 0.0 });
    assert_eq!(one.all(sparse), []);
    assert_eq!(one.all([0.0; 200]).len(), 1);
}

#[test]
fn a_source_that_never_spoke_is_not_judged() {
    assert_eq!(silence().all([0.0; 500]), []);
}

#[test]
fn a_restored_model_goes_on_as_the_one_before() {
    let specs = [
        ModelSpec::Level(LevelParams::default()),
        ModelSpec::Silence(SilenceParams::default()),
        ModelSpec::SynFlood(SynFloodParams::default()),
        ModelSpec::Threshold(ThresholdParams { above: Some(1.0), ..Default::default() }),
    ];
    for spec in specs {
        let columns: &[f64] = if spec.kind() == ModelKind::SynFlood { &[5.0; 4] } else { &[] };
        let mut whole = One::new(spec.clone(), 10_000, 10_000);
        for i in 0..150 {
            whole.push(100.0 + 20.0 * noise(i), columns);
        }
        let mut other = One::new(spec.clone(), 10_000, 10_000);
        other.model.restore(&whole.model.save().unwrap()).unwrap();
        other.life = whole.life.clone();
        other.windows = whole.windows;
        for i in 150..400 {
            let value = if i % 97 < 5 { 0.0 } else { 100.0 + 20.0 * noise(i) };
            let (a, b) = (whole.push(value, columns), other.push(value, columns));
            assert_eq!(format!("{a:?}"), format!("{b:?}"), "{:?} at {i}", spec.kind());
        }
        assert_eq!(whole.model.save().unwrap(), other.model.save().unwrap());
        if spec.kind() != ModelKind::Threshold {
            let saved = whole.model.save().unwrap();
            assert!(other.model.restore(&saved[..saved.len() / 2]).is_err());
        }
    }
}

/// A tail against the exponential distribution that its values were drawn from.
#[test]
fn a_counted_tail_is_that_of_its_values() {
    use super::histogram::Histograms;
    let mut rows = Histograms::default();
    rows.grow(1);
    let n = 200_000;
    for i in 0..n {
        // Exponential by inversion, evenly spread.
        rows.learn(0, -((f64::from(i) + 0.5) / f64::from(n)).ln(), 1.0);
    }
    let tail = rows.tail(0, f64::from(n));
    for z in [0.5, 1.0, 2.0, 5.0, 9.0, 12.0, 14.0] {
        let ratio = tail.beyond(z) / (-z).exp();
        // Beyond the last counted value the tail is a fit.
        let within = if z < 10.0 { 0.9..1.1 } else { 0.5..2.0 };
        assert!(within.contains(&ratio), "{ratio} at {z}");
        let back = tail.quantile((-z).exp());
        assert!((back / z - 1.0).abs() < 0.1, "{back} for {z}");
    }
}
