//! What may be asked. From a seed comes a sequence of steps; nothing here looks
//! at an answer.
//!
//! The key space is small, so that requests meet the same keys all the time;
//! each field is, now and then, absurd.

mod kv;
mod lease;
mod sweep;
mod txn;
mod watch;

use crate::lane::Lane;
use crate::request::{self, Request, Step};
use bytes::Bytes;
use fastrand::Rng;
use proto::etcdserverpb::{CompactionRequest, HashKvRequest};

/// Keys that requests are about. At most six: Go's sort, when 3.5.1 was built,
/// kept equal ones of no more in their order (excluded: sort-ties).
const KEYS: [&[u8]; 6] = [b"a", b"aa", b"b\0", b"c/1", b"c/2", b"\xff"];
/// Ends of ranges that are no key.
const ENDS: [&[u8]; 6] = [b"", b"\0", b"b0", b"c0", b"d\0", b"\xff\xff"];
/// So many reads follow each other at most.
const READS: usize = 30;
/// A mixed cluster is looked at and shaken after so many steps.
const SHAKEN_EVERY: usize = 250;

/// One seed's writer of requests.
pub struct Grammar {
    lane: Lane,
    chance: Rng,
    swept: usize,
}

/// The sequence of a lane.
pub fn sequence(lane: Lane) -> Vec<Step> {
    Grammar::new(lane).write()
}

impl Grammar {
    fn new(lane: Lane) -> Grammar {
        Grammar { lane, chance: Rng::with_seed(lane.seed), swept: sweep::first(lane.seed) }
    }

    fn write(&mut self) -> Vec<Step> {
        let (lane, grammar) = (self.lane, self);
        let mut steps = Vec::with_capacity(lane.steps + READS);
        let mut shaken = 0;
        while steps.len() < lane.steps {
            if lane.is_mixed() && steps.len() >= (shaken + 1) * SHAKEN_EVERY {
                grammar.shake(shaken, &mut steps);
                shaken += 1;
            }
            if grammar.one_in(4) {
                for _ in 0..grammar.chance.usize(1..READS) {
                    let read = grammar.read();
                    grammar.ask(read, &mut steps);
                }
            } else {
                let change = grammar.change();
                grammar.ask(change, &mut steps);
            }
            if lane.limits.tight && grammar.one_in(200) {
                grammar.fragments(&mut steps);
            }
        }
        steps.push(Step::Restart);
        steps.push(Step::Ask(0, Request::ReadWatches));
        steps.push(Step::SameEverywhere);
        steps
    }

    fn ask(&mut self, request: Request, steps: &mut Vec<Step>) {
        let member = self.chance.usize(0..3);
        steps.push(Step::Ask(member, request));
    }

    /// Each member leads in turn; every third time the leader is killed.
    fn shake(&mut self, number: usize, steps: &mut Vec<Step>) {
        steps.push(Step::Restart);
        steps.push(Step::SameEverywhere);
        steps.push(Step::Lead(number % 3));
        if number % 2 == 1 {
            steps.push(Step::KillLeader);
        }
    }

    fn read(&mut self) -> Request {
        match self.chance.u32(0..100) {
            0..50 => Request::Range(self.sweep()),
            50..70 => Request::Range(self.strange_range()),
            70..80 => Request::Txn(self.read_only_txn()),
            80..90 => Request::TimeToLive(self.time_to_live()),
            90..92 => Request::Leases,
            _ => Request::HashKv(self.hash_kv()),
        }
    }

    fn change(&mut self) -> Request {
        match self.chance.u32(0..1000) {
            0..350 => Request::Put(self.put()),
            350..450 => Request::Delete(self.delete()),
            450..750 => Request::Txn(self.txn()),
            750..800 => Request::Grant(self.grant()),
            800..805 => Request::GrantAndRevoke(self.short_grant()),
            805..860 => Request::Revoke(self.revoke()),
            860..890 => Request::KeepAlive(self.keep_alives()),
            890..910 => Request::Compact(self.compact()),
            910..970 => self.watch(),
            970..975 => Request::ReadWatches,
            975..980 => Request::Replay(self.replay()),
            _ => Request::Range(self.range()),
        }
    }

    fn compact(&mut self) -> CompactionRequest {
        let revision = match self.chance.u32(0..10) {
            0..4 => request::current(-self.chance.i64(0..40)),
            4..7 => request::compacted(self.chance.i64(-2..15)),
            _ => self.revision(),
        };
        CompactionRequest { revision, physical: self.chance.bool() }
    }

    fn hash_kv(&mut self) -> HashKvRequest {
        HashKvRequest { revision: self.revision() }
    }

    fn one_in(&mut self, times: u32) -> bool {
        self.chance.u32(0..times) == 0
    }

    /// A key; now and then none.
    fn key(&mut self) -> Bytes {
        if self.one_in(60) {
            return Bytes::new();
        }
        Bytes::from_static(KEYS[self.chance.usize(0..KEYS.len())])
    }

    /// A single key's end mostly, or any other.
    fn end(&mut self) -> Bytes {
        match self.chance.u32(0..10) {
            0..3 => Bytes::new(),
            3..6 => Bytes::from_static(KEYS[self.chance.usize(0..KEYS.len())]),
            _ => Bytes::from_static(ENDS[self.chance.usize(0..ENDS.len())]),
        }
    }

    fn value(&mut self) -> Bytes {
        const VALUES: [&[u8]; 6] = [b"", b"1", b"2", b"10", b"x", b"\0\xff"];
        if self.one_in(40) {
            return Bytes::from(vec![b'v'; self.chance.usize(100..3000)]);
        }
        if self.lane.limits.tight && self.one_in(60) {
            // Just let in, just refused, and more than a member reads.
            let most = self.lane.limits.request_bytes;
            let sizes = [most - 200, most + 1, most + (512 << 10) + 1_000];
            return Bytes::from(vec![b'V'; sizes[self.chance.usize(0..sizes.len())]]);
        }
        Bytes::from_static(VALUES[self.chance.usize(0..VALUES.len())])
    }

    /// A revision to read at: the present, history, the edge of what was
    /// compacted, the future, or nonsense.
    fn revision(&mut self) -> i64 {
        match self.chance.u32(0..20) {
            0..8 => 0,
            8..13 => request::current(-self.chance.i64(0..30)),
            13..16 => request::compacted(self.chance.i64(-2..4)),
            16 => request::current(self.chance.i64(1..4)),
            17 => self.chance.i64(1..10),
            _ => self.absurd(),
        }
    }

    fn absurd(&mut self) -> i64 {
        const ABSURD: [i64; 6] = [-1, -7, i64::MIN, i64::MAX, i64::MAX - 1, i64::MIN + 1];
        ABSURD[self.chance.usize(0..ABSURD.len())]
    }

    /// A number of an enum with `known` values, now and then unknown.
    fn number(&mut self, known: i32) -> i32 {
        if self.one_in(50) {
            return [known, known + 1, -1, i32::MAX, i32::MIN][self.chance.usize(0..5)];
        }
        self.chance.i32(0..known)
    }
}

/// Whether a range's order is one of the three.
pub fn is_known_order(order: i32) -> bool {
    (0..3).contains(&order)
}

/// The plainest read.
fn kv_of_a() -> proto::etcdserverpb::RangeRequest {
    proto::etcdserverpb::RangeRequest { key: Bytes::from_static(KEYS[0]), ..Default::default() }
}
