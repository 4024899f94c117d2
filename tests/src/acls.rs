//! Only the console writes approvals (DESIGN §7), on a Kafka that asks who somebody is: SASL/PLAIN,
//! and Kafka's own authorizer, which refuses what nobody has allowed. Rights by the binary, writing
//! and reading by the log as each principal has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use bus::acls::{Acl, Operation, Pattern, Resource};
use bus::config::{AclsConfig, KafkaConfig};
use bus::{BusConfig, Log, Meta, Name, OutRecord, Outgoing, Record, Time, Where, Writer, frame};
use model::rows::{Approval, ApprovalVerdict};
use model::schema;

use crate::process::site::{BOOTSTRAP, CONFIG, Site, records};

/// The broker's address, from whoever started one that asks.
const SASL_BOOTSTRAP: &str = "KAFKA_SASL_BOOTSTRAP";
/// Exit code of the binary (`gannet --help`).
const FAILED: i32 = 1;
/// A stranger's clients try for so long, and in vain.
const STRANGER_MS: u64 = 4_000;
const LIMIT: Duration = Duration::from_secs(60);

// Users of the broker (xtask's `properties`).
const ADMIN: &str = "admin";
const CONSOLE: &str = "gannet-console";
const ACT: &str = "gannet-act";
const DETECT: &str = "gannet-detect";

fn principal(user: &str) -> String {
    format!("User:{user}")
}

fn login(user: &str, password: &str) -> BTreeMap<String, String> {
    let options = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", user),
        ("sasl.password", password),
    ];
    options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn secret(user: &str) -> String {
    format!("{user}-secret")
}

fn acls() -> AclsConfig {
    AclsConfig { console: principal(CONSOLE), act: principal(ACT) }
}

/// A site whose own log is the operator's; `None` where no such broker runs.
fn site(name: &str) -> Result<Option<Site>> {
    let Ok(bootstrap) = std::env::var(SASL_BOOTSTRAP) else {
        println!("skipped: {SASL_BOOTSTRAP} not set; to mend: cargo xtask test");
        return Ok(None);
    };
    let common = login(ADMIN, &secret(ADMIN));
    let kafka = KafkaConfig { bootstrap, common, acls: Some(acls()), ..Default::default() };
    Site::with(kafka, name, 2).map(Some)
}

/// The log as somebody else has it.
fn as_user(site: &Site, common: BTreeMap<String, String>) -> BusConfig {
    let mut bus = site.bus.clone();
    bus.kafka.common = common;
    bus
}

fn of(site: &Site, user: &str) -> Result<Arc<dyn Log>> {
    Ok(bus::open(&as_user(site, login(user, &secret(user))))?)
}

/// The exit code of `gannet topics WHAT`, and what it printed.
fn topics(site: &Site, what: &str) -> Result<(i32, String)> {
    let output = site.run(&["topics", what], CONFIG)?;
    let code = output.status.code().context("ended by a signal")?;
    Ok((code, String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?))
}

fn approval(who: &str) -> Approval {
    Approval {
        domain: "default".to_owned(),
        time_ms: 1_000,
        execution: "x1".to_owned(),
        incident: "i1".to_owned(),
        plan_hash: "h1".to_owned(),
        verdict: ApprovalVerdict::Approve,
        who: who.to_owned(),
        reason: None,
        until_ms: 61_000,
    }
}

fn message(bus: &BusConfig, row: &Approval) -> Result<OutRecord> {
    let (stage, instance) = ("console".to_owned(), row.who.clone());
    let meta = Meta {
        schema: schema::approvals().header(),
        schema_fp: schema::approvals().fingerprint.clone(),
        producer: row.who.clone(),
        rows: 0,
        min_ts_ms: 0,
        max_ts_ms: 0,
        wm_ms: None,
        name: Name { writer: Writer::Instance { stage, instance, epoch: 1 }, offset: 1, index: 0 },
        config_fp: None,
        replay_id: None,
        extra: Vec::new(),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let outgoing = Outgoing {
        topic: Arc::from(bus.topic("approvals.v1")),
        to: Where::ByColumn("domain".to_owned()),
        batch: Approval::to_batch(std::slice::from_ref(row))?,
        key: None,
        // A broker deletes by it.
        time: Time::At(i64::try_from(now.as_millis())?),
        meta,
    };
    frame(outgoing, 2, &bus.limits)?.records.pop().context("one row is one message")
}

/// Writes an approval; the error is why it is not on the log.
fn write(bus: &BusConfig, who: &str) -> Result<Result<i64, String>> {
    let record = message(bus, &approval(who))?;
    let mut producer = bus::open(bus)?.producer("console", who)?;
    match producer.send(&record) {
        Ok(ticket) => ensure!(ticket.is_some(), "the queue is full"),
        Err(error) => return Ok(Err(error.to_string())),
    }
    let begun = Instant::now();
    loop {
        ensure!(begun.elapsed() < LIMIT, "{who}: no report");
        if let Some(delivery) = producer.poll(Duration::from_millis(100)).pop() {
            return Ok(delivery.result);
        }
    }
}

fn written_by(site: &Site, user: &str) -> Result<Result<i64, String>> {
    write(&as_user(site, login(user, &secret(user))), user)
}

fn approvals(records: &[Record]) -> Result<Vec<Approval>> {
    let mut rows = Vec::new();
    for record in records {
        let payload = record.payload.as_deref().context("a record without a payload")?;
        let batch = model::ipc::decode(payload, Default::default())?;
        rows.extend(Approval::from_batch(&batch)?);
    }
    Ok(rows)
}

fn read_by(site: &Site, user: &str) -> Result<Vec<Approval>> {
    approvals(&records(&*of(site, user)?, &site.bus.topic("approvals.v1"))?)
}

#[test]
fn only_the_consoles_principal_writes_approvals() -> Result<()> {
    let Some(site) = site("acls")? else { return Ok(()) };
    rights_are_planned_and_granted(&site)?;
    let written = written_by(&site, CONSOLE)?;
    assert!(written.is_ok(), "{written:?}");
    assert_eq!(read_by(&site, ACT)?, [approval(CONSOLE)]);

    // Both write elsewhere, as they must; who writes nowhere is no producer at all.
    for (user, topic) in [(ACT, "actions.v1"), (DETECT, "evidence.v1")] {
        let own = Acl::allow(&principal(user), Operation::Write, &site.bus.topic(topic));
        site.log.admin().grant(&own)?;
        let refused = written_by(&site, user)?.expect_err("it is not the console");
        assert!(refused.contains("Topic authorization failed"), "{user}: {refused}");
    }
    let unread = format!("{:#}", read_by(&site, DETECT).expect_err("it may not read them"));
    assert!(unread.contains("authorization failed"), "{unread}");
    strangers_are_refused(&site)?;
    assert_eq!(read_by(&site, ADMIN)?, [approval(CONSOLE)], "nothing else is on the topic");
    others_that_may_write_are_told(&site)
}

fn rights_are_planned_and_granted(site: &Site) -> Result<()> {
    let topic = site.bus.topic("approvals.v1");
    let lacks = format!("topic {topic}: a right is missing: User:{CONSOLE} may write {topic}");
    let mend = format!("{lacks}: grant it with `gannet topics apply`");
    let (code, said) = topics(site, "plan")?;
    assert!(code == 0 && said.contains(&mend), "{code}: {said}");
    assert_eq!(site.log.admin().acls(Resource::Topic, &topic)?, [], "a plan grants nothing");
    let (code, said) = topics(site, "check")?;
    assert!(code == FAILED && said.contains(&mend), "{code}: {said}");
    let (code, said) = topics(site, "apply")?;
    assert!(code == 0 && said.contains(&format!("{lacks}: done")), "{code}: {said}");
    let (code, said) = topics(site, "check")?;
    let as_said = "rights to approvals are as the configuration says";
    assert!(code == 0 && said.contains(as_said), "{code}: {said}");
    Ok(())
}

/// Nobody, and somebody with a wrong password, do not even get as far as a topic.
fn strangers_are_refused(site: &Site) -> Result<()> {
    let nobody = BTreeMap::from([("security.protocol".to_owned(), "plaintext".to_owned())]);
    for common in [nobody, login(CONSOLE, "guessed")] {
        let mut bus = as_user(site, common);
        bus.kafka.timeouts.request_ms = STRANGER_MS;
        bus.kafka.timeouts.delivery_ms = STRANGER_MS;
        let said = write(&bus, "stranger")?;
        assert!(said.is_err(), "{said:?}");
        let described = bus::open(&bus)?.admin().describe(&bus.topic("approvals.v1"));
        assert!(described.is_err(), "{described:?}");
    }
    Ok(())
}

/// A right by prefix, such as an operator gives in passing, opens approvals too.
fn others_that_may_write_are_told(site: &Site) -> Result<()> {
    let prefix = &site.bus.prefix;
    let wide = Acl {
        pattern: Pattern::Prefixed,
        ..Acl::allow(&principal(DETECT), Operation::Write, prefix)
    };
    site.log.admin().grant(&wide)?;
    let told = format!("may be written by others: User:{DETECT} may write {prefix}*: revoke it");
    for what in ["check", "apply"] {
        let (code, said) = topics(site, what)?;
        assert!(code == FAILED && said.contains(&told), "{what} {code}: {said}");
    }
    assert!(written_by(site, DETECT)?.is_ok(), "what the check says is so");
    Ok(())
}

/// Rights on a cluster that asks nobody would be a promise that nobody keeps: they stay missing.
#[test]
fn rights_where_nobody_is_asked_are_an_error() -> Result<()> {
    let Ok(bootstrap) = std::env::var(BOOTSTRAP) else {
        println!("skipped: {BOOTSTRAP} not set; to mend: cargo xtask test");
        return Ok(());
    };
    let kafka = KafkaConfig { bootstrap, acls: Some(acls()), ..Default::default() };
    let site = Site::with(kafka, "open", 2)?;
    for (what, wanted) in [("check", "a right is missing"), ("apply", "No Authorizer")] {
        let (code, said) = topics(&site, what)?;
        assert!(code == FAILED && said.contains(wanted), "{what} {code}: {said}");
    }
    Ok(())
}
