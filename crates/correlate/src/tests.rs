//! Incidents against tables of their life, under every order of arrival, and restored at each step.

use std::collections::BTreeMap;
use std::sync::Arc;

use bus::{Meta, Name, Record, Writer};
use bytes::Bytes;
use model::rows::{Anomaly, AnomalyKind, Contributor, Entity, Grouping, Incident, IncidentState};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::task::{BadMessage, Emitted, Engine, Input, Outputs, Watermarks};

use crate::engine::Topics;
use crate::{CorrelateConfig, Correlator, metrics};

fn config() -> CorrelateConfig {
    CorrelateConfig { resolve_after_s: 60, reopen_within_s: 120, ..CorrelateConfig::default() }
}

pub(crate) fn engine(config: CorrelateConfig) -> Correlator {
    let topics =
        Topics { incidents: "incidents".into(), json: "json".into(), topology: "topology".into() };
    Correlator::new(Arc::new(config), Arc::new(topics))
}

/// An anomaly on a host, at a second.
fn on(host: &str, id: &str, second: i64, kind: AnomalyKind) -> Anomaly {
    Anomaly {
        entity: Some(Entity { kind: "host".into(), name: host.into() }),
        ..loose("syn-flood", id, second, kind)
    }
}

/// An anomaly that names nothing.
fn loose(rule: &str, id: &str, second: i64, kind: AnomalyKind) -> Anomaly {
    Anomaly {
        domain: "default".into(),
        id: id.into(),
        time_ms: second * 1000,
        rule: rule.into(),
        key: format!("series={id}"),
        kind,
        model: "syn-flood".into(),
        entity: None,
        value_name: "syn".into(),
        value: Some(4_210.0),
        expected: Some(3.0),
        lower: Some(0.0),
        upper: Some(35.0),
        score: Some(7.5),
        why: "SYN flood: 4210 SYN/s from 37623 sources, expected at most 35".into(),
        window_start_ms: second * 1000 - 10_000,
        contributors: vec![Contributor { name: "192.0.2.1".into(), weight: 9.0, share: 0.1 }],
    }
}

/// What one message makes.
pub(crate) fn message(
    engine: &mut Correlator,
    schema: &str,
    payload: Bytes,
    rows: u32,
    watermark_s: i64,
) -> Result<Outputs, BadMessage> {
    let writer = Writer::Task { stage: "score".into(), topic_id: "t".into(), partition: 0 };
    let meta = Meta {
        schema: schema.into(),
        schema_fp: String::new(),
        producer: "score".into(),
        rows,
        min_ts_ms: 0,
        max_ts_ms: 0,
        wm_ms: None,
        name: Name { writer, offset: 0, index: 0 },
        config_fp: None,
        replay_id: None,
        extra: Vec::new(),
    };
    let record = Record {
        topic: Arc::from("evidence"),
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: None,
        headers: Vec::new(),
        payload: Some(payload),
    };
    let watermarks = Watermarks::fixed(Some(watermark_s * 1000), &[]);
    let mut out = Outputs::default();
    let (meta, record, limits) = (&meta, &record, model::ipc::Limits::default());
    let watermarks = &watermarks;
    let input = Input { offset: 0, timestamp_ms: 0, meta, record, watermarks, limits };
    engine.message(&input, &mut out)?;
    Ok(out)
}

fn feed(engine: &mut Correlator, rows: &[Anomaly], watermark_s: i64) -> Outputs {
    let batch = Anomaly::to_batch(rows).unwrap();
    let payload = model::ipc::encode(&batch).unwrap();
    let schema = model::schema::anomalies().header();
    message(engine, &schema, payload, rows.len() as u32, watermark_s).unwrap()
}

fn incidents(out: &Outputs) -> Vec<Incident> {
    out.data().flat_map(|data| Incident::from_batch(&data.batch).unwrap()).collect()
}

/// All rows at once, then time alone, second by second.
fn run(config: CorrelateConfig, rows: &[Anomaly], until_s: i64) -> Vec<Incident> {
    let mut engine = engine(config);
    let mut all = incidents(&feed(&mut engine, rows, 0));
    for second in 1..=until_s {
        all.extend(incidents(&feed(&mut engine, &[], second)));
    }
    all
}

pub(crate) fn count(out: &Outputs, metric: &str) -> u64 {
    out.counts().iter().filter(|c| c.metric == metric).map(|c| c.step).sum()
}

/// `(time in s, revision, state, members)` of every change.
fn life(incidents: &[Incident]) -> Vec<(i64, u32, &'static str, usize)> {
    let of = |i: &Incident| (i.updated_ms / 1000, i.revision, i.state.as_str(), i.members.len());
    incidents.iter().map(of).collect()
}

use AnomalyKind::{Clear, Open, Worse};

#[test]
fn an_incident_opens_grows_goes_quiet_and_is_resolved() {
    let rows = [
        on("h", "a", 100, Open),
        on("h", "b", 130, Open),
        on("h", "a", 140, Worse),
        on("h", "a", 150, Clear),
        on("h", "b", 160, Clear),
    ];
    let all = run(config(), &rows, 400);
    let table = [
        (100, 1, "open", 1),
        (130, 2, "open", 2),
        (140, 3, "open", 2),
        (150, 4, "open", 2),
        (160, 5, "quiet", 2),
        (220, 6, "resolved", 2),
    ];
    assert_eq!(life(&all), table);
    assert!(all.iter().all(|i| i.id == all[0].id));
    assert_eq!(all[5].resolved_ms, Some(220_000));
    assert_eq!(all[5].members[0].cleared_ms, Some(150_000));
    assert_eq!(all[0].entity.as_ref().unwrap().name, "h");
    assert_eq!(all[0].grouping, Grouping::Entity);
    assert_eq!(all[0].score, Some(7.5));
    assert_eq!(all[0].contributors.len(), 1);
}

#[test]
fn what_comes_back_soon_is_the_same_incident_and_later_another() {
    let again = |second| {
        let rows = [on("h", "a", 100, Open), on("h", "a", 110, Clear), on("h", "b", second, Open)];
        run(config(), &rows, 600)
    };
    // Quiet at 110, resolved at 170, forgotten after 290.
    let quiet = again(150);
    assert_eq!(life(&quiet)[1..], [(110, 2, "quiet", 1), (150, 3, "open", 2)]);
    let resolved = again(290);
    let states = [(110, 2, "quiet", 1), (170, 3, "resolved", 1), (290, 4, "open", 2)];
    assert_eq!(life(&resolved)[1..], states);
    assert_eq!(resolved[3].id, resolved[0].id);
    assert_eq!(resolved[3].resolved_ms, None);
    let later = again(291);
    assert_eq!(life(&later)[3], (291, 1, "open", 1));
    assert_ne!(later[3].id, later[0].id);
}

#[test]
fn evidence_waits_until_every_writer_has_passed_it() {
    let mut engine = engine(config());
    assert!(incidents(&feed(&mut engine, &[on("h", "a", 100, Open)], 99)).is_empty());
    let out = feed(&mut engine, &[], 100);
    assert!(incidents(&out).is_empty(), "more of the same instant may come");
    assert_eq!(out.watermark_ms(), Some(100_000));
    let out = feed(&mut engine, &[], 101);
    assert_eq!(incidents(&out).len(), 1);
    assert_eq!(count(&out, metrics::EVIDENCE), 1);
    let late = feed(&mut engine, &[on("h", "b", 50, Open)], 101);
    assert_eq!(count(&late, metrics::LATE), 1);
    let told = incidents(&late);
    assert_eq!(told[0].members.len(), 2, "late evidence is told, and counted");
    assert!(told[0].updated_ms >= 101_000, "nothing older than the watermark leaves");
}

#[test]
fn ids_follow_from_content() {
    let id = |a: Anomaly| run(config(), &[a], 200)[0].id.clone();
    let first = id(on("h", "a", 100, Open));
    assert_eq!(first.len(), 16);
    assert_eq!(first, id(on("h", "a", 100, Open)));
    assert_eq!(first, id(Anomaly { value: None, ..on("h", "a", 100, Open) }));
    let others = [
        on("g", "a", 100, Open),
        on("h", "b", 100, Open),
        on("h", "a", 101, Open),
        Anomaly { domain: "lab".into(), ..on("h", "a", 100, Open) },
    ];
    assert!(others.into_iter().all(|other| id(other) != first));
    // Evidence of others does not change it.
    let beside = [on("g", "z", 90, Open), on("h", "a", 100, Open), on("h", "b", 100, Open)];
    assert!(run(config(), &beside, 200).iter().any(|i| i.id == first));
}

#[test]
fn domains_do_not_mix() {
    let lab = Anomaly { domain: "lab".into(), ..on("h", "b", 100, Open) };
    let all = run(config(), &[on("h", "a", 100, Open), lab], 200);
    assert_eq!(life(&all), [(100, 1, "open", 1), (100, 1, "open", 1)]);
    assert_eq!((&*all[0].domain, &*all[1].domain), ("default", "lab"));
}

/// Evidence of some writers, each in the order of its time: opens, worsenings, clearings.
fn evidence(seed: u64, writers: usize) -> Vec<Vec<Anomaly>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut all = vec![Vec::new(); writers];
    for nth in 0..60 {
        let writer = nth % writers;
        let id = format!("a{nth}");
        let at = rng.random_range(0..900);
        let host = format!("h{}", rng.random_range(0..5));
        let rule = ["flood", "load", "silence"][rng.random_range(0..3)];
        let has_entity = rng.random_bool(0.6);
        let length = rng.random_range(1..200);
        let mut say = |second: i64, kind| {
            let score = Some(f64::from(rng.random_range(0..100)) / 10.0);
            let named = Anomaly { rule: rule.into(), score, ..on(&host, &id, second, kind) };
            let entity = if has_entity { named.entity.clone() } else { None };
            all[writer].push(Anomaly { entity, ..named });
        };
        say(at, Open);
        say(at + length / 2, Worse);
        say(at + length, Clear);
    }
    for rows in &mut all {
        rows.sort_by_key(|row| row.time_ms);
    }
    all
}

/// Messages as they lie on a partition: each writer's in its order, the writers interleaved at
/// random, cut at random; with the watermark that holds after each.
fn interleaved(evidence: &[Vec<Anomaly>], seed: u64) -> Vec<(Vec<Anomaly>, i64)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut left: Vec<&[Anomaly]> = evidence.iter().map(Vec::as_slice).collect();
    let mut time = vec![0; evidence.len()];
    let mut messages = Vec::new();
    while left.iter().any(|rows| !rows.is_empty()) {
        let writer = rng.random_range(0..left.len());
        let take = rng.random_range(0..=left[writer].len().min(7));
        let (now, later) = left[writer].split_at(take);
        left[writer] = later;
        time[writer] = later.first().map_or(2_000, |row| row.time_ms / 1000);
        let mut rows = now.to_vec();
        rows.shuffle(&mut rng);
        messages.push((rows, time.iter().copied().min().unwrap()));
    }
    messages.push((Vec::new(), 2_000));
    messages
}

fn play(messages: &[(Vec<Anomaly>, i64)]) -> Vec<Incident> {
    let mut engine = engine(config());
    let each = messages.iter().map(|(rows, wm)| incidents(&feed(&mut engine, rows, *wm)));
    each.flatten().collect()
}

#[test]
fn incidents_do_not_depend_on_arrival() {
    for seed in 0..20 {
        let evidence = evidence(seed, 4);
        let once = play(&interleaved(&evidence, 0));
        assert!(once.len() > 50);
        let groupings: Vec<Grouping> = once.iter().map(|i| i.grouping).collect();
        assert!(groupings.contains(&Grouping::Cluster) && groupings.contains(&Grouping::Entity));
        for arrival in 1..8 {
            assert_eq!(play(&interleaved(&evidence, arrival)), once, "{seed}/{arrival}");
        }
        // The same said by one writer alone.
        let mut one = vec![evidence.concat()];
        one[0].sort_by_key(|row| row.time_ms);
        assert_eq!(play(&interleaved(&one, 9)), once, "{seed}");
    }
}

#[test]
fn every_incident_lives_by_the_rules() {
    for seed in 0..20 {
        let told = play(&interleaved(&evidence(seed, 3), seed));
        let mut last: BTreeMap<&str, &Incident> = BTreeMap::new();
        for incident in &told {
            let before = last.insert(&incident.id, incident);
            assert_eq!(incident.revision, before.map_or(1, |b| b.revision + 1));
            assert!(before.is_none_or(|b| b.updated_ms <= incident.updated_ms));
            assert_eq!(incident.resolved_ms.is_some(), incident.state == IncidentState::Resolved);
            let open = incident.members.iter().any(|m| m.cleared_ms.is_none());
            assert_eq!(open, incident.state == IncidentState::Open);
            assert!(incident.members.is_sorted_by_key(|m| (m.opened_ms, m.id.clone())));
        }
        assert!(last.values().all(|i| i.state == IncidentState::Resolved), "all clear, all end");
        let members: usize = last.values().map(|i| i.members.len()).sum();
        assert_eq!(members, 60, "each anomaly is in exactly one incident");
    }
}

#[test]
fn a_restored_engine_goes_on_as_if_nothing_had_been() {
    let messages = interleaved(&evidence(7, 3), 7);
    let mut whole = engine(config());
    let mut snapshots = Vec::new();
    let mut told = Vec::new();
    for (rows, watermark_s) in &messages {
        snapshots.push(whole.snapshot());
        told.push(incidents(&feed(&mut whole, rows, *watermark_s)));
    }
    for (at, blocks) in snapshots.iter().enumerate() {
        let mut restored = engine(config());
        restored.restore(blocks).unwrap();
        assert_eq!(&restored.snapshot(), blocks, "step {at}");
        for (step, (rows, watermark_s)) in messages.iter().enumerate().skip(at) {
            let got = incidents(&feed(&mut restored, rows, *watermark_s));
            assert_eq!(got, told[step], "restored at {at}, step {step}");
        }
        assert_eq!(restored.snapshot(), whole.snapshot(), "restored at {at}");
    }
    let mut names: Vec<_> = snapshots.iter().flatten().map(|b| &b.name).collect();
    assert!(names.iter().all(|name| name.len() <= 200 && !name.contains('#')));
    names.dedup();
    assert!(names.len() > 10);
}

#[test]
fn a_block_that_is_not_ours_is_refused() {
    let block = |name: &str| runtime::task::Block { name: name.into(), data: Bytes::new() };
    for name in ["waiting/1", "incident/1/00", "waiting/2", "else"] {
        assert!(engine(config()).restore(&[block(name)]).is_err(), "{name}");
    }
    assert!(engine(config()).restore(&[]).is_ok());
}

#[test]
fn unchanged_incidents_keep_their_bytes() {
    let mut engine = engine(config());
    feed(&mut engine, &[on("h", "a", 100, Open), on("g", "b", 101, Open)], 110);
    let before = engine.snapshot();
    feed(&mut engine, &[on("g", "b", 120, Worse)], 130);
    let after = engine.snapshot();
    let same = after.iter().filter(|block| before.contains(block)).count();
    assert_eq!(after.len(), 4);
    // The domain's and the other incident's; not what waits, and not the incident that changed.
    assert_eq!(same, 2);
}

#[test]
fn members_over_the_limit_are_counted_and_said() {
    let few = CorrelateConfig { members_max: 3, ..config() };
    let mut engine = engine(few);
    let opened: Vec<Anomaly> =
        (0..5).map(|nth| on("h", &format!("a{nth}"), 100 + nth, Open)).collect();
    let out = feed(&mut engine, &opened, 110);
    let last = incidents(&out).pop().unwrap();
    assert_eq!(last.members.len(), 3);
    assert_eq!(count(&out, metrics::REFUSED), 2);
    assert!(last.headline.contains("with 4 more anomalies (2 not listed)"), "{}", last.headline);
    // It is quiet only when those have cleared too.
    let clear = |ids: std::ops::Range<i64>, at: i64| -> Vec<Anomaly> {
        ids.map(|nth| on("h", &format!("a{nth}"), at + nth, Clear)).collect()
    };
    let listed = incidents(&feed(&mut engine, &clear(0..3, 120), 130));
    assert!(listed.iter().all(|i| i.state == IncidentState::Open));
    let rest = incidents(&feed(&mut engine, &clear(3..5, 140), 150));
    assert_eq!(rest.last().unwrap().state, IncidentState::Quiet);
    // One that has cleared makes room.
    let next = incidents(&feed(&mut engine, &[on("h", "a9", 160, Open)], 170)).pop().unwrap();
    assert_eq!(next.members.len(), 3);
    assert!(next.members.iter().any(|m| m.id == "a9"));
}

#[test]
fn incidents_over_the_limit_go_to_one_that_names_the_domain() {
    let mut engine = engine(CorrelateConfig { incidents_max: 2, ..config() });
    let rows: Vec<Anomaly> =
        (0..5).map(|nth| on(&format!("h{nth}"), &format!("a{nth}"), 100, Open)).collect();
    let out = feed(&mut engine, &rows, 110);
    let told = incidents(&out);
    assert_eq!(told.len(), 3);
    assert_eq!(count(&out, metrics::REFUSED), 3);
    let rest = told.iter().find(|i| i.entity.as_ref().unwrap().kind == "domain").unwrap();
    assert_eq!((rest.members.len(), &*rest.entity.as_ref().unwrap().name), (3, "default"));
    let cleared: Vec<Anomaly> =
        (0..5).map(|nth| on(&format!("h{nth}"), &format!("a{nth}"), 120, Clear)).collect();
    let told = incidents(&feed(&mut engine, &cleared, 130));
    assert!(told.iter().all(|i| i.state == IncidentState::Quiet));
}

#[test]
fn evidence_over_the_limit_is_counted_and_said() {
    let mut engine = engine(CorrelateConfig { pending_max: 3, ..config() });
    let rows: Vec<Anomaly> =
        (0..5).map(|nth| on("h", &format!("a{nth}"), 100 + nth, Open)).collect();
    let out = feed(&mut engine, &rows, 10);
    assert_eq!(count(&out, metrics::REFUSED), 2);
    let told = incidents(&feed(&mut engine, &[], 200));
    assert_eq!(told.last().unwrap().members.len(), 3);
    let headline = &told.last().unwrap().headline;
    assert!(headline.contains("2 anomalies of this domain refused while waiting"), "{headline}");
}

#[test]
fn what_names_no_entity_is_grouped_by_k_means() {
    let all = |rows: &[Anomaly]| -> Vec<Incident> { run(config(), rows, 301) };
    let two_rules: Vec<Anomaly> = (0..12)
        .map(|nth| loose(["cpu", "bgp"][nth % 2], &format!("a{nth}"), 10 + nth as i64, Open))
        .collect();
    let told = all(&two_rules);
    assert_eq!(told.len(), 2);
    for incident in &told {
        assert_eq!((incident.grouping, incident.members.len()), (Grouping::Cluster, 6));
        assert!(incident.entity.is_none());
        let rule = &incident.members[0].rule;
        assert!(incident.members.iter().all(|m| m.rule == *rule), "rules are not mixed");
        assert_eq!(incident.updated_ms, 300_000, "at the end of the window");
    }
    let mut backwards = two_rules.clone();
    backwards.reverse();
    assert_eq!(all(&backwards), told);
    // One rule, evenly over the window: one group. Two bursts far apart: two.
    let one = |seconds: &[i64]| -> usize {
        let rows: Vec<Anomaly> =
            seconds.iter().map(|s| loose("cpu", &format!("a{s}"), *s, Open)).collect();
        all(&rows).len()
    };
    assert_eq!(one(&(0..60).map(|n| 1 + n * 5 % 290).collect::<Vec<_>>()), 1);
    assert_eq!(one(&[1, 2, 3, 4, 5, 295, 296, 297, 298, 299]), 2);
    assert_eq!(one(&[7]), 1);
}

#[test]
fn a_group_lives_on_with_its_series() {
    let rows = [
        loose("cpu", "a", 10, Open),
        Anomaly { key: "series=a".into(), ..loose("cpu", "b", 400, Open) },
        loose("cpu", "a", 350, Clear),
        loose("cpu", "b", 410, Clear),
    ];
    let all = run(config(), &rows, 600);
    let table = [
        (300, 1, "open", 1),
        (350, 2, "quiet", 1),
        (400, 3, "open", 2),
        (410, 4, "quiet", 2),
        (470, 5, "resolved", 2),
    ];
    assert_eq!(life(&all), table);
    assert!(all.iter().all(|i| i.id == all[0].id && i.grouping == Grouping::Cluster));
}

#[test]
fn clearings_of_nothing_are_counted() {
    let mut engine = engine(config());
    let out = feed(&mut engine, &[on("h", "a", 100, Clear), loose("r", "b", 100, Clear)], 110);
    assert!(incidents(&out).is_empty());
    assert_eq!(count(&out, metrics::UNMATCHED), 2);
}

#[test]
fn the_headline_is_a_sentence_for_a_person() {
    let headline = |anomaly: Anomaly| run(config(), &[anomaly], 400).pop().unwrap().headline;
    let flood = on("203.0.113.7", "a", 100, Open);
    let silent = Entity { kind: "exporter".into(), name: "192.0.2.1".into() };
    let table = [
        (
            flood.clone(),
            "SYN flood on 203.0.113.7: 4210 SYN/s from 37623 sources, expected at most 35",
        ),
        (
            Anomaly {
                entity: Some(silent),
                model: "silence".into(),
                why: "no datagram for 90 s".into(),
                ..flood.clone()
            },
            "Silence on exporter 192.0.2.1: no datagram for 90 s",
        ),
        (
            Anomaly { model: "row".into(), why: "link 3: down".into(), ..flood.clone() },
            "syn-flood on 203.0.113.7: link 3: down",
        ),
        (
            Anomaly { entity: None, model: "level".into(), why: "too much".into(), ..flood },
            "Unusual level (syn-flood): too much",
        ),
    ];
    for (anomaly, want) in table {
        assert_eq!(headline(anomaly), want);
    }
}

#[test]
fn the_headline_speaks_of_the_worst() {
    let mild = Anomaly { why: "mild".into(), score: None, ..on("h", "a", 100, Open) };
    let bad = Anomaly { why: "bad".into(), score: Some(9.0), ..on("h", "b", 101, Open) };
    let fair = Anomaly { why: "fair".into(), score: Some(4.0), ..on("h", "c", 102, Open) };
    let all = run(config(), &[mild, bad, fair], 200);
    let said: Vec<bool> =
        ["mild", "bad", "bad"].iter().zip(&all).map(|(w, i)| i.headline.contains(w)).collect();
    assert_eq!(said, [true, true, true]);
    assert_eq!(all[2].score, Some(9.0));
    assert!(all[2].headline.ends_with("; with 2 more anomalies"), "{}", all[2].headline);
}

#[test]
fn long_texts_are_cut_so_that_an_incident_fits_a_message() {
    let long = "ü".repeat(5_000);
    let rows: Vec<Anomaly> = (0..200)
        .map(|nth| Anomaly {
            why: long.clone(),
            key: long.clone(),
            ..on("h", &format!("a{nth}"), 100, Open)
        })
        .collect();
    let mut engine = engine(config());
    let out = feed(&mut engine, &rows, 110);
    let data = out.data().next().unwrap();
    assert_eq!(incidents(&out)[0].members.len(), 200);
    assert!(model::ipc::encode(&data.batch).unwrap().len() < 900_000);
}

#[test]
fn messages_say_what_they_are() {
    let mut engine = engine(config());
    let out = feed(&mut engine, &[on("h", "a", 100, Open)], 110);
    let [Emitted::Data(data), Emitted::Raw(raw)] = out.emitted() else {
        panic!("one row and its mirror: {:?}", out.emitted());
    };
    let incident = &incidents(&out)[0];
    let header = |name: &str| {
        let found = data.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str()).unwrap()
    };
    assert_eq!(data.key.as_deref(), Some(incident.id.as_bytes()));
    assert!(data.urgent && raw.urgent);
    assert_eq!(header("ce_specversion"), "1.0");
    assert_eq!(header("ce_id"), format!("{}/1", incident.id));
    assert_eq!(header("ce_type"), "gannet.incident.open.v1");
    assert_eq!(header("ce_source"), "/gannet/correlate/default");
    assert_eq!(header("ce_time"), "1970-01-01T00:01:40.000Z");
    assert_eq!(header("traceparent").len(), 55);
    assert_eq!(raw.headers, data.headers);
    assert_eq!(raw.content_type, "application/json");
    let text = std::str::from_utf8(&raw.payload).unwrap();
    assert!(text.starts_with('{') && text.ends_with('}') && !text.contains('\n'), "{text}");
    assert!(text.contains(&format!("\"id\":\"{}\"", incident.id)), "{text}");
    assert!(text.contains("\"members\":[{"), "{text}");
}

#[test]
fn messages_that_are_no_evidence_change_nothing() {
    let mut engine = engine(config());
    let told = incidents(&feed(&mut engine, &[on("h", "a", 100, Open)], 110));
    let before = engine.snapshot();
    let rows = Anomaly::to_batch(&[on("h", "b", 120, Open)]).unwrap();
    let payload = model::ipc::encode(&rows).unwrap();
    let anomalies = model::schema::anomalies().header();
    let bad = |engine: &mut Correlator, schema: &str, payload: &[u8]| {
        let payload = Bytes::copy_from_slice(payload);
        message(engine, schema, payload, 1, 130).unwrap_err().reason
    };
    assert_eq!(bad(&mut engine, "evidence.weather/1", &payload), "schema");
    assert_eq!(bad(&mut engine, &anomalies, b"not arrow"), "payload");
    assert_eq!(bad(&mut engine, &anomalies, &payload[..payload.len() / 2]), "payload");
    let other = Incident::to_batch(&told).unwrap();
    let foreign = model::ipc::encode(&other).unwrap();
    assert_eq!(bad(&mut engine, &anomalies, &foreign), "rows");
    assert_eq!(engine.snapshot(), before);
}
