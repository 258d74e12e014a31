//! Keepers of several members over one log, with leaders that change at any moment: no lease ends before what a client was
//! promised, with checkpoints and without.
//!
//! The log is what raft gives: entries in one order, each member applies them in turn and lags as chance has it. What a
//! leader proposes may be lost, and may still get in after its term is over. A renewal is asked for after a read round, so
//! the leader is the leader, and what is in the log by then has been applied there.

use member::keeper::{Granted, Keeper, Renewal};
use std::collections::BTreeMap;
use store::LeaseId;

const MEMBERS: usize = 3;
const EXTEND: u64 = 500;

#[derive(Clone, Copy, Debug)]
enum Entry {
    Grant(LeaseId, i64),
    Revoke(LeaseId),
    Checkpoint(LeaseId, i64),
}

/// Chance from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

#[derive(Default)]
struct Counts {
    renewed: u32,
    waited: u32,
    ended: u32,
    leaders: u32,
    shortened: u32,
}

struct Cluster {
    chance: Chance,
    keepers: Vec<Keeper>,
    applied: Vec<usize>,
    log: Vec<Entry>,
    /// Proposed and not in the log yet.
    proposed: Vec<Entry>,
    leader: usize,
    term: u64,
    now: u64,
    /// When the leader changed last.
    changed: u64,
    /// Lease → until when it was promised to live, and the seconds it was granted.
    promised: BTreeMap<LeaseId, (u64, i64)>,
    waiting: Vec<LeaseId>,
    counts: Counts,
}

impl Cluster {
    fn new(seed: u64, interval: Option<u64>) -> Cluster {
        let mut cluster = Cluster {
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            keepers: (0..MEMBERS).map(|_| Keeper::new(interval)).collect(),
            applied: vec![0; MEMBERS],
            log: Vec::new(),
            proposed: Vec::new(),
            leader: 0,
            term: 1,
            now: 0,
            changed: 0,
            promised: BTreeMap::new(),
            waiting: Vec::new(),
            counts: Counts::default(),
        };
        cluster.keepers[0].lead(1, 0, EXTEND);
        cluster
    }

    fn apply(&mut self, member: usize, upto: usize) {
        while self.applied[member] < upto {
            let entry = self.log[self.applied[member]];
            self.applied[member] += 1;
            let keeper = &mut self.keepers[member];
            match entry {
                Entry::Grant(id, ttl) => keeper.granted(id, ttl, self.now),
                Entry::Revoke(id) => {
                    keeper.revoked(id);
                    self.waiting.retain(|&waiting| waiting != id);
                }
                Entry::Checkpoint(id, seconds) => {
                    keeper.checkpointed(id, seconds, self.now);
                    if seconds == 0 && member == self.leader && self.waiting.contains(&id) {
                        self.waiting.retain(|&waiting| waiting != id);
                        let renewed = keeper.cleared(id, self.now).expect("it leads");
                        self.promise(id, renewed);
                    }
                }
            }
        }
    }

    fn promise(&mut self, id: LeaseId, renewal: Renewal) {
        match renewal {
            Renewal::Renewed(seconds) => {
                self.counts.renewed += 1;
                self.promised.insert(id, (self.now + seconds as u64 * 1_000, seconds));
            }
            Renewal::Ended => {}
            Renewal::Waits(_) => panic!("a renewal that waits is not answered"),
        }
    }

    /// One proposal gets into the log, whoever made it.
    fn commit(&mut self) {
        if self.proposed.is_empty() {
            return;
        }
        // Of one leader they keep their order.
        let entry = self.proposed.remove(0);
        match entry {
            Entry::Revoke(id) if self.promised.contains_key(&id) => {
                let (until, ttl) = self.promised[&id];
                assert!(self.now >= until, "lease {id} ends at {}, and was promised to live until {until}", self.now);
                self.counts.ended += 1;
                // Granted or renewed before the last change of leader, and less than its whole time lived since: that is
                // only possible with a checkpoint.
                let whole = ttl as u64 * 1_000;
                let is_older = until - whole < self.changed;
                self.counts.shortened += u32::from(is_older && self.now < self.changed + whole);
                self.promised.remove(&id);
            }
            Entry::Revoke(_) => return,
            Entry::Checkpoint(id, _) if !self.promised.contains_key(&id) => return,
            _ => {}
        }
        self.log.push(entry);
    }

    fn change_leader(&mut self) {
        self.counts.leaders += 1;
        self.keepers[self.leader].follow();
        self.waiting.clear();
        // What was proposed is lost, or gets in before anything of the next term.
        while !self.proposed.is_empty() {
            if self.chance.one_in(2) {
                self.commit();
            } else {
                self.proposed.clear();
            }
        }
        self.changed = self.now;
        self.leader = self.chance.below(MEMBERS as u64) as usize;
        self.term += 1;
        if self.chance.one_in(2) {
            self.apply(self.leader, self.log.len());
        }
        if self.chance.one_in(3) {
            // It was away, and has its leases from the store.
            let (mut leases, upto) = (BTreeMap::new(), self.applied[self.leader]);
            for entry in &self.log[..upto] {
                match *entry {
                    Entry::Grant(id, ttl_seconds) => {
                        leases.insert(id, Granted { id, ttl_seconds, remaining_seconds: 0 });
                    }
                    Entry::Revoke(id) => drop(leases.remove(&id)),
                    Entry::Checkpoint(id, seconds) => {
                        leases.entry(id).and_modify(|lease| lease.remaining_seconds = seconds);
                    }
                }
            }
            self.keepers[self.leader].reset(leases.into_values(), self.now, EXTEND);
        }
        self.keepers[self.leader].lead(self.term, self.now, EXTEND);
    }

    fn keep_alive(&mut self, id: LeaseId) {
        // After a read round: all that is in the log has been applied here.
        self.apply(self.leader, self.log.len());
        match self.keepers[self.leader].keep_alive(id, self.now).expect("it leads") {
            Renewal::Waits(term) => {
                self.counts.waited += 1;
                if term.is_some() {
                    self.proposed.push(Entry::Checkpoint(id, 0));
                }
                self.waiting.push(id);
            }
            renewal => self.promise(id, renewal),
        }
    }

    fn step(&mut self, step: u64) {
        self.now += self.chance.below(200);
        match self.chance.below(12) {
            0 => {
                let (id, ttl) = (step as LeaseId + 1, 1 + self.chance.below(20) as i64);
                self.log.push(Entry::Grant(id, ttl));
                self.promised.insert(id, (self.now + ttl as u64 * 1_000, ttl));
            }
            1..=3 => {
                let at = self.chance.below(self.promised.len().max(1) as u64) as usize;
                if let Some((&id, _)) = self.promised.iter().nth(at) {
                    self.keep_alive(id);
                }
            }
            4 if self.chance.one_in(10) => self.change_leader(),
            5..=7 => self.commit(),
            8 | 9 => {
                let member = self.chance.below(MEMBERS as u64) as usize;
                let behind = (self.log.len() - self.applied[member]) as u64;
                let upto = self.applied[member] + self.chance.below(behind + 1) as usize;
                self.apply(member, upto);
            }
            _ => {
                let keeper = &mut self.keepers[self.leader];
                if let Some((term, ended)) = keeper.expired(self.now) {
                    assert_eq!(term, self.term);
                    self.proposed.extend(ended.into_iter().map(Entry::Revoke));
                }
                if let Some((term, due)) = keeper.due_checkpoints(self.now) {
                    assert_eq!(term, self.term);
                    self.proposed.extend(due.iter().map(|&(id, seconds)| Entry::Checkpoint(id, seconds)));
                    // A renewal beside a checkpoint, and a change of leader soon after: the hardest case.
                    if self.chance.one_in(2) {
                        self.keep_alive(due[0].0);
                    }
                    if self.chance.one_in(4) {
                        while !self.proposed.is_empty() {
                            self.commit();
                        }
                        self.change_leader();
                    }
                }
            }
        }
    }
}

fn run(seeds: std::ops::Range<u64>, interval: Option<u64>) -> Counts {
    let mut all = Counts::default();
    for seed in seeds {
        let mut cluster = Cluster::new(seed, interval);
        for step in 0..3_000 {
            cluster.step(step);
        }
        let Counts { renewed, waited, ended, leaders, shortened } = cluster.counts;
        all.renewed += renewed;
        all.waited += waited;
        all.ended += ended;
        all.leaders += leaders;
        all.shortened += shortened;
    }
    all
}

#[test]
fn no_lease_ends_early_with_checkpoints() {
    let counts = run(0..60, Some(1_000));
    assert!(counts.renewed > 1_000 && counts.ended > 1_000 && counts.leaders > 100, "it was worth looking");
    assert!(counts.waited > 500, "renewals took checkpoints back: {}", counts.waited);
    assert!(counts.shortened > 100, "leases need not begin anew: {}", counts.shortened);
}

#[test]
fn no_lease_ends_early_without_checkpoints() {
    let counts = run(100..140, None);
    assert!(counts.renewed > 1_000 && counts.ended > 500 && counts.leaders > 100, "it was worth looking");
    assert_eq!((counts.waited, counts.shortened), (0, 0));
}
