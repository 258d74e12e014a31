//! What an applied batch tells the others: outcomes to those who wait, events to watchers, the rest to whom it concerns.

use std::sync::Arc;

use bytes::Bytes;

use crate::chain::Link;
use crate::ids::{Index, LeaseId, MemberId, RequestId, Term};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::revision::Revision;
use crate::roster::Change;

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was put.
    Put,
    /// It was deleted.
    Delete,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To which key.
    pub key: Bytes,
    /// The encoded `mvccpb.KeyValue` of the event: for a deletion it holds key and mod_revision only.
    pub kv: Bytes,
    /// The place among the changes of its revision.
    pub sub: u32,
    /// The put that began a life of the key.
    pub created: bool,
    /// The put that this change replaced or deleted, if the key existed. To have it ask
    /// [`View::kv_at`](crate::View::kv_at) with the main revision before the event's.
    pub previous: Option<Revision>,
}

/// All changes of one main revision, in the order of their subs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    /// The main revision.
    pub revision: i64,
    /// At least one.
    pub events: Arc<[Event]>,
}

/// The events of a batch: one [`Events`] for each revision that changed keys, ascending.
pub type AppliedEvents = Vec<Events>;

/// What happened to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// It came to be.
    Granted {
        /// Its name.
        id: LeaseId,
        /// How long it lives, in seconds.
        ttl_seconds: i64,
    },
    /// It ended, and its keys are gone.
    Revoked {
        /// Its name.
        id: LeaseId,
    },
    /// The leader has told how long it has left.
    Checkpointed {
        /// Its name.
        id: LeaseId,
        /// In seconds.
        remaining_seconds: i64,
    },
}

/// What an entry changed about the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterChange {
    /// The entry.
    pub index: Index,
    /// What it changed.
    pub change: ClusterChange,
}

/// What can change about the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterChange {
    /// A configuration change was applied; raft must be told for every one of them. `None`: it was refused, and raft
    /// applies "no change".
    Configuration(Option<Change>),
    /// A member has published its name and client URLs.
    Attributes(MemberId),
    /// The cluster version was set.
    Version,
    /// A downgrade was begun or ended.
    Downgrade,
}

/// What came of a batch of entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// The last entry.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// The answers to those entries whose request was wanted, in the order of the entries.
    pub outcomes: Vec<(RequestId, Result<Reply, Refusal>)>,
    /// What changed about keys, one per revision, ascending.
    pub events: AppliedEvents,
    /// What changed about leases, in order.
    pub leases: Vec<LeaseChange>,
    /// What changed about the cluster, in order.
    pub roster: Vec<RosterChange>,
    /// Whether the set of active alarms is another one than before.
    pub alarms_changed: bool,
    /// The hash chain after each entry, if [`Settings::tells_links`](crate::Settings::tells_links).
    pub links: Vec<(Index, Link)>,
}
