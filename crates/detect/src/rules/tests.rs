//! Rules as text: places in errors, the added domain, hostile files, and the shipped ones.

use super::domain::with_domain;
use super::*;
use crate::models::{ModelKind, ModelSpec};

const SHIPPED: &str = include_str!("../../../../config/rules.yaml");

#[test]
fn the_shipped_rules_load_and_have_fingerprints_of_their_own() {
    let rules = check_rules(SHIPPED).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    let expected = [
        "bgp-down",
        "cpu-usage",
        "device-unreachable",
        "exporter-loss",
        "exporter-silent",
        "exporter-traffic",
        "interface-errors",
        "interface-utilization",
        "link-admin-down",
        "link-down",
        "link-flapping",
        "syn-flood",
    ];
    assert_eq!(names, expected);
    let mut fingerprints: Vec<&str> = rules.iter().map(|r| r.fingerprint.as_str()).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), names.len());
    let flood = rules.get("syn-flood").unwrap().windowed().unwrap();
    assert_eq!(flood.window.pane_ms, 5_000);
    assert_eq!(flood.watch[0].columns[0].len(), 4);
    let cpu = rules.get("cpu-usage").unwrap().windowed().unwrap();
    let ModelSpec::Threshold(limits) = &cpu.watch[0].models[0] else { panic!("a threshold") };
    assert_eq!((limits.above, limits.lasting.unwrap().ms()), (Some(90.0), 300_000));
    assert_eq!(cpu.watch[0].models[0].kind(), ModelKind::Threshold);
}

#[test]
fn domain_is_added_where_it_is_missing() {
    let check = |sql: &str, expected: &str| assert_eq!(with_domain(sql).sql, expected);
    check(
        "SELECT a, count(*) AS n FROM flows GROUP BY a",
        "SELECT a, count(*) AS n, domain FROM flows GROUP BY a, domain",
    );
    check("SELECT count(*) n FROM flows", "SELECT count(*) n, domain FROM flows GROUP BY domain");
    check(
        "SELECT count(*) n FROM flows WHERE x = 'GROUP BY' -- HAVING\n",
        "SELECT count(*) n, domain FROM flows WHERE x = 'GROUP BY' GROUP BY domain -- HAVING\n",
    );
    check(
        "SELECT a, sum(b) FROM flows GROUP BY a HAVING sum(b) > 1;",
        "SELECT a, sum(b), domain FROM flows GROUP BY a, domain HAVING sum(b) > 1;",
    );
    check(
        "SELECT domain, a, sum(b) FROM flows GROUP BY 1, 2",
        "SELECT domain, a, sum(b) FROM flows GROUP BY 1, 2, domain",
    );
    let whole = "SELECT domain, a, sum(b) FROM flows GROUP BY domain, a";
    check(whole, whole);
    let nested = "SELECT a, sum(b) FROM (SELECT a, b, domain FROM flows) GROUP BY a";
    check(nested, nested);
}

/// The place of a name in what is planned, brought back to what was written.
#[test]
fn places_are_those_of_the_text_as_written() {
    let texts = [
        "SELECT a, sum(b) FROM flows WHERE c = 1 GROUP BY a HAVING zzz > 1",
        "SELECT a,\n  sum(b)\nFROM flows WHERE zzz = 1 GROUP BY a",
        "SELECT zzz, sum(b) FROM flows GROUP BY a",
        "SELECT a, sum(é) FROM flows GROUP BY a HAVING zzz",
    ];
    for text in texts {
        let rewritten = with_domain(text);
        let place = |text: &str| {
            let line = text.lines().position(|line| line.contains("zzz")).unwrap();
            let of_line = text.lines().nth(line).unwrap();
            (line + 1, of_line[..of_line.find("zzz").unwrap()].chars().count() + 1)
        };
        let (line, column) = place(&rewritten.sql);
        assert_eq!((line, rewritten.original_column(text, line, column)), place(text), "{text}");
    }
}

fn error_of(yaml: &str) -> RuleError {
    match check_rules(yaml) {
        Ok(_) => panic!("accepted: {yaml}"),
        Err(error) => error,
    }
}

#[test]
fn an_error_in_sql_has_its_place_and_a_caret() {
    let yaml = "
- name: r
  from: flows
  window: { size: 10s }
  sql: |
    SELECT dst_addr, sum(bites) AS b
    FROM flows GROUP BY dst_addr
  watch: [{ value: b, models: [level] }]
";
    let error = error_of(yaml);
    assert_eq!(error.rule.as_deref(), Some("r"));
    let place = error.place.expect("a place");
    assert_eq!((place.line, place.column), (1, 22));
    let caret = place.snippet.lines().last().unwrap().to_owned();
    assert_eq!(caret.find('^'), place.snippet.lines().nth(1).unwrap().find("bites"));
    assert!(!place.snippet.contains("domain"), "{}", place.snippet);
}

#[test]
fn hostile_rules_are_refused_with_words() {
    let rule = |body: &str| format!("- name: r\n  from: flows\n{body}");
    let sql = |sql: &str| {
        let body = "  window: { size: 10s }\n  watch: [{ value: n, models: [level] }]\n";
        rule(&format!("{body}  sql: \"{sql}\"\n"))
    };
    let window = |window: &str| {
        let body =
            "  sql: SELECT count(*) AS n FROM flows\n  watch: [{ value: n, models: [level] }]";
        rule(&format!("{body}\n  window: {window}\n"))
    };
    let cases = [
        (String::from("- name: [1"), ""),
        ("- nome: x".to_owned(), "nome"),
        ("- name: 'a b'\n  from: flows\n  when: 'true'".to_owned(), "a name is"),
        (rule(""), "a rule has sql with a window"),
        (rule("  sql: SELECT 1\n"), "needs a window"),
        (sql("SELECT dst_addr, count(*) AS n FROM flows GROUP BY dst_addr ORDER BY 2"), "ORDER BY"),
        (sql("SELECT count(*) AS n FROM flows LIMIT 1"), "LIMIT"),
        (sql("DROP TABLE flows"), ""),
        (sql("SELECT count(*) AS m FROM flows"), "no value n"),
        (sql("SELECT dst_addr AS n FROM flows GROUP BY dst_addr"), "cannot be"),
        (sql("SELECT count(*) AS n FROM flows GROUP BY dst_addr"), "not in its key"),
        (
            sql("SELECT a, count(*) AS n FROM (SELECT dst_port AS a FROM flows) GROUP BY a"),
            "domain is part of every key",
        ),
        (window("{ size: 10s, every: 20s }"), "larger than size"),
        (window("{ size: 1h, every: 1s }"), "panes"),
        (window("{ size: 10 s, on: bytes }"), "no column bytes of times"),
        (window("{ size: tomorrow }"), "not a length of time"),
        (window("{ size: 10s, lateness: 5s }"), "never late"),
        (rule("  when: bytes\n"), "not true or false"),
        (rule("  when: count(*) > 1\n"), "aggregate"),
        ("- name: r\n  condition: cpu > many\n".to_owned(), "not a number"),
        ("- name: r\n  condition: cpu\n".to_owned(), "METRIC > NUMBER"),
        ("- name: r\n  condition: cpu > 1 for ever\n".to_owned(), "length of time"),
        ("- name: r\n  source: x\n  condition: cpu > 1\n".to_owned(), "none of"),
    ];
    for (yaml, words) in cases {
        let error = error_of(&yaml).to_string();
        assert!(error.contains(words), "{yaml}\nsays: {error}");
    }
}

#[test]
fn models_are_refused_with_senseless_parameters() {
    for model in [
        "threshold",
        "level: { tail: 2 }",
        "level: { sustain: 0 }",
        "level: { sigmas: 3 }",
        "syn-flood: { rate-min: -1 }",
        "guess",
    ] {
        let yaml = format!(
            "- name: r\n  from: flows\n  window: {{ size: 10s }}\n  sql: SELECT count(*) AS n FROM \
             flows\n  watch: [{{ value: n, models: [{{ {model} }}] }}]"
        );
        error_of(&yaml);
    }
}

#[test]
fn two_rules_of_one_name_and_too_many_are_refused() {
    let one = "- name: r\n  from: events\n  when: kind = 'link'\n";
    assert!(error_of(&format!("{one}{one}")).to_string().contains("two rules"));
    let many = (0..201).map(|i| one.replace("name: r", &format!("name: r{i}")));
    assert!(error_of(&many.collect::<String>()).to_string().contains("201 rules"));
}

#[test]
fn periods_read_and_print() {
    for (text, ms) in [("500ms", 500), ("10s", 10_000), ("5 minutes", 300_000), ("7d", 604_800_000)]
    {
        let period: Period = text.parse().unwrap();
        assert_eq!(period.ms(), ms);
        assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
    }
    for bad in ["", "s", "10", "-1s", "10y", "99999999999999999999d", "400d"] {
        assert!(bad.parse::<Period>().is_err(), "{bad}");
    }
}

#[test]
fn panes_and_first_windows() {
    let spec = |size_ms, every_ms, pane_ms| WindowSpec {
        size_ms,
        every_ms,
        pane_ms,
        on: "received".into(),
        lateness_ms: 0,
    };
    let sliding = spec(10_000, 5_000, 5_000);
    assert_eq!(sliding.pane_of(12_345), 10_000);
    assert_eq!(sliding.first_window(10_000), 5_000);
    assert!(!sliding.is_late(10_000, 14_999));
    assert!(sliding.is_late(10_000, 15_000));
    let tumbling = spec(10_000, 10_000, 10_000);
    assert_eq!(tumbling.first_window(10_000), 10_000);
    let odd = spec(15_000, 10_000, 5_000);
    assert_eq!((odd.first_window(10_000), odd.first_window(15_000)), (0, 10_000));
    assert_eq!(odd.pane_of(-1), -5_000);
}

proptest::proptest! {
    /// Any text is answered: a rule set or an error, never a panic.
    #[test]
    fn any_sql_is_answered(sql in "\\PC{0,80}") {
        let _ = with_domain(&sql);
        let rewritten = with_domain(&format!("SELECT {sql} FROM flows"));
        for column in 1..200 {
            let _ = rewritten.original_column(&sql, 1, column);
        }
    }
}
