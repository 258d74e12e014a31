//! Linearizable reads: proof that this leader still led after a read was asked for.
//!
//! Every read gets a position, counted from 1 within one leadership and never used again. A heartbeat carries the position
//! of the newest waiting read; whoever answers it confirms all reads up to there and none after. An answer from another
//! term never gets here (it is dropped by term), and within a term positions only grow: so a late answer can only confirm
//! reads that were asked for before its heartbeat was sent. No clock is involved, and the contexts that callers and other
//! members give are only handed back, never used as keys (etcd issue 20418).
//!
//! A leader that has committed nothing in its term does not know yet what is committed: its reads are held back until then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::voters::Voters;
use crate::{Index, MemberId};

/// How many reads may wait at a leader; more are turned back.
pub const READS_WAITING_MAX: usize = 65_536;

/// How many contexts are remembered to catch a caller that uses one twice.
const CONTEXTS_REMEMBERED: usize = 256;

/// A read, and who asked for it.
#[derive(Clone, Debug)]
pub(crate) struct ReadRequest {
    pub(crate) from: MemberId,
    pub(crate) context: Bytes,
}

/// The reads of one leadership.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Asked for before the first commit of the term.
    held: Vec<ReadRequest>,
    /// Asked for, each with the commit of that moment. The first has position `confirmed + 1`.
    waiting: VecDeque<(ReadRequest, Index)>,
    confirmed: u64,
    /// The highest position each member has confirmed.
    answers: BTreeMap<MemberId, u64>,
}

impl Reads {
    pub(crate) fn is_full(&self) -> bool {
        self.held.len() + self.waiting.len() >= READS_WAITING_MAX
    }

    pub(crate) fn hold(&mut self, request: ReadRequest) {
        self.held.push(request);
    }

    pub(crate) fn take_held(&mut self) -> Vec<ReadRequest> {
        std::mem::take(&mut self.held)
    }

    pub(crate) fn add(&mut self, request: ReadRequest, commit: Index) {
        self.waiting.push_back((request, commit));
    }

    fn newest(&self) -> u64 {
        self.confirmed + self.waiting.len() as u64
    }

    /// What heartbeats carry now: eight bytes, little-endian as in etcd, or nothing when no read waits.
    pub(crate) fn heartbeat_context(&self) -> Bytes {
        if self.waiting.is_empty() {
            return Bytes::new();
        }
        Bytes::copy_from_slice(&self.newest().to_le_bytes())
    }

    /// `from` has answered the heartbeat with this context, in this term.
    pub(crate) fn answered(&mut self, from: MemberId, context: &[u8]) {
        let Ok(bytes) = <[u8; 8]>::try_from(context) else {
            return;
        };
        let position = u64::from_le_bytes(bytes);
        if position > self.newest() {
            return; // No heartbeat of ours said that.
        }
        let best = self.answers.entry(from).or_default();
        *best = position.max(*best);
    }

    /// The reads that a quorum has confirmed since the last call. The leader `id` agrees with itself.
    pub(crate) fn confirm(&mut self, id: MemberId, voters: &Voters) -> Vec<(ReadRequest, Index)> {
        let newest = self.newest();
        let position = |member| match member == id {
            true => newest,
            false => self.answers.get(&member).copied().unwrap_or(0),
        };
        let Some(agreed) = voters.quorum_index(position) else {
            return Vec::new();
        };
        if agreed <= self.confirmed {
            return Vec::new();
        }
        let count = (agreed - self.confirmed) as usize;
        self.confirmed = agreed;
        self.waiting.drain(..count).collect()
    }
}

/// The contexts given last, to hold callers to their promise never to use one twice.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    order: VecDeque<Bytes>,
    known: BTreeSet<Bytes>,
}

impl Contexts {
    pub(crate) fn note(&mut self, context: &Bytes) {
        assert!(!context.is_empty(), "a read round needs a context");
        assert!(self.known.insert(context.clone()), "the context of a read round must never be used again");
        self.order.push_back(context.clone());
        if self.order.len() > CONTEXTS_REMEMBERED {
            let oldest = self.order.pop_front().expect("it was just found too long");
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConfState;

    fn voters() -> Voters {
        Voters::from_state(&ConfState { voters: vec![1, 2, 3], ..ConfState::default() })
    }

    fn request(name: &'static str) -> ReadRequest {
        ReadRequest { from: 1, context: Bytes::from_static(name.as_bytes()) }
    }

    #[test]
    fn an_answer_confirms_what_was_asked_before_its_heartbeat() {
        let mut reads = Reads::default();
        assert!(reads.heartbeat_context().is_empty());
        reads.add(request("a"), 5);
        let early = reads.heartbeat_context();
        reads.add(request("b"), 6);
        let late = reads.heartbeat_context();
        reads.answered(2, &early);
        let done = reads.confirm(1, &voters());
        assert_eq!(done.len(), 1);
        assert_eq!((done[0].0.context.as_ref(), done[0].1), (b"a".as_slice(), 5));
        reads.answered(2, &early);
        assert!(reads.confirm(1, &voters()).is_empty());
        reads.answered(3, &late);
        assert_eq!(reads.confirm(1, &voters()).len(), 1);
        assert!(reads.heartbeat_context().is_empty());
        // A repeated answer says nothing about a read that comes later.
        reads.add(request("c"), 7);
        reads.answered(2, &late);
        reads.answered(3, &late);
        assert!(reads.confirm(1, &voters()).is_empty());
    }

    #[test]
    fn foreign_contexts_count_for_nothing() {
        let mut reads = Reads::default();
        reads.add(request("a"), 5);
        reads.answered(2, b"");
        reads.answered(2, b"short");
        reads.answered(2, &99u64.to_le_bytes());
        assert!(reads.confirm(1, &voters()).is_empty());
    }

    #[test]
    #[should_panic(expected = "never be used again")]
    fn a_context_used_twice_is_noticed() {
        let mut contexts = Contexts::default();
        contexts.note(&Bytes::from_static(b"x"));
        contexts.note(&Bytes::from_static(b"x"));
    }

    #[test]
    fn remembering_contexts_is_bounded() {
        let mut contexts = Contexts::default();
        for number in 0..10 * CONTEXTS_REMEMBERED {
            contexts.note(&Bytes::from(number.to_le_bytes().to_vec()));
        }
        assert_eq!((contexts.order.len(), contexts.known.len()), (CONTEXTS_REMEMBERED, CONTEXTS_REMEMBERED));
    }
}
