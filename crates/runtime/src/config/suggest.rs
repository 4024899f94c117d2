//! Did-you-mean: the nearest of the known names, if one is near enough to be meant.

/// Below this likeness (0 to 1, Jaro-Winkler) a suggestion confuses more than it helps:
/// `bootstrp`/`bootstrap` is 0.98, `workers`/`windows` 0.70.
const LIKENESS_MIN: f64 = 0.8;

/// The known name that is most like `name`.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(name);
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&folded, &fold(candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn fold(name: &str) -> String {
    // A hostile key may be megabytes long; no name of ours is.
    name.chars().take(200).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect()
}

/// Help for an unknown name: the nearest one, else all of them when they are few.
pub(super) fn help(name: &str, known: &[&str]) -> Option<String> {
    if let Some(near) = nearest(name, known.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    match known {
        [] => None,
        _ => Some(format!("known here: {}", known.join(", "))),
    }
}
