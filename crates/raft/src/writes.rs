//! Writes under way, and what must not be said before they are done.
//!
//! ```text
//!    take: append 7 ─▶ Log      held: ack, vote grant ──┐ waits for append 7
//!    take: append 8 ─▶ Log                              │
//!    appended(7) ◀─ Log ────────────────────────────────┴─▶ messages
//! ```
//!
//! Every append claims "afterwards the log is durable up to here". When a newer leader replaces entries, the claims of the
//! appends still under way are cut as well: otherwise a late "done" for replaced entries would make their successors (or,
//! replaced twice, their very doubles) count as durable while a write under way is going to change them again. etcd reaches
//! the same by dropping answers from before a term change.

use std::collections::VecDeque;

use crate::{AppendMark, HardState, Index, Message, Term};

/// What waits for a write.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) messages: Vec<Message>,
    /// This member's vote for itself in this term.
    pub(crate) own_vote: Option<Term>,
}

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.own_vote.is_none()
    }

    fn absorb(&mut self, mut later: Held) {
        self.messages.append(&mut later.messages);
        self.own_vote = later.own_vote.or(self.own_vote);
    }
}

#[derive(Debug)]
struct UnderWay {
    sequence: u64,
    /// How far the log is durable after it, as far as nothing written later changes that.
    claim: Index,
    must_sync: bool,
    held: Held,
}

/// What has become true with an acknowledgement.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) durable: Index,
    pub(crate) held: Held,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Writes {
    under_way: VecDeque<UnderWay>,
    sequence: u64,
    acknowledged: u64,
    /// The hard state as the Log was told last.
    pub(crate) told: HardState,
    /// Said since the last append.
    pub(crate) held: Held,
}

impl Writes {
    pub(crate) fn new(told: HardState) -> Writes {
        Writes { under_way: VecDeque::new(), sequence: 0, acknowledged: 0, told, held: Held::default() }
    }

    /// Begins an append after which the log ends at `(index, term)`; all that is held waits for it.
    pub(crate) fn begin(&mut self, index: Index, term: Term, must_sync: bool) -> AppendMark {
        self.sequence += 1;
        let held = match must_sync {
            true => std::mem::take(&mut self.held),
            false => Held::default(),
        };
        self.under_way.push_back(UnderWay { sequence: self.sequence, claim: index, must_sync, held });
        AppendMark { sequence: self.sequence, index, term }
    }

    /// Whether what is held could go out now, no write that matters being under way.
    pub(crate) fn is_clear(&self) -> bool {
        self.under_way.iter().all(|write| !write.must_sync)
    }

    /// Nothing new is to be written: what is held waits for the newest write that matters, or for nothing.
    pub(crate) fn settle(&mut self) -> Held {
        let held = std::mem::take(&mut self.held);
        match self.under_way.iter_mut().rev().find(|write| write.must_sync) {
            Some(write) => {
                write.held.absorb(held);
                Held::default()
            }
            None => held,
        }
    }

    /// Entries from `from` on are replaced or gone: no write under way may claim them any more.
    pub(crate) fn cut_claims(&mut self, from: Index) {
        for write in &mut self.under_way {
            write.claim = write.claim.min(from - 1);
        }
    }

    /// The Log has done everything up to the append with this sequence. An older or repeated mark changes nothing.
    pub(crate) fn done(&mut self, sequence: u64) -> Done {
        assert!(sequence <= self.sequence, "the Log acknowledges append {sequence}, which was never given to it");
        let mut done = Done::default();
        while let Some(write) = self.under_way.pop_front_if(|write| write.sequence <= sequence) {
            done.durable = done.durable.max(write.claim);
            done.held.absorb(write.held);
        }
        self.acknowledged = self.acknowledged.max(sequence);
        done
    }

    pub(crate) fn is_done(&self, sequence: u64) -> bool {
        sequence <= self.acknowledged
    }

    pub(crate) fn count(&self) -> usize {
        self.under_way.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageKind;

    fn hold(writes: &mut Writes, index: Index) {
        let mut message = Message::new(MessageKind::AppResp, 2);
        message.index = index;
        writes.held.messages.push(message);
    }

    fn indices(held: &Held) -> Vec<Index> {
        held.messages.iter().map(|message| message.index).collect()
    }

    #[test]
    fn answers_wait_for_their_write() {
        let mut writes = Writes::new(HardState::default());
        hold(&mut writes, 1);
        writes.begin(1, 1, true);
        hold(&mut writes, 2);
        writes.begin(2, 1, true);
        hold(&mut writes, 3);
        assert!(writes.settle().is_empty(), "the newest write is still under way");
        let first = writes.done(1);
        assert_eq!((first.durable, indices(&first.held)), (1, vec![1]));
        let second = writes.done(2);
        assert_eq!((second.durable, indices(&second.held)), (2, vec![2, 3]));
        assert!(writes.done(1).held.is_empty(), "an old mark changes nothing");
        hold(&mut writes, 4);
        assert_eq!(indices(&writes.settle()), [4]);
    }

    #[test]
    fn a_commit_alone_holds_nothing_back() {
        let mut writes = Writes::new(HardState::default());
        writes.begin(5, 1, false);
        hold(&mut writes, 5);
        assert!(writes.is_clear());
        assert_eq!(indices(&writes.settle()), [5]);
    }

    #[test]
    fn replaced_entries_lose_their_claims() {
        let mut writes = Writes::new(HardState::default());
        writes.begin(3, 1, true);
        writes.cut_claims(2);
        writes.begin(3, 2, true);
        writes.cut_claims(2);
        writes.begin(3, 1, true);
        assert_eq!(writes.done(1).durable, 1);
        assert_eq!(writes.done(2).durable, 1);
        assert_eq!(writes.done(3).durable, 3);
    }
}
