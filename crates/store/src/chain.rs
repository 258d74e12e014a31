//! The hash chain: two numbers that stand for all that is replicated, after every entry.
//!
//! ```text
//!   keys   the sum of a hash of every change of a key there ever was          grows only; a compaction takes nothing out
//!   rest   a hash of leases, roster, alarms, revision and compaction as they are now
//! ```
//!
//! Both depend on nothing but the entries applied, not on how they came in batches, what was swept or who is asked, so two
//! members that have applied the same entry can tell by them whether they hold the same. A change carries its revision
//! and its place in it, so the order of a sum does not matter; addition modulo 2^64 means that a sweep can say of a
//! segment what it has left out, and that opening a log computes the sum again from the records themselves. A value that
//! was changed on the disk, checks and all, is another sum.
//!
//! A store that has not seen every change (it was installed from a snapshot of etcd, which knows no chain) has a sum that
//! starts elsewhere: its `base` is another one, and chains are compared between equal bases only. [`Chain::adopt`] takes
//! over the lower base of a neighbour at an entry whose rest agrees.
//!
//! This module never decides who is right.

use std::fmt;

use bytes::{Buf, BufMut, BytesMut};
use twox_hash::XxHash3_64;

use crate::alarm::Alarms;
use crate::ids::{Index, LeaseId};
use crate::lease::Lease;
use crate::revision::Revision;
use crate::revlog::item::key_alone;
use crate::revlog::put_roster;
use crate::roster::Roster;
use crate::state::State;

/// Which functions made the numbers. Chains of another version are not compared, and not read.
pub(crate) const VERSION: u8 = 1;

/// The base of a store that has seen every change.
pub const GENESIS: u64 = 0;

/// A row of samples for the multiples of each power of four, so that members which are apart find an index that both
/// have kept: with two in a row, one that is not older than four times their distance.
const ROWS: usize = 10;

/// TTLs up to here are not told apart: members raise shorter ones to one and a half of their own election timeout, which
/// is 50 s at most.
const TTL_SECONDS_TOLD: i64 = 75;

/// What is replicated after one entry, in two numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Of the changes of keys.
    pub keys: u64,
    /// Of everything else.
    pub rest: u64,
}

/// The chain of a store.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// Where the sum starts.
    pub(crate) base: u64,
    /// The part of `keys` that is in no segment: what a snapshot had left out, or what another base has more.
    pub(crate) offset: u64,
    pub(crate) keys: u64,
    roster: u64,
    alarms: u64,
    samples: [[(Index, Link); 2]; ROWS],
    /// The log does not say yet what base and offset are.
    pub(crate) unwritten: bool,
}

/// What a member tells its neighbours: its chain at some entries, descending.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Reports are comparable between equal bases.
    pub base: u64,
    /// Entries and the links after them, the newest first.
    pub links: Vec<(Index, Link)>,
}

/// What goes with a snapshot from one of us to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Where the sum starts.
    pub(crate) base: u64,
    /// What the changes that are no rows of the snapshot any more add to it.
    pub(crate) dropped: u64,
    /// The chain at the snapshot: what the receiver must come to.
    pub(crate) link: Link,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain {
            base: GENESIS,
            offset: 0,
            keys: 0,
            roster: 0,
            alarms: 0,
            samples: [[(0, Link::default()); 2]; ROWS],
            unwritten: false,
        }
    }
}

impl Chain {
    /// The chain of a state whose keys have this sum, offset included.
    pub(crate) fn of(state: &State, base: u64, offset: u64, keys: u64) -> Chain {
        let mut chain = Chain { base, offset, keys, ..Chain::default() };
        chain.roster_is(&state.roster);
        chain.alarms_are(&state.alarms);
        chain
    }

    /// The base of a store whose first changes nobody has hashed: the same for all that begin with the same keys at the
    /// same entry.
    pub(crate) fn foreign(index: Index, keys: u64) -> u64 {
        mix(mix(keys, index), u64::from(VERSION)).max(GENESIS + 1)
    }

    pub(crate) fn roster_is(&mut self, now: &Roster) {
        let mut encoded = BytesMut::new();
        put_roster(&mut encoded, now);
        self.roster = XxHash3_64::oneshot(&encoded);
    }

    pub(crate) fn alarms_are(&mut self, now: &Alarms) {
        self.alarms = alarms(now);
    }

    /// The two numbers now. `leases`: the sum of what each [`lease`] is.
    pub(crate) fn link(&self, leases: u64, revision: i64, compacted: i64) -> Link {
        let small = leases ^ self.roster.rotate_left(21) ^ self.alarms.rotate_left(42);
        Link { keys: self.keys, rest: mix(mix(small, revision as u64), compacted as u64) }
    }

    /// Keeps the link after an entry.
    pub(crate) fn keep(&mut self, index: Index, link: Link) {
        if index == 0 {
            return; // Nothing was applied, and there is nothing to compare.
        }
        let row = (index.trailing_zeros() as usize / 2).min(ROWS - 1);
        for [newest, before] in &mut self.samples[..=row] {
            *before = *newest;
            *newest = (index, link);
        }
    }

    /// What to tell.
    pub(crate) fn report(&self) -> Report {
        let mut links: Vec<(Index, Link)> = self.samples.iter().flatten().copied().filter(|(at, _)| *at > 0).collect();
        links.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));
        links.dedup_by_key(|(at, _)| *at);
        Report { base: self.base, links }
    }

    /// Goes on from another base, whose chain is `there` after `index`. False, and nothing happens, when that entry is not
    /// known here any more or everything but the keys is another thing there.
    pub(crate) fn adopt(&mut self, base: u64, index: Index, there: Link) -> bool {
        let known = self.samples.iter().flatten().find(|(at, _)| *at == index && index > 0);
        let Some((_, here)) = known.copied().filter(|(_, here)| here.rest == there.rest) else { return false };
        let more = there.keys.wrapping_sub(here.keys);
        for (_, link) in self.samples.iter_mut().flatten() {
            link.keys = link.keys.wrapping_add(more);
        }
        self.keys = self.keys.wrapping_add(more);
        self.offset = self.offset.wrapping_add(more);
        self.base = base;
        self.unwritten = true;
        true
    }
}

/// What a change of a key adds. `kv`: its encoded KeyValue, of a deletion with or without the revision.
pub(crate) fn change(tombstone: bool, revision: Revision, kv: &[u8]) -> u64 {
    let kv = if tombstone { key_alone(kv) } else { kv };
    let place = (revision.main as u64) ^ u64::from(revision.sub) << 40 ^ u64::from(tombstone) << 63;
    mix(XxHash3_64::oneshot(kv), place)
}

/// What a lease adds.
pub(crate) fn lease(id: LeaseId, lease: &Lease) -> u64 {
    let ttl_seconds = lease.ttl_seconds().max(TTL_SECONDS_TOLD);
    mix(mix(id as u64, ttl_seconds as u64), lease.remaining_seconds() as u64)
}

fn alarms(active: &Alarms) -> u64 {
    active.iter().fold(0, |sum, alarm| sum.wrapping_add(mix(alarm.member, alarm.kind.0 as u64)))
}

/// Two numbers into one that shows no pattern of either (the finish of xxHash over a product of both).
fn mix(one: u64, other: u64) -> u64 {
    let mut mixed = (one ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xc2b2_ae3d_27d4_eb4f) ^ other.rotate_left(31);
    mixed = (mixed ^ mixed >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ mixed >> 29).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ mixed >> 32
}

impl Report {
    /// Bytes for a neighbour: version, base, then index, keys, rest of each link, little endian.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(9 + self.links.len() * LINK_BYTES);
        out.put_u8(VERSION);
        out.put_u64_le(self.base);
        for (index, link) in &self.links {
            out.put_u64_le(*index);
            out.put_u64_le(link.keys);
            out.put_u64_le(link.rest);
        }
        out
    }

    /// What [`Report::encode`] wrote. `None` for another version, and for what is no report.
    pub fn decode(mut bytes: &[u8]) -> Option<Report> {
        if bytes.len() < 9 || bytes.get_u8() != VERSION || !(bytes.len() - 8).is_multiple_of(LINK_BYTES) {
            return None;
        }
        let base = bytes.get_u64_le();
        let mut links = Vec::with_capacity((bytes.len() / LINK_BYTES).min(2 * ROWS));
        while bytes.has_remaining() && links.len() < 2 * ROWS {
            links.push((bytes.get_u64_le(), Link { keys: bytes.get_u64_le(), rest: bytes.get_u64_le() }));
        }
        Some(Report { base, links })
    }

    /// The chain after an entry, if it was kept.
    pub fn at(&self, index: Index) -> Option<Link> {
        self.links.iter().find(|(at, _)| *at == index).map(|(_, link)| *link)
    }
}

/// Bytes of a link on its way.
const LINK_BYTES: usize = 24;

impl fmt::Debug for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "chain of base {:x}", self.base)?;
        match self.links.first() {
            Some((index, link)) => write!(formatter, ", at {index} keys {:016x} rest {:016x}", link.keys, link.rest),
            None => write!(formatter, ", nothing yet"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_are_apart_find_an_entry_that_both_have_kept() {
        for (behind, ahead) in [(1, 1), (70, 90), (5_000, 5_900), (90_000, 150_000), (1_000_003, 1_100_000)] {
            let upto = |last: u64| {
                let mut chain = Chain::default();
                (1..=last).for_each(|index| chain.keep(index, Link { keys: index, rest: 0 }));
                chain.report()
            };
            let (one, other) = (upto(behind), upto(ahead));
            let common = one.links.iter().find(|(at, _)| other.at(*at).is_some());
            let (at, link) = common.unwrap_or_else(|| panic!("{behind} and {ahead} have nothing in common"));
            assert_eq!(other.at(*at), Some(*link));
            assert!(behind - at <= 4 * (ahead - behind), "{behind} and {ahead}: {at}");
        }
    }

    #[test]
    fn a_report_comes_back_and_others_are_refused() {
        let mut chain = Chain { base: 7, ..Chain::default() };
        (1..500).for_each(|index| chain.keep(index, Link { keys: !index, rest: index }));
        let report = chain.report();
        assert_eq!(Report::decode(&report.encode()), Some(report.clone()));
        assert_eq!(Report::decode(&[]), None);
        assert_eq!(Report::decode(&report.encode()[..20]), None);
        let mut newer = report.encode();
        newer[0] += 1;
        assert_eq!(Report::decode(&newer), None);
    }

    #[test]
    fn another_base_is_taken_over_where_the_rest_agrees() {
        let mut chain = Chain { base: 9, keys: 50, ..Chain::default() };
        chain.keep(4, Link { keys: 40, rest: 1 });
        chain.keep(5, Link { keys: 50, rest: 2 });
        assert!(!chain.adopt(GENESIS, 5, Link { keys: 1_050, rest: 3 }), "the rest is another");
        assert!(!chain.adopt(GENESIS, 3, Link { keys: 1_050, rest: 2 }), "not kept");
        assert!(chain.adopt(GENESIS, 4, Link { keys: 1_040, rest: 1 }));
        assert_eq!((chain.base, chain.keys, chain.offset), (GENESIS, 1_050, 1_000));
        assert!(chain.adopt(GENESIS, 5, Link { keys: 1_050, rest: 2 }), "again changes nothing");
        assert_eq!((chain.keys, chain.offset), (1_050, 1_000));
    }

    #[test]
    fn a_change_is_told_from_its_likes() {
        let at = |main, sub| Revision { main, sub };
        let all = [
            change(false, at(2, 0), b"\x0a\x01k"),
            change(false, at(3, 0), b"\x0a\x01k"),
            change(false, at(2, 1), b"\x0a\x01k"),
            change(true, at(2, 0), b"\x0a\x01k"),
            change(false, at(2, 0), b"\x0a\x01l"),
        ];
        for (one, hash) in all.iter().enumerate() {
            assert!(all.iter().skip(one + 1).all(|other| other != hash), "{one}");
        }
        // With its revision, as the log has it, and without, as an image has it.
        assert_eq!(change(true, at(2, 0), b"\x0a\x01k\x18\x02"), change(true, at(2, 0), b"\x0a\x01k"));
    }
}
