//! The fewest most probable roots that explain what is seen: probabilistic set cover. What is seen
//! is the noisy-or of the chosen roots and a leak; a root costs its prior and what it should have
//! shown and did not. Exact where the candidates are few, else greedy with exchanges.

/// A root that might be there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    /// ln of its prior odds, with what it fails to show.
    pub cost_ln: f64,
    /// Which of the seen it explains, and with what probability.
    pub explains: Vec<(usize, f64)>,
}

/// Where all subsets are tried: 2^10 of them cost less than a message's decoding.
const EXACT_MAX: usize = 10;
/// Exchanges after the greedy choice; each raises the score, so they end anyway.
const EXCHANGES_MAX: usize = 64;
/// A storm with more candidates has more to gain from speaking soon.
const EXCHANGED_MAX: usize = 400;
/// What counts as better: below it sums differ by rounding.
const BETTER: f64 = 1e-9;

/// How well each of the seen is explained so far.
#[derive(Clone)]
struct Seen {
    /// ln of the probability that no chosen root shows it.
    unshown_ln: Vec<f64>,
    leak: f64,
}

/// Which candidates to believe in; none where noise is the better word.
pub(super) fn solve(seen: usize, candidates: &[Candidate], leak: f64) -> Vec<usize> {
    let mut state = Seen { unshown_ln: vec![0.0; seen], leak };
    if candidates.len() <= EXACT_MAX {
        let mut best = (0.0, Vec::new());
        exact(&mut state, candidates, 0, 0.0, &mut Vec::new(), &mut best);
        return best.1;
    }
    let mut chosen = greedy(&mut state, candidates);
    if candidates.len() <= EXCHANGED_MAX {
        exchange(&mut state, candidates, &mut chosen);
    }
    chosen.sort_unstable();
    chosen
}

/// The chosen one and all that could stand in its place, each with its probability given that the
/// rest holds; most probable first. What is missing to 1 is that it was nothing of these.
pub(super) fn rivals(
    seen: usize,
    candidates: &[Candidate],
    chosen: &[usize],
    of: usize,
    leak: f64,
) -> Vec<(usize, f64)> {
    let mut state = Seen { unshown_ln: vec![0.0; seen], leak };
    for other in chosen.iter().filter(|other| **other != of) {
        state.apply(&candidates[*other], 1.0);
    }
    let touches = |c: &Candidate| {
        c.explains.iter().any(|(at, _)| candidates[of].explains.iter().any(|(own, _)| own == at))
    };
    let may = |nth: &usize| *nth == of || (!chosen.contains(nth) && touches(&candidates[*nth]));
    let mut all: Vec<(usize, f64)> = (0..candidates.len())
        .filter(may)
        .map(|nth| (nth, state.gain(&candidates[nth]).exp()))
        .collect();
    let sum: f64 = 1.0 + all.iter().map(|(_, weight)| weight).sum::<f64>();
    for (_, weight) in &mut all {
        *weight /= sum;
    }
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

fn exact(
    state: &mut Seen,
    candidates: &[Candidate],
    next: usize,
    score: f64,
    chosen: &mut Vec<usize>,
    best: &mut (f64, Vec<usize>),
) {
    if score > best.0 + BETTER {
        *best = (score, chosen.clone());
    }
    for nth in next..candidates.len() {
        let gain = state.gain(&candidates[nth]);
        state.apply(&candidates[nth], 1.0);
        chosen.push(nth);
        exact(state, candidates, nth + 1, score + gain, chosen, best);
        chosen.pop();
        state.apply(&candidates[nth], -1.0);
    }
}

fn greedy(state: &mut Seen, candidates: &[Candidate]) -> Vec<usize> {
    let mut chosen = Vec::new();
    // A gain only falls while others are chosen, so an old one is a bound: look at the best bound
    // again, and take it where it still leads.
    let mut bounds: Vec<(f64, usize)> =
        candidates.iter().enumerate().map(|(nth, c)| (state.gain(c), nth)).collect();
    let worst_last = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1));
    bounds.sort_by(worst_last);
    while let Some((bound, nth)) = bounds.pop() {
        if bound <= BETTER {
            break;
        }
        let gain = state.gain(&candidates[nth]);
        if bounds.last().is_some_and(|next| gain + BETTER < next.0) {
            let at = bounds.partition_point(|b| worst_last(b, &(gain, nth)).is_lt());
            bounds.insert(at, (gain, nth));
        } else if gain > BETTER {
            state.apply(&candidates[nth], 1.0);
            chosen.push(nth);
        }
    }
    chosen
}

/// Takes a chosen one out, or puts another in its place, while that is better.
fn exchange(state: &mut Seen, candidates: &[Candidate], chosen: &mut Vec<usize>) {
    for _ in 0..EXCHANGES_MAX {
        let mut best: Option<(f64, usize, Option<usize>)> = None;
        for at in 0..chosen.len() {
            let out = chosen[at];
            state.apply(&candidates[out], -1.0);
            let own = state.gain(&candidates[out]);
            let mut offer = |gain: f64, other: Option<usize>| {
                if gain > own + BETTER && best.is_none_or(|b| gain - own > b.0 + BETTER) {
                    best = Some((gain - own, at, other));
                }
            };
            offer(0.0, None);
            for nth in (0..candidates.len()).filter(|nth| !chosen.contains(nth)) {
                offer(state.gain(&candidates[nth]), Some(nth));
            }
            state.apply(&candidates[out], 1.0);
        }
        let Some((_, at, other)) = best else { return };
        state.apply(&candidates[chosen[at]], -1.0);
        match other {
            None => {
                chosen.swap_remove(at);
            }
            Some(nth) => {
                state.apply(&candidates[nth], 1.0);
                chosen[at] = nth;
            }
        }
    }
}

// === impl Seen ===

impl Seen {
    fn gain(&self, candidate: &Candidate) -> f64 {
        let better = |(at, p): &(usize, f64)| {
            let before = self.unshown_ln[*at];
            self.likely_ln(before + (-p).ln_1p()) - self.likely_ln(before)
        };
        candidate.cost_ln + candidate.explains.iter().map(better).sum::<f64>()
    }

    fn likely_ln(&self, unshown_ln: f64) -> f64 {
        (1.0 - (1.0 - self.leak) * unshown_ln.min(0.0).exp()).ln()
    }

    fn apply(&mut self, candidate: &Candidate, sign: f64) {
        for (at, p) in &candidate.explains {
            self.unshown_ln[*at] += sign * (-p).ln_1p();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(prior: f64, explains: &[(usize, f64)]) -> Candidate {
        Candidate { cost_ln: f64::ln(prior), explains: explains.to_vec() }
    }

    #[test]
    fn few_roots_that_explain_much_are_chosen() {
        let links = [candidate(1e-3, &[(0, 0.9)]), candidate(1e-3, &[(1, 0.9)])];
        let node = candidate(2e-4, &[(0, 0.9), (1, 0.9)]);
        let all = [links[0].clone(), links[1].clone(), node];
        assert_eq!(solve(2, &all, 1e-5), [2]);
        assert_eq!(solve(1, &all[..1], 1e-5), [0]);
        assert!(solve(1, &[candidate(1e-9, &[(0, 0.9)])], 1e-5).is_empty(), "noise is likelier");
        let rivals = rivals(2, &all, &[2], 2, 1e-5);
        assert_eq!(rivals[0].0, 2);
        assert!(rivals.iter().map(|r| r.1).sum::<f64>() <= 1.0);
    }

    #[test]
    fn exchange_finds_what_greed_misses() {
        // Greed takes the middle one first, and then needs two more.
        let mut all = vec![
            candidate(1e-3, &[(1, 0.9), (2, 0.9), (3, 0.9), (4, 0.9)]),
            candidate(1e-3, &[(0, 0.9), (1, 0.9), (2, 0.9)]),
            candidate(1e-3, &[(3, 0.9), (4, 0.9), (5, 0.9)]),
        ];
        let few = solve(6, &all, 1e-5);
        all.extend((0..12).map(|_| candidate(1e-12, &[(0, 0.1)])));
        assert_eq!(few, [1, 2]);
        assert_eq!(solve(6, &all, 1e-5), [1, 2]);
    }
}
