//! A moment of the store as etcd's database file, and back.
//!
//! Members send each other their state as a bbolt image, clients save one as a backup, and etcd keeps one as its data
//! directory. Ours is none of these, so an image is made when asked for and taken apart when received.
//!
//! ```text
//!   View ── Facts, rows ──▶ Plan ── rows again ──▶ image ──▶ peer or file
//!   peer or file ──▶ image ──▶ Reader ── rows, in the order of revisions ──▶ store ── Facts
//! ```
//!
//! Rows are the changes of keys, each a [`Record`](crate::Record), which may be far more than memory holds: they stream, twice to write and once to
//! read. [`Facts`] are everything else that is replicated. What a row's bytes are is said in [`crate::hash`].
//!
//! An image holds what a fresh etcd's would in each of its buckets:
//!
//! | bucket | rows |
//! | --- | --- |
//! | `key` | revision → `mvccpb.KeyValue` |
//! | `meta` | `consistent_index`, `term`, `confState`, the compacted revision twice, `storageVersion` from 3.6 on |
//! | `lease` | id → `leasepb.Lease`; attached keys stand in their own rows |
//! | `alarm` | `AlarmMember` → nothing |
//! | `cluster` | `clusterVersion`, `downgrade` |
//! | `members`, `members_removed` | id in hexadecimal → JSON, or `removed` |
//! | `auth`, `authUsers`, `authRoles` | revision 1 and nothing else |
//!
//! Users and roles are not replicated by this version. An image that has any is refused, because to forget them silently
//! would open the cluster. This module touches no file, and never decides when an image is due.

mod read;
mod write;

use std::sync::Arc;

use proto::raftpb::ConfState;

use crate::alarm::Alarms;
use crate::chain::{Carried, Chain};
use crate::fault::Fault;
use crate::ids::{Index, Term};
use crate::keys::Keys;
use crate::lease::Leases;
use crate::roster::Roster;
use crate::roster::legacy::{self, LegacyChange};
use crate::state::State;

pub use read::Reader;
pub use write::{Plan, WriteError, hash, storage_version};

/// What is replicated beside the changes of keys.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The last entry applied.
    pub applied: Index,
    /// Its term.
    pub term: Term,
    /// The store's current revision.
    pub revision: i64,
    /// What was last compacted to, or −1 when nothing ever was.
    pub compacted: i64,
    /// Leases and the keys on them.
    pub leases: Leases,
    /// Members, cluster version, raft's configuration.
    pub roster: Arc<Roster>,
    /// Active alarms.
    pub alarms: Arc<Alarms>,
}

/// Names in an image.
pub(crate) mod name {
    pub(crate) const ALARM: &[u8] = b"alarm";
    pub(crate) const AUTH: &[u8] = b"auth";
    pub(crate) const AUTH_ROLES: &[u8] = b"authRoles";
    pub(crate) const AUTH_USERS: &[u8] = b"authUsers";
    pub(crate) const CLUSTER: &[u8] = b"cluster";
    pub(crate) const KEY: &[u8] = b"key";
    pub(crate) const LEASE: &[u8] = b"lease";
    pub(crate) const MEMBERS: &[u8] = b"members";
    pub(crate) const MEMBERS_REMOVED: &[u8] = b"members_removed";
    pub(crate) const META: &[u8] = b"meta";

    pub(crate) const AUTH_ENABLED: &[u8] = b"authEnabled";
    pub(crate) const AUTH_REVISION: &[u8] = b"authRevision";
    pub(crate) const CLUSTER_VERSION: &[u8] = b"clusterVersion";
    pub(crate) const DOWNGRADE: &[u8] = b"downgrade";
    pub(crate) const REMOVED: &[u8] = b"removed";
    pub(crate) const CONF_STATE: &[u8] = b"confState";
    pub(crate) const CONSISTENT_INDEX: &[u8] = b"consistent_index";
    pub(crate) const FINISHED_COMPACT: &[u8] = b"finishedCompactRev";
    pub(crate) const SCHEDULED_COMPACT: &[u8] = b"scheduledCompactRev";
    pub(crate) const STORAGE_VERSION: &[u8] = b"storageVersion";
    pub(crate) const TERM: &[u8] = b"term";
}

/// The state that an image leads to, but for its keys. `beside`: what came with it.
pub(crate) fn state(facts: Facts, applied: Index, term: Term, conf_state: Option<ConfState>, beside: &[u8]) -> State {
    let Facts { revision, compacted, leases, mut roster, alarms, .. } = facts;
    let known = Arc::make_mut(&mut roster);
    if let Some(conf_state) = conf_state {
        known.set_conf_state(conf_state);
    }
    for change in legacy::attributes_in_store(beside) {
        if let LegacyChange::Attributes { id, name, client_urls } = change {
            known.set_attributes(id, name, client_urls);
        }
    }
    let (keys, chain) = (Keys::new(), Chain::default());
    State { keys, leases, roster, alarms, revision, compacted, applied, term, chain }
}

/// The hash chain of such a state, whose rows add `sum` to it.
///
/// # Errors
/// [`Fault::Image`] when the sender says that it is another one: the image has changed on its way.
pub(crate) fn chain(state: &State, sum: u64, beside: &[u8]) -> Result<Chain, Fault> {
    let Some(Carried { base, dropped, link }) = legacy::chain_in_store(beside) else {
        return Ok(Chain::of(state, Chain::foreign(state.applied, sum), 0, sum));
    };
    let chain = Chain::of(state, base, dropped, sum.wrapping_add(dropped));
    let here = chain.link(state.leases.sum(), state.revision, state.compacted);
    if here != link {
        let part = if here.keys == link.keys { "what is beside the keys" } else { "the keys" };
        return Err(Fault::Image(format!("{part} have another hash than the sender says: it is damaged")));
    }
    Ok(chain)
}

/// Reads an image from end to end, and compares it with what its sender says of it in `beside`.
///
/// # Errors
/// [`Fault::Image`] when it is none, or not the one that was sent.
pub fn check<S: bolt::ReadAt>(source: S, beside: &[u8]) -> Result<(), Fault> {
    let mut sum = 0u64;
    let facts = Reader::open(source)?.rows(|row| {
        sum = sum.wrapping_add(crate::chain::change(row.tombstone, row.revision, &row.kv));
        Ok(())
    })?;
    let (applied, term) = (facts.applied, facts.term);
    chain(&state(facts, applied, term, None, beside), sum, beside).map(|_| ())
}

#[cfg(test)]
mod tests;
