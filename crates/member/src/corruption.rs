//! Who has become another: comparing the hash chains of members.
//!
//! Every member asks its neighbours about twice a second for their chains ([`store::chain::Report`]) and judges for
//! itself, with the same rules. This module only compares; it asks nobody, and raises no alarm.
//!
//! ```text
//!   mine, theirs ──▶ the entry that most of them have kept ──▶ all alike there: nothing
//!                                                          ──▶ a quorum of the roster alike: the others are corrupt
//!                                                          ──▶ who is silent could decide: wait for them a while
//!                                                          ──▶ else: somebody is, and nobody can say who (member 0)
//! ```
//!
//! Who does not answer, does not speak of chains (an etcd) or has another base is left out.
//! `docs/decisions/005-hash-chain.md` says why.

use crate::ids::{Index, MemberId};
use std::collections::{BTreeMap, BTreeSet};
use store::chain::{Link, Report};
use store::{AlarmKind, Alarms};

/// The member of an alarm that blames nobody in particular, as in etcd.
pub const NOBODY_IN_PARTICULAR: MemberId = 0;

/// From one comparison of a member to its next, in milliseconds: so a member that differs is known within a second.
pub const EVERY_MS: u64 = 500;

/// For so many comparisons in a row those who are silent, and could say who is right, are waited for: an alarm that blames
/// nobody stops all members.
pub const WAITED_COMPARISONS: u32 = 20;

/// Whether alarms say that what this member holds is not what the others hold, or that nobody can say who is right. Then it
/// serves nothing that keys or leases are in.
pub fn concerns(alarms: &Alarms, me: MemberId) -> bool {
    let concerned = [me, NOBODY_IN_PARTICULAR];
    !alarms.is_empty() && alarms.list(AlarmKind::CORRUPT).iter().any(|alarm| concerned.contains(&alarm.member))
}

/// What a member knows when it judges.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// This member.
    pub me: MemberId,
    /// Who leads; 0: nobody known.
    pub leader: MemberId,
    /// How many members there are, learners and those that speak of no chain included.
    pub members: usize,
    /// Who has answered, this member included.
    pub reports: &'a BTreeMap<MemberId, Report>,
    /// How many comparisons before this one, in a row, were [`Verdict::undecided`].
    pub undecided: u32,
}

/// A neighbour's chain to go on with: its base, an entry, and the chain after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// Lower than this member's.
    pub base: u64,
    /// Both have applied it.
    pub index: Index,
    /// What all members of that base have there.
    pub link: Link,
}

/// What follows from a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Members that differ, or [`NOBODY_IN_PARTICULAR`].
    pub corrupt: Vec<MemberId>,
    /// Members differ, and those who are silent could say who is right.
    pub undecided: bool,
    /// It is this member that should raise the alarm: one does, not all.
    pub speaks: bool,
    /// The entry at which they were compared.
    pub index: Index,
    /// A lower base than this member's was found, to be compared from now on.
    pub adopt: Option<Adoption>,
}

/// Compares the chains of this member's base.
pub fn judge(known: Known<'_>) -> Verdict {
    let Some(mine) = known.reports.get(&known.me) else { return Verdict::default() };
    let alike = || known.reports.iter().filter(|(_, report)| report.base == mine.base);
    let adopt = lower_base(mine, known.reports);
    let Some(index) = most_common(alike().map(|(_, report)| report)) else {
        return Verdict { adopt, ..Verdict::default() };
    };
    let mut camps: Vec<(Link, BTreeSet<MemberId>)> = Vec::new();
    for (&id, report) in alike() {
        let Some(link) = report.at(index) else { continue };
        match camps.iter_mut().find(|(other, _)| *other == link) {
            Some((_, camp)) => {
                camp.insert(id);
            }
            None => camps.push((link, BTreeSet::from([id]))),
        }
    }
    if camps.len() < 2 {
        return Verdict { index, adopt, ..Verdict::default() };
    }
    let quorum = known.members / 2 + 1;
    let everybody: BTreeSet<MemberId> = camps.iter().flat_map(|(_, camp)| camp.iter().copied()).collect();
    let sound = camps.iter().map(|(_, camp)| camp).find(|camp| camp.len() >= quorum);
    let silent = known.members.saturating_sub(everybody.len());
    let largest = camps.iter().map(|(_, camp)| camp.len()).max().unwrap_or(0);
    let undecided = sound.is_none() && largest + silent >= quorum;
    let corrupt = match sound {
        Some(sound) => everybody.difference(sound).copied().collect(),
        None if undecided && known.undecided < WAITED_COMPARISONS => Vec::new(),
        None => vec![NOBODY_IN_PARTICULAR],
    };
    // The leader, if it is one of those who can be believed; else the first of them.
    let trusted = sound.unwrap_or(&everybody);
    let speaker = if trusted.contains(&known.leader) { Some(&known.leader) } else { trusted.first() };
    Verdict { corrupt, undecided, speaks: speaker == Some(&known.me), index, adopt }
}

/// The entry that most reports have; of several the newest. None, if no two have one in common.
fn most_common<'a>(reports: impl Iterator<Item = &'a Report>) -> Option<Index> {
    let mut seen: BTreeMap<Index, usize> = BTreeMap::new();
    for report in reports {
        for (index, _) in &report.links {
            *seen.entry(*index).or_default() += 1;
        }
    }
    let (index, count) = seen.into_iter().max_by_key(|&(index, count)| (count, index))?;
    (count > 1).then_some(index)
}

/// The lowest base below mine, at the newest entry that this member and one of that base have, if all of that base agree
/// there.
fn lower_base(mine: &Report, reports: &BTreeMap<MemberId, Report>) -> Option<Adoption> {
    let base = reports.values().map(|report| report.base).filter(|base| *base < mine.base).min()?;
    let of_base = || reports.values().filter(|report| report.base == base);
    let common = |&(index, _): &&(Index, Link)| of_base().any(|report| report.at(*index).is_some());
    let (index, _) = *mine.links.iter().find(common)?;
    let mut links = of_base().filter_map(|report| report.at(index));
    let link = links.next()?;
    links.all(|other| other == link).then_some(Adoption { base, index, link })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(base: u64, links: &[(Index, u64)]) -> Report {
        Report { base, links: links.iter().map(|&(index, keys)| (index, Link { keys, rest: 1 })).collect() }
    }

    fn verdict(me: MemberId, leader: MemberId, members: usize, reports: &[(MemberId, Report)]) -> Verdict {
        judge(Known { me, leader, members, reports: &reports.iter().cloned().collect(), undecided: 0 })
    }

    #[test]
    fn members_that_agree_are_left_alone() {
        let reports = [(1, report(0, &[(9, 5), (8, 4)])), (2, report(0, &[(8, 4)])), (3, report(0, &[(9, 5), (8, 4)]))];
        let verdict = verdict(1, 1, 3, &reports);
        assert_eq!((verdict.corrupt, verdict.index, verdict.adopt), (vec![], 8, None));
    }

    #[test]
    fn who_differs_from_a_quorum_is_named_by_the_leader() {
        let reports = [(1, report(0, &[(9, 5)])), (2, report(0, &[(9, 6)])), (3, report(0, &[(9, 5)]))];
        for me in 1..=3 {
            let verdict = verdict(me, 3, 3, &reports);
            assert_eq!((verdict.corrupt, verdict.speaks), (vec![2], me == 3));
        }
        // A leader that differs is not asked to say so.
        for me in 1..=3 {
            let verdict = verdict(me, 2, 3, &reports);
            assert_eq!((verdict.corrupt, verdict.speaks), (vec![2], me == 1));
        }
    }

    #[test]
    fn two_that_differ_cannot_say_who_is_right() {
        let reports = [(1, report(0, &[(9, 5)])), (2, report(0, &[(9, 6)]))];
        let verdict_of_two = verdict(2, 2, 2, &reports);
        assert_eq!((verdict_of_two.corrupt, verdict_of_two.speaks), (vec![NOBODY_IN_PARTICULAR], true));
        let third = (3, report(0, &[(9, 7)]));
        let reports = [reports[0].clone(), reports[1].clone(), third];
        assert_eq!(verdict(1, 0, 3, &reports).corrupt, [NOBODY_IN_PARTICULAR], "three ways");
    }

    #[test]
    fn who_is_silent_and_could_decide_is_waited_for_a_while() {
        let reports = BTreeMap::from([(1, report(0, &[(9, 5)])), (2, report(0, &[(9, 6)]))]);
        let judged = |members, undecided| judge(Known { me: 2, leader: 2, members, reports: &reports, undecided });
        let early = judged(3, WAITED_COMPARISONS - 1);
        assert_eq!((early.corrupt, early.undecided), (vec![], true));
        let late = judged(3, WAITED_COMPARISONS);
        assert_eq!((late.corrupt, late.speaks), (vec![NOBODY_IN_PARTICULAR], true));
        assert!(judged(4, 0).undecided, "the two others may agree with one of them");
    }

    #[test]
    fn who_has_another_base_or_nothing_in_common_is_left_out() {
        let reports = [(1, report(0, &[(9, 5)])), (2, report(7, &[(9, 6)])), (3, report(0, &[(900, 7)]))];
        assert_eq!(verdict(1, 1, 3, &reports), Verdict::default());
    }

    #[test]
    fn a_lower_base_is_gone_on_with_if_all_of_it_agree() {
        let mut reports =
            vec![(1, report(0, &[(9, 5), (8, 4)])), (2, report(7, &[(8, 60)])), (3, report(0, &[(8, 4)]))];
        let link = Link { keys: 4, rest: 1 };
        assert_eq!(verdict(2, 1, 3, &reports).adopt, Some(Adoption { base: 0, index: 8, link }));
        assert_eq!(verdict(1, 1, 3, &reports).adopt, None);
        reports[2].1 = report(0, &[(8, 40)]);
        assert_eq!(verdict(2, 1, 3, &reports).adopt, None, "they differ themselves");
    }
}
