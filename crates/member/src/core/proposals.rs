//! Proposals that wait: for the next round, or for a leader.

use super::TurnedBack;
use crate::ids::{RequestId, Term};
use bytes::Bytes;
use std::collections::VecDeque;

/// A command for the log, already encoded.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Its waiter is registered under this id.
    pub id: RequestId,
    /// An encoded `InternalRaftRequest`.
    pub data: Bytes,
    /// Propose only as leader of this term, never forward: what Keeper
    /// proposes must not be carried on by a member that has been deposed
    /// without noticing (etcd #12528, #15247).
    pub only_in: Option<Term>,
}

/// The queue in front of raft.
#[derive(Debug, Default)]
pub(super) struct Held {
    queue: VecDeque<(Proposal, u64)>,
    /// What is in the queue, in bytes.
    bytes: usize,
    /// Ids handed to raft in the present attempt.
    attempt: Vec<RequestId>,
    pub turned_back: Vec<(RequestId, TurnedBack)>,
}

impl Held {
    pub fn wait(&mut self, proposal: Proposal, now_ticks: u64) {
        self.bytes += proposal.data.len();
        self.queue.push_back((proposal, now_ticks));
    }

    pub fn turn_back(&mut self, id: RequestId, why: TurnedBack) {
        self.turned_back.push((id, why));
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    pub fn waiting_bytes(&self) -> usize {
        self.bytes
    }

    pub fn refuse_all(&mut self, why: TurnedBack) {
        self.bytes = 0;
        self.turned_back.extend(self.queue.drain(..).map(|(proposal, _)| (proposal.id, why)));
    }

    /// Nobody leads: clients wait for a leader as they do with etcd, Keeper
    /// does not, and beyond so many, or so many bytes, nobody does.
    pub fn hold(&mut self, count_max: usize, bytes_max: usize) {
        let (bytes, turned_back) = (&mut self.bytes, &mut self.turned_back);
        self.queue.retain(|(proposal, _)| {
            let stays = proposal.only_in.is_none();
            if !stays {
                *bytes -= proposal.data.len();
                turned_back.push((proposal.id, TurnedBack::NotLeader));
            }
            stays
        });
        while self.queue.len() > count_max || (self.bytes > bytes_max && self.queue.len() > 1) {
            let (newest, _) = self.queue.pop_back().expect("longer than the bound");
            self.bytes -= newest.data.len();
            self.turned_back.push((newest.id, TurnedBack::TooMany));
        }
    }

    /// Gives up on proposals whose clients have stopped waiting.
    pub fn expire(&mut self, now_ticks: u64, hold_ticks: u32) {
        while let Some((late, _)) = self.queue.pop_front_if(|(_, since)| now_ticks - *since > u64::from(hold_ticks)) {
            self.bytes -= late.data.len();
            self.turned_back.push((late.id, TurnedBack::NoLeader));
        }
    }

    /// Takes the next that may be proposed, `leads` being the term in which
    /// this member is leader: as many as have no more than `bytes_max` bytes
    /// together, but at least one. False when there are none.
    pub fn take_some(&mut self, leads: Option<Term>, bytes_max: usize, batch: &mut Vec<Bytes>) -> bool {
        let mut bytes = 0;
        while let Some((next, _)) = self.queue.front() {
            let size = next.data.len();
            if !batch.is_empty() && bytes + size > bytes_max {
                break;
            }
            let (proposal, _) = self.queue.pop_front().expect("there is a front");
            self.bytes -= size;
            if proposal.only_in.is_some() && proposal.only_in != leads {
                self.turned_back.push((proposal.id, TurnedBack::NotLeader));
                continue;
            }
            bytes += size;
            self.attempt.push(proposal.id);
            batch.push(proposal.data);
        }
        !batch.is_empty()
    }

    pub fn proposed(&mut self) {
        self.attempt.clear();
    }

    /// raft dropped the attempt.
    pub fn dropped(&mut self) -> Vec<(RequestId, TurnedBack)> {
        self.attempt.drain(..).map(|id| (id, TurnedBack::TooMany)).collect()
    }
}
