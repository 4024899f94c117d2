//! What a stage on a real cluster refuses to start on, and what it says to whom it hits: topics
//! that are missing or not as the configuration says, a topic that was made again under its
//! committed offsets, a configuration that is not the active one. By the binary: exit code, words.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bus::topics::{TopicSpec, some};
use bus::{Admin, Committed, Event, TaskId, Tasks, Transaction, heartbeat};

use crate::process::Gannet;
use crate::process::site::{CONFIG, Site};

/// Exit codes of the binary (`gannet --help`).
const FAILED: i32 = 1;
const REFUSED: i32 = 2;
const STAGES: [&str; 3] = ["ingest", "detect", "correlate"];
const LIMIT: Duration = Duration::from_secs(60);

/// The exit code of `gannet topics WHAT`, and what it printed.
fn topics(site: &Site, what: &str, config: &str) -> Result<(i32, String)> {
    let output = site.run(&["topics", what], config)?;
    let code = output.status.code().context("ended by a signal")?;
    Ok((code, String::from_utf8(output.stdout)?))
}

/// Every stage ends by itself and says so.
fn all_refuse(site: &Site, config: &str, wanted: &str) -> Result<()> {
    for stage in STAGES {
        let (code, said) = site.refused(stage, "one", config)?;
        ensure!(code == FAILED && said.contains(wanted), "{stage} ended with {code}:\n{said}");
    }
    Ok(())
}

fn spec(site: &Site, topic: &str) -> Result<TopicSpec> {
    some(&site.bus, &[topic]).pop().context("not in the catalogue")
}

#[test]
fn topics_that_are_missing_or_differ_are_refused_with_the_mend() -> Result<()> {
    let Some(site) = Site::of_test("topics", 2)? else { return Ok(()) };
    let evidence = site.bus.topic("evidence.v1");
    let missing = format!(
        "topic {evidence} is missing (wanted: 2 partitions): create it with `gannet topics apply`"
    );
    let (code, said) = topics(&site, "plan", CONFIG)?;
    assert!(code == 0 && said.contains(&missing), "{code}: {said}");
    assert_eq!(site.log.admin().describe(&evidence)?, None, "a plan makes nothing");
    let (code, said) = topics(&site, "check", CONFIG)?;
    assert!(code == FAILED && said.contains(&missing), "{code}: {said}");
    all_refuse(&site, CONFIG, &missing)?;

    let (code, said) = topics(&site, "apply", CONFIG)?;
    let done = format!("topic {evidence} is missing (wanted: 2 partitions): done");
    assert!(code == 0 && said.contains(&done), "{code}: {said}");
    let (code, said) = topics(&site, "check", CONFIG)?;
    assert!(code == 0 && said.contains("topics are as the configuration says"), "{code}: {said}");
    another_policy(&site)?;
    other_partitions(&site)
}

fn another_policy(site: &Site) -> Result<()> {
    let mut spec = spec(site, "evidence.v1")?;
    let wanted = spec.settings.insert("retention.ms".to_owned(), "60000".to_owned());
    let wanted = wanted.context("a stream has a retention")?;
    site.log.admin().alter(&spec)?;
    let differs = format!(
        "topic {} has retention.ms=\"60000\", wanted {wanted:?}: set it with `gannet topics \
         apply`, or change it in the configuration",
        spec.name
    );
    let (code, said) = topics(site, "check", CONFIG)?;
    assert!(code == FAILED && said.contains(&differs), "{code}: {said}");
    all_refuse(site, CONFIG, &differs)?;
    assert_eq!(topics(site, "apply", CONFIG)?.0, 0);
    assert_eq!(topics(site, "check", CONFIG)?.0, 0);
    Ok(())
}

/// The number of partitions is a contract: `apply` does not change it.
fn other_partitions(site: &Site) -> Result<()> {
    let mut bus = site.bus.clone();
    bus.topics.partitions_other = 3;
    site.configure("three.yaml", &bus, "")?;
    let evidence = site.bus.topic("evidence.v1");
    let differs = format!(
        "topic {evidence} has 2 partitions, wanted 3: set the configuration to 2 partitions, or"
    );
    all_refuse(site, "three.yaml", &differs)?;
    let (code, said) = topics(site, "apply", "three.yaml")?;
    assert!(code == FAILED && said.contains(&differs), "{code}: {said}");
    let found = site.log.admin().describe(&evidence)?.context("it is there")?;
    assert_eq!(found.partitions, 2);
    Ok(())
}

#[test]
fn another_configuration_is_refused_until_it_is_activated() -> Result<()> {
    let Some(site) = Site::of_test("config", 2)? else { return Ok(()) };
    site.apply_topics()?;
    site.configure("other.yaml", &site.bus, "correlate: { resolve_after_s: 60 }\n")?;
    let mut first = site.start("correlate", "one", CONFIG)?;
    first.wait_until_ready()?;
    let (code, said) = site.refused("correlate", "two", "other.yaml")?;
    assert_eq!(code, REFUSED, "{said}");
    for wanted in [
        "is not the active one",
        "serial 1, published by one",
        "- resolve_after_s: 300",
        "+ resolve_after_s: 60",
        "gannet config activate --config FILE",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    // The same file agrees: it is the second instance of the stage.
    let mut second = site.start("correlate", "two", CONFIG)?;
    second.wait_until_ready()?;
    first.check()?;
    assert_eq!((first.stop()?, second.stop()?), (0, 0));
    wait("the empty group", || Ok(site.log.admin().members("correlate")?.is_empty()))?;

    let activated = site.run(&["config", "activate"], "other.yaml")?;
    let said = String::from_utf8(activated.stdout)? + &String::from_utf8(activated.stderr)?;
    assert!(activated.status.success() && said.contains("is active, serial 2"), "{said}");
    let mut third = site.start("correlate", "two", "other.yaml")?;
    third.wait_until_ready()?;
    assert_eq!(site.refused("correlate", "one", CONFIG)?.0, REFUSED);
    assert_eq!(third.stop()?, 0);
    Ok(())
}

#[test]
fn a_configuration_is_not_activated_under_instances_that_live() -> Result<()> {
    let Some(site) = Site::of_test("live", 2)? else { return Ok(()) };
    site.apply_topics()?;
    site.configure("other.yaml", &site.bus, "correlate: { resolve_after_s: 60 }\n")?;
    let mut first = site.start("correlate", "one", CONFIG)?;
    first.wait_until_ready()?;
    wait("the instance in its group", || {
        Ok(site.log.admin().members("correlate")?.contains(&"one".to_owned()))
    })?;
    let refused = site.run(&["config", "activate"], "other.yaml")?;
    let said = String::from_utf8(refused.stderr)?;
    assert!(!refused.status.success() && said.contains("correlate/one still run"), "{said}");
    let forced = site.run(&["config", "activate", "--force"], "other.yaml")?;
    assert!(forced.status.success(), "{}", String::from_utf8_lossy(&forced.stderr));
    first.check()?;
    assert_eq!(first.stop()?, 0);
    Ok(())
}

/// Heartbeats to every partition of evidence: correlate takes and commits them.
fn speak(site: &Site, times: std::ops::Range<i64>) -> Result<()> {
    let topic = std::sync::Arc::from(site.bus.topic("evidence.v1"));
    let mut producer = site.log.producer("test", "speaker")?;
    for time in times {
        for partition in 0..2 {
            let writer = bus::Writer::Instance {
                stage: "test".to_owned(),
                instance: "speaker".to_owned(),
                epoch: 1,
            };
            let name = bus::Name { writer, offset: time + 1, index: 0 };
            let beat = heartbeat(&topic, partition, 1_000 * time, name, "test", Vec::new());
            ensure!(producer.send(&beat)?.is_some(), "the queue is full");
        }
    }
    let begun = Instant::now();
    while producer.in_flight() > 0 {
        ensure!(begun.elapsed() < LIMIT, "not delivered");
        producer.poll(Duration::from_millis(100));
    }
    Ok(())
}

fn wait(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !done()? {
        ensure!(begun.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn wait_for_commits(process: &mut Gannet, least: f64) -> Result<()> {
    wait("commits", || {
        process.check()?;
        Ok(process.metric("gannet_task_messages_total", &["correlate"])? >= least
            && process.metric("gannet_task_commits_total", &["correlate", "done"])? >= 1.0)
    })
}

/// Makes evidence again, as an operator would to throw it away.
fn make_again(site: &Site) -> Result<String> {
    let spec = spec(site, "evidence.v1")?;
    let admin: &dyn Admin = site.log.admin();
    admin.delete(&spec.name)?;
    admin.create(&spec)?;
    Ok(format!("topic {} was deleted and made again", spec.name))
}

#[test]
fn a_topic_made_again_while_a_stage_runs_ends_it() -> Result<()> {
    let Some(site) = Site::of_test("again", 2)? else { return Ok(()) };
    site.apply_topics()?;
    let mut first = site.start("correlate", "one", CONFIG)?;
    first.wait_until_ready()?;
    speak(&site, 0..20)?;
    wait_for_commits(&mut first, 40.0)?;
    let wanted = make_again(&site)?;
    let code = first.end(LIMIT)?;
    let said = first.output();
    assert!(code == FAILED && said.contains(&wanted), "{code}: {said}");
    Ok(())
}

/// What an instance of the group that has all tasks does with each of them.
fn as_member(
    site: &Site,
    mut act: impl FnMut(&mut dyn Tasks, &TaskId) -> Result<()>,
) -> Result<()> {
    let topic = site.bus.topic("evidence.v1");
    let mut tasks = site.log.join("correlate", "another", &[topic])?;
    let mut left = 2;
    wait("its tasks", || {
        if let Event::Assigned(assigned) = tasks.next(Duration::from_millis(100))? {
            for task in &assigned {
                act(&mut *tasks, task)?;
                left -= 1;
            }
        }
        Ok(left == 0)
    })?;
    Ok(tasks.leave(Duration::from_secs(3))?)
}

/// A broker forgets offsets with their topic; those that were copied from elsewhere stay.
#[test]
fn a_topic_made_again_under_committed_offsets_is_refused() -> Result<()> {
    let Some(site) = Site::of_test("offsets", 2)? else { return Ok(()) };
    site.apply_topics()?;
    let mut first = site.start("correlate", "one", CONFIG)?;
    first.wait_until_ready()?;
    speak(&site, 0..20)?;
    wait_for_commits(&mut first, 40.0)?;
    assert_eq!(first.stop()?, 0);
    let mut kept = Vec::new();
    as_member(&site, |tasks, task| {
        let committed = tasks.committed(task)?.context("it was committed")?;
        kept.push((task.clone(), Committed { offset: 0, ..committed }));
        Ok(())
    })?;
    let wanted = make_again(&site)?;
    as_member(&site, |tasks, task| {
        assert_eq!(tasks.committed(task)?, None);
        let positions = kept.iter().filter(|(of, _)| of == task).cloned().collect();
        Ok(tasks.commit(Transaction { outputs: Vec::new(), positions })?)
    })?;
    let (code, said) = site.refused("correlate", "one", CONFIG)?;
    assert!(code == FAILED && said.contains(&wanted), "{code}: {said}");
    Ok(())
}
