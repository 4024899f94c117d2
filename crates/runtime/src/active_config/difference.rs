//! What differs between two texts, by lines, for a person.

/// Lines around a change that say where it is.
const CONTEXT: usize = 2;
/// Lines shown; the rest is counted.
const SHOWN_MAX: usize = 60;
/// Pairs of lines that the longest common subsequence may compare (16 MB of table).
const PAIRS_MAX: usize = 4_000_000;

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Both,
    Old,
    New,
}

/// Changed lines with `-` and `+` and some context; `…` where equal lines are left out.
pub(super) fn lines(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let all = align(&old, &new);
    let changes: Vec<usize> = all
        .iter()
        .enumerate()
        .filter(|(_, (side, _))| *side != Side::Both)
        .map(|(i, _)| i)
        .collect();
    let near = |at: usize| {
        let next = changes.partition_point(|&change| change + CONTEXT < at);
        changes.get(next).is_some_and(|&change| change <= at + CONTEXT)
    };
    let mut shown: Vec<String> = Vec::new();
    let mut skipped = false;
    for (at, (side, line)) in all.iter().enumerate() {
        if !near(at) {
            skipped = true;
            continue;
        }
        if std::mem::take(&mut skipped) {
            shown.push("  …".to_owned());
        }
        let sign = match side {
            Side::Both => ' ',
            Side::Old => '-',
            Side::New => '+',
        };
        shown.push(format!("{sign} {line}"));
    }
    if shown.len() > SHOWN_MAX {
        let more = shown.len() - SHOWN_MAX;
        shown.truncate(SHOWN_MAX);
        shown.push(format!("  … and {more} lines more"));
    }
    shown.join("\n")
}

/// All lines of both, in order, each with the side that it is on.
fn align<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Side, &'a str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[head..], &new[head..]);
    let tail = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_middle, new_middle) =
        (&old_rest[..old_rest.len() - tail], &new_rest[..new_rest.len() - tail]);
    let both = |lines: &[&'a str]| lines.iter().map(|line| (Side::Both, *line)).collect::<Vec<_>>();
    let mut all = both(&old[..head]);
    all.extend(align_middle(old_middle, new_middle));
    all.extend(both(&old[old.len() - tail..]));
    all
}

fn align_middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Side, &'a str)> {
    let one_side = |side| move |line: &&'a str| (side, *line);
    if old.len().saturating_mul(new.len()) > PAIRS_MAX {
        let olds = old.iter().map(one_side(Side::Old));
        return olds.chain(new.iter().map(one_side(Side::New))).collect();
    }
    let width = new.len() + 1;
    // common[i][j]: the length of the longest common subsequence of old[i..] and new[j..].
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = match old[i] == new[j] {
                true => common[(i + 1) * width + j + 1] + 1,
                false => common[(i + 1) * width + j].max(common[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut all = Vec::with_capacity(old.len() + new.len());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            all.push((Side::Both, old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || (i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            all.push((Side::Old, old[i]));
            i += 1;
        } else {
            all.push((Side::New, new[j]));
            j += 1;
        }
    }
    all
}
