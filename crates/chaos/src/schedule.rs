//! Which faults, when, how long and on whom, all from one seed.
//!
//! The schedule is a function of the seed, the length and what the machine can
//! do, and replays. When real processes notice a fault is not.

use crate::faults::{KINDS, Kind, Needs};
use crate::stage::Means;
use fastrand::Rng;
use std::time::Duration;

/// Until the first fault: the load has begun by then.
const FIRST: Duration = Duration::from_secs(2);
/// From one fault to the next, at most, in milliseconds. Faults last longer
/// than many of these, so they overlap.
const GAP_MAX_MS: u64 = 3_000;
/// A fault lasts at least and at most so long, in milliseconds.
const LASTS_MS: std::ops::Range<u64> = 300..6_000;
/// In runs of at least this length, one pause in eight is longer, one at a time:
/// of three members two that are away for long leave nothing to look at.
const LONG_RUN: Duration = Duration::from_secs(240);
const LONG_LASTS_MS: std::ops::Range<u64> = 10_000..60_000;
/// No fault is to be under way so long before the load ends.
const CALM: Duration = Duration::from_secs(3);

/// Behind the load's end the leader is taken away so often by each of these kinds, for so long each time: others have elected
/// somebody for most of that, and what is asked at the old leader meanwhile must not be believed.
const AWAY: [&str; 2] = ["leader stopped (SIGSTOP)", "leader isolated"];
const AWAY_LASTS: Duration = Duration::from_secs(4);
const AWAY_EVERY: Duration = Duration::from_secs(7);

/// One fault to come.
#[derive(Clone, Copy)]
pub struct Planned {
    /// After the load has begun.
    pub at: Duration,
    /// What.
    pub kind: &'static Kind,
    /// How long.
    pub lasts: Duration,
    /// On whom, and whatever else is left to chance.
    pub seed: u64,
}

/// Draws the faults of a run. Every kind that is possible comes once before any
/// comes twice.
pub fn draw(seed: u64, length: Duration, means: &Means) -> Vec<Planned> {
    let mut chance = Rng::with_seed(seed);
    let possible: Vec<&'static Kind> = KINDS.iter().filter(|kind| can(kind.needs, means)).collect();
    let (mut deck, mut plan, mut at, mut long_until) = (Vec::new(), Vec::new(), FIRST, FIRST);
    while at + CALM < length {
        if deck.is_empty() {
            deck.clone_from(&possible);
            chance.shuffle(&mut deck);
        }
        let Some(kind) = deck.pop() else { break };
        let long = length >= LONG_RUN && kind.may_be_long && at >= long_until && chance.u8(0..8) == 0;
        let lasts = Duration::from_millis(chance.u64(if long { LONG_LASTS_MS } else { LASTS_MS }));
        if long {
            long_until = at + lasts;
        }
        let left = (length - CALM).saturating_sub(at);
        plan.push(Planned { at, kind, lasts: lasts.min(left), seed: chance.u64(..) });
        at += Duration::from_millis(chance.u64(200..GAP_MAX_MS));
    }
    plan
}

/// What was demanded and met nobody: chance had put it where others had already silenced everything. Now it comes alone, each
/// time with other chances.
pub fn once_more(kinds: &[&'static Kind], seed: u64, after: Duration) -> Vec<Planned> {
    let mut chance = Rng::with_seed(seed);
    let times = (0..).map(|number| after + CALM + AWAY_EVERY * number);
    let planned = times.zip(kinds);
    planned.map(|(at, &kind)| Planned { at, kind, lasts: AWAY_LASTS, seed: chance.u64(..) }).collect()
}

/// What comes last, when nothing else is under way and somebody leads: behind `length`, and in calm behind what was done at `after`.
pub fn leaders_away(length: Duration, after: Duration) -> Vec<Planned> {
    let begin = length.max(after + CALM);
    let kinds = KINDS.iter().filter(|kind| AWAY.contains(&kind.name));
    let times = (0..).map(|number| begin + AWAY_EVERY * number);
    times.zip(kinds).map(|(at, kind)| Planned { at, kind, lasts: AWAY_LASTS, seed: 0 }).collect()
}

/// Whether the machine can do what a kind needs.
pub fn can(needs: Needs, means: &Means) -> bool {
    match needs {
        Needs::Nothing => true,
        Needs::Power => means.power,
        Needs::Clock => means.clock.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn all() -> Means {
        Means { power: true, clock: Some("libfaketime".into()), no_sync: None }
    }

    fn told(plan: &[Planned]) -> Vec<(Duration, &'static str, Duration, u64)> {
        plan.iter().map(|planned| (planned.at, planned.kind.name, planned.lasts, planned.seed)).collect()
    }

    #[test]
    fn the_same_seed_is_the_same_schedule() {
        let length = Duration::from_secs(60);
        let plan = draw(7, length, &all());
        assert_eq!(told(&plan), told(&draw(7, length, &all())));
        assert_ne!(told(&plan), told(&draw(8, length, &all())));
    }

    #[test]
    fn a_minute_has_every_kind_and_ends_in_calm() {
        for seed in 0..50 {
            let length = Duration::from_secs(60);
            let plan = draw(seed, length, &all());
            let names: BTreeSet<&str> = plan.iter().map(|planned| planned.kind.name).collect();
            assert!(names.len() >= KINDS.len().min(plan.len()), "seed {seed}: {names:?}");
            assert!(plan.iter().all(|planned| planned.at + planned.lasts + CALM <= length), "seed {seed}");
        }
    }

    #[test]
    fn the_leader_is_taken_away_when_nothing_else_is_under_way() {
        let length = Duration::from_secs(60);
        let last = leaders_away(length, length - CALM);
        assert_eq!(told(&last).iter().map(|(_, name, ..)| *name).collect::<Vec<_>>(), AWAY);
        assert!(last.iter().all(|planned| planned.at >= length));
        assert!(last[0].at + last[0].lasts < last[1].at);
    }

    #[test]
    fn what_met_nobody_comes_once_more_and_alone() {
        let after = Duration::from_secs(57);
        let plan = once_more(&[&KINDS[3], &KINDS[20]], 7, after);
        assert_eq!(plan.iter().map(|planned| planned.kind.name).collect::<Vec<_>>(), [KINDS[3].name, KINDS[20].name]);
        assert!(plan[0].at >= after + CALM, "who was harmed before is back");
        let end = plan[1].at + plan[1].lasts;
        assert!(plan[0].at + plan[0].lasts + CALM <= plan[1].at);
        assert!(leaders_away(Duration::from_secs(60), end)[0].at >= end + CALM, "somebody leads again");
        assert_ne!(plan[0].seed, once_more(&[&KINDS[3]], 8, after)[0].seed, "whom it meets is drawn again");
        assert!(once_more(&[], 7, after).is_empty());
    }

    #[test]
    fn of_long_pauses_one_is_under_way_at_a_time() {
        let mut long = 0;
        for seed in 0..50 {
            let plan = draw(seed, Duration::from_secs(300), &all());
            let mut until = Duration::ZERO;
            for planned in plan.iter().filter(|planned| planned.lasts > Duration::from_secs(6)) {
                assert!(planned.at >= until, "seed {seed}: {:?}", told(&plan));
                until = planned.at + planned.lasts;
                long += 1;
            }
        }
        assert!(long > 100, "{long} long pauses in 50 runs");
    }

    #[test]
    fn what_the_machine_cannot_do_is_left_out() {
        let plan = draw(1, Duration::from_secs(600), &Means::default());
        assert!(plan.iter().all(|planned| matches!(planned.kind.needs, Needs::Nothing)));
        assert!(plan.len() > KINDS.len());
        assert!(plan.iter().any(|planned| planned.lasts > Duration::from_secs(10)), "some pauses are long");
    }
}
