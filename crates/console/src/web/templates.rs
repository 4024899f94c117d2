//! The templates, compiled in, and how they say times. Every one is HTML, so everything that they
//! are given is escaped.

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};

use crate::view::words;

const TEMPLATES: [(&str, &str); 8] = [
    ("base.html", include_str!("../../templates/base.html")),
    ("list.html", include_str!("../../templates/list.html")),
    ("incident.html", include_str!("../../templates/incident.html")),
    ("repair.html", include_str!("../../templates/repair.html")),
    ("data.html", include_str!("../../templates/data.html")),
    ("query.html", include_str!("../../templates/query.html")),
    ("login.html", include_str!("../../templates/login.html")),
    ("problem.html", include_str!("../../templates/problem.html")),
];

pub fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, text) in TEMPLATES {
        environment.add_template(name, text).expect("templates are compiled in, a test draws each");
    }
    environment.add_filter("clock", words::clock);
    environment.add_filter("date", words::date);
    environment.add_filter("rfc3339", model::time::rfc3339);
    environment.add_filter("span", words::span);
    environment.add_filter("percent", words::percent);
    environment.add_filter("plural", |count: Value, one: String| plural(&count, &one));
    environment
}

/// `1 alert`, `2 alerts`.
fn plural(count: &Value, one: &str) -> String {
    match count.as_i64() {
        Some(1) => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    }
}
