//! 133 real messages of ten platforms with their truth beside them.

use serde_json::Value;

use crate::syslog::{Parsed, parse, said};
use crate::tests::data;

#[test]
fn real_messages_agree_with_their_truth() {
    let Some(folder) = data::folder("syslog/napalm-logs") else {
        return;
    };
    let (mut seen, mut links, mut wrong) = (0, 0, Vec::new());
    for path in data::files(&folder, "syslog.msg") {
        let raw = std::fs::read_to_string(&path).expect("a message");
        let truth = std::fs::read_to_string(path.with_file_name("yang.json")).expect("its truth");
        let truth: Value = serde_json::from_str(&truth).expect("JSON");
        let parsed = parse(&raw);
        seen += 1;
        wrong.extend(differences(&parsed, &truth, &raw));
        if let Some(wanted) = Wanted::of(&truth) {
            links += 1;
            let said = said(&parsed);
            if !wanted.is(said.kind, said.state.as_deref(), said.entity.as_deref()) {
                wrong.push(format!("{said:?}, not {wanted:?}: {raw}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    println!("{seen} messages, {links} of interfaces");
    assert_eq!(seen, 133);
    assert!(links >= 10);
}

fn differences(parsed: &Parsed<'_>, truth: &Value, raw: &str) -> Vec<String> {
    let details = &truth["message_details"];
    let text = |name: &str| details[name].as_str().unwrap_or("-").to_owned();
    let or = |part: Option<&str>| part.unwrap_or("-").to_owned();
    let number = |part: Option<u8>| part.map_or(Value::Null, Value::from).to_string();
    let mut pairs = vec![
        ("host", or(parsed.host), text("host")),
        ("mark", or(parsed.tag), text("tag")),
        ("time", time(parsed), told_time(&text("date"), &text("time"))),
        ("facility", number(parsed.facility), truth["facility"].to_string()),
        ("severity", number(parsed.severity), truth["severity"].to_string()),
        ("message id", or(parsed.sequence), text("messageId")),
    ];
    if details["processName"].is_string() {
        pairs.push(("program", or(parsed.app), text("processName")));
        pairs.push(("process", or(parsed.process), text("processId")));
    }
    let wrong = pairs.into_iter().filter(|(_, found, wanted)| found != wanted);
    wrong.map(|(what, found, wanted)| format!("{what} {found}, not {wanted}: {raw}")).collect()
}

fn time(parsed: &Parsed<'_>) -> String {
    parsed.time.map_or("-".to_owned(), |t| {
        format!("{}-{} {:02}:{:02}:{:02}", t.month, t.day, t.hour, t.minute, t.second)
    })
}

/// `Nov 14`, `2018 Apr 20`, `2018-7-23` or `2018-Nov- 9`, and a time of day, as `time` writes them.
fn told_time(date: &str, time: &str) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let parts: Vec<&str> = date.split([' ', '-']).filter(|part| !part.is_empty()).collect();
    let [.., month, day] = parts.as_slice() else { panic!("no date: {date}") };
    let month = match MONTHS.find(month) {
        Some(at) => at / 3 + 1,
        None => month.parse().expect("a month"),
    };
    let day: u8 = day.parse().expect("a day");
    format!("{month}-{day} {}", &time[..8])
}

/// An interface and its state, as the truth tells them.
#[derive(Debug)]
struct Wanted {
    port: String,
    is_up: bool,
}

impl Wanted {
    fn of(truth: &Value) -> Option<Wanted> {
        let error = truth["error"].as_str().filter(|e| e.starts_with("INTERFACE_"))?;
        let is_up = match error.strip_prefix("INTERFACE_")? {
            "UP" => true,
            "DOWN" => false,
            _ => return None,
        };
        let interfaces = truth["yang_message"]["interfaces"]["interface"].as_object()?;
        Some(Wanted { port: interfaces.keys().next()?.clone(), is_up })
    }

    /// The truth has long names, and calls a port that was shut down.
    fn is(&self, kind: &str, state: Option<&str>, port: Option<&str>) -> bool {
        let start_and_number = |name: &str| {
            let at = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
            let start = name.get(..2).unwrap_or_default().to_lowercase();
            (start, name[at..].to_owned())
        };
        let is_up = state == Some("up");
        let is_port = port.map(start_and_number) == Some(start_and_number(&self.port));
        matches!(kind, "link" | "lineproto") && is_port && is_up == self.is_up
    }
}
