//! Messages that are sound in form and that no correct member can have sent.
//!
//! Somebody at the other end is broken, has lost what it had on disk, or is no member at all. Such a message is refused before
//! anything changes: it must neither end this process nor be followed, and least of all may it replace what is committed.
//! What this member finds wrong with *itself* still ends in an assertion elsewhere; nothing here looks for that.
//!
//! One contradiction can be this member's own fault: a leader that counts on entries which are not here. Perhaps the disk has
//! lost them, and with them promises that were made. Until they are back (or a restart has looked at the disk again) this
//! member neither votes nor campaigns: it could help to elect somebody who lacks committed entries.

use crate::role::State;
use crate::{Index, MemberId, Message, MessageKind, NO_MEMBER, Raft, Term};

/// Why no correct member can have sent a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contradiction {
    /// A second leader in one term.
    TwoLeaders {
        /// Who leads in that term, as known here; maybe this member itself.
        known: MemberId,
        /// The term.
        term: Term,
    },
    /// A leader counts on an entry here that this log does not reach.
    CommitBeyondLog {
        /// What it says is committed here.
        commit: Index,
        /// The end of the log.
        last: Index,
    },
    /// Another entry, or another term of an entry, in the place of a committed one.
    CommittedReplaced {
        /// The place.
        index: Index,
        /// How far is committed here.
        commit: Index,
    },
    /// An acknowledgement of more than this leader has.
    AckBeyondLog {
        /// What is acknowledged.
        index: Index,
        /// The end of the log.
        last: Index,
    },
    /// A read is answered by somebody who does not lead.
    NotTheLeader {
        /// Who does.
        known: MemberId,
    },
}

impl std::fmt::Display for Contradiction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Contradiction::TwoLeaders { known, term } => {
                write!(f, "its sender claims to lead in term {term}, but {known:x} leads in that term")
            }
            Contradiction::CommitBeyondLog { commit, last } => write!(
                f,
                "it says that {commit} is committed here, but the log ends at {last}: was it lost or damaged? \
                 If it was, this member must be removed and added anew"
            ),
            Contradiction::CommittedReplaced { index, commit } => {
                write!(f, "it has another entry at {index}, but everything up to {commit} is committed here")
            }
            Contradiction::AckBeyondLog { index, last } => {
                write!(f, "it acknowledges {index}, but this leader's log ends at {last}")
            }
            Contradiction::NotTheLeader { known } => write!(f, "it answers a read, but {known:x} leads"),
        }
    }
}

impl Raft {
    /// Finds what is impossible in a message that is sound in form. Changes nothing but the doubt about this member's own log.
    pub(crate) fn contradicts(&mut self, message: &Message) -> Result<(), Contradiction> {
        use MessageKind::*;
        if message.kind.is_termless() || message.term < self.term {
            return Ok(()); // Of an older term nothing is believed anyway.
        }
        match message.kind {
            App | Heartbeat | Snap => {
                self.has_another_leader(message)?;
                match message.kind {
                    App => self.replaces_committed(message),
                    Heartbeat => self.commits_beyond_log(message),
                    _ => self.snapshot_replaces_committed(message),
                }
            }
            AppResp if message.term == self.term && !message.reject && self.leads() => {
                let (index, last) = (message.index, self.tail.last_index());
                if index > last { Err(Contradiction::AckBeyondLog { index, last }) } else { Ok(()) }
            }
            ReadIndexResp if message.term == self.term => match self.leader() {
                NO_MEMBER => Ok(()),
                known if known == message.from => Ok(()),
                known => Err(Contradiction::NotTheLeader { known }),
            },
            _ => Ok(()),
        }
    }

    /// Whether this member may have lost entries that somebody counts on.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.doubted > self.tail.last_index()
    }

    fn leads(&self) -> bool {
        matches!(self.state, State::Leader(_))
    }

    fn has_another_leader(&self, message: &Message) -> Result<(), Contradiction> {
        let known = self.leader();
        if message.term > self.term || known == NO_MEMBER || known == message.from {
            return Ok(());
        }
        Err(Contradiction::TwoLeaders { known, term: message.term })
    }

    fn commits_beyond_log(&mut self, message: &Message) -> Result<(), Contradiction> {
        let (commit, last) = (message.commit, self.tail.last_index());
        if commit <= last {
            return Ok(());
        }
        if self.voters.is_voter(message.from) {
            self.doubted = self.doubted.max(commit);
        }
        Err(Contradiction::CommitBeyondLog { commit, last })
    }

    /// A leader has all that is committed. What is compacted here is not compared any more.
    fn replaces_committed(&self, message: &Message) -> Result<(), Contradiction> {
        let before = std::iter::once((message.index, message.log_term));
        let entries = message.entries.iter().map(|entry| (entry.index, entry.term));
        for (index, term) in before.chain(entries).take_while(|(index, _)| *index <= self.commit) {
            if self.tail.term(index).is_some_and(|known| known != term) {
                return Err(Contradiction::CommittedReplaced { index, commit: self.commit });
            }
        }
        Ok(())
    }

    /// Terms never fall along a log, and a snapshot of what is committed here says the same.
    fn snapshot_replaces_committed(&self, message: &Message) -> Result<(), Contradiction> {
        let Some(meta) = message.snapshot.as_ref().map(|snapshot| &snapshot.meta) else { return Ok(()) };
        let (index, commit) = (meta.index, self.commit);
        let differs = match index <= commit {
            true => self.tail.term(index).is_some_and(|known| known != meta.term),
            false => self.tail.term(commit).is_some_and(|known| known > meta.term),
        };
        if differs { Err(Contradiction::CommittedReplaced { index, commit }) } else { Ok(()) }
    }
}
