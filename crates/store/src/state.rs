//! Everything replicated but the records themselves, as one value that is cheap to copy.

use std::sync::Arc;

use crate::alarm::Alarms;
use crate::chain::{Chain, Link};
use crate::ids::{Index, Term};
use crate::keys::Keys;
use crate::lease::Leases;
use crate::roster::Roster;

/// The revision of a store without changes.
pub(crate) const FIRST_REVISION: i64 = 1;

/// What `compacted` is as long as nothing was compacted (etcd answers it in HashKV).
pub(crate) const NEVER_COMPACTED: i64 = -1;

/// A moment of the replicated state. Cloning takes constant time.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) keys: Keys,
    pub(crate) leases: Leases,
    pub(crate) roster: Arc<Roster>,
    pub(crate) alarms: Arc<Alarms>,
    /// The main revision of the last change.
    pub(crate) revision: i64,
    /// What was last compacted to; reads below are refused.
    pub(crate) compacted: i64,
    pub(crate) applied: Index,
    pub(crate) term: Term,
    pub(crate) chain: Chain,
}

impl State {
    /// The hash chain after the last entry.
    pub(crate) fn link(&self) -> Link {
        self.chain.link(self.leases.sum(), self.revision, self.compacted)
    }

    /// Keeps the link after the last entry, to be told to neighbours.
    pub(crate) fn keep_link(&mut self) -> Link {
        let link = self.link();
        self.chain.keep(self.applied, link);
        link
    }

    pub(crate) fn new() -> State {
        State {
            keys: Keys::new(),
            leases: Leases::default(),
            roster: Arc::default(),
            alarms: Arc::default(),
            revision: FIRST_REVISION,
            compacted: NEVER_COMPACTED,
            applied: 0,
            term: 0,
            chain: Chain::default(),
        }
    }
}
