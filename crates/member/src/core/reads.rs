//! Linearizable reads: many reads share one round of heartbeats.
//!
//! A round has a number that is never used twice, not by a retry and not by a
//! later life of this member or by another member, so a delayed answer can only confirm the round
//! it belongs to (etcd #20418). A read is ready when the round's index has
//! been applied here.

use super::TurnedBack;
use crate::ids::{IdMaker, Index, ReadId};
use bytes::Bytes;
use raft::Raft;
use std::collections::BTreeMap;

/// Rounds under way at once; a new one starts while others travel.
const ROUNDS_MAX: usize = 4;

/// A read and the tick since which it waits.
type Waiting = (ReadId, u64);

#[derive(Debug)]
pub(super) struct Reads {
    numbers: IdMaker,
    retry_ticks: u32,
    waiting: Vec<Waiting>,
    rounds: BTreeMap<u64, Round>,
    /// Index that must be applied → reads.
    confirmed: BTreeMap<Index, Vec<Waiting>>,
    pub failed: Vec<(ReadId, TurnedBack)>,
}

#[derive(Debug)]
struct Round {
    reads: Vec<Waiting>,
    started: u64,
}

impl Reads {
    pub fn new(numbers: IdMaker, retry_ticks: u32) -> Reads {
        Reads {
            numbers,
            retry_ticks,
            waiting: Vec::new(),
            rounds: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            failed: Vec::new(),
        }
    }

    pub fn ask(&mut self, id: ReadId, now_ticks: u64) {
        self.waiting.push((id, now_ticks));
    }

    /// Takes unanswered rounds back, so that their reads join a new round
    /// with a new number, and gives up on reads that nobody waits for.
    pub fn tick(&mut self, now_ticks: u64, hold_ticks: u32) {
        let retry = u64::from(self.retry_ticks);
        let late: Vec<u64> = self
            .rounds
            .iter()
            .filter(|(_, round)| now_ticks - round.started >= retry)
            .map(|(&number, _)| number)
            .collect();
        for number in late {
            let round = self.rounds.remove(&number).expect("just seen");
            self.waiting.extend(round.reads);
        }
        let failed = &mut self.failed;
        self.waiting.retain(|&(id, since)| {
            let stays = now_ticks - since <= u64::from(hold_ticks);
            if !stays {
                failed.push((id, TurnedBack::NoLeader));
            }
            stays
        });
        // Store may stand still, on a full disk for example.
        self.confirmed.retain(|_, reads| {
            reads.retain(|&(id, since)| {
                let stays = now_ticks - since <= u64::from(hold_ticks);
                if !stays {
                    failed.push((id, TurnedBack::NotApplied));
                }
                stays
            });
            !reads.is_empty()
        });
    }

    /// Starts a round for all that wait. Without a leader they go on waiting.
    pub fn start(&mut self, raft: &mut Raft, now_ticks: u64) {
        if self.waiting.is_empty() || self.rounds.len() >= ROUNDS_MAX || raft.leader_id() == 0 {
            return;
        }
        let number = self.numbers.next_id();
        if raft.read(Bytes::copy_from_slice(&number.to_be_bytes())).is_err() {
            return;
        }
        self.rounds.insert(number, Round { reads: std::mem::take(&mut self.waiting), started: now_ticks });
    }

    pub fn confirmed(&mut self, context: &[u8], index: Index) {
        let Ok(bytes) = <[u8; 8]>::try_from(context) else { return };
        if let Some(round) = self.rounds.remove(&u64::from_be_bytes(bytes)) {
            self.confirmed.entry(index).or_default().extend(round.reads);
        }
    }

    /// Whether some reads wait only for Store.
    pub fn wait_for_applied(&self) -> bool {
        !self.confirmed.is_empty()
    }

    /// Hands out what may be read at `applied`.
    pub fn release(&mut self, applied: Index, ready: &mut Vec<ReadId>) {
        while let Some(first) = self.confirmed.first_entry() {
            if *first.key() > applied {
                break;
            }
            ready.extend(first.remove().into_iter().map(|(id, _)| id));
        }
    }

    /// Rounds asked of the old leader may never be answered.
    pub fn leader_changed(&mut self) {
        for round in std::mem::take(&mut self.rounds).into_values() {
            self.failed.extend(round.reads.iter().map(|&(id, _)| (id, TurnedBack::LeaderChanged)));
        }
    }
}
