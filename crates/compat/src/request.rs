//! One request as the grammar writes it, before it is known at which revision
//! it will be asked.
//!
//! Numbers that only make sense beside a running store are written as symbols:
//! "the current revision minus two", "the third lease that the server named".
//! [`Request::resolve`] puts in what they mean for one side. Both sides get the
//! same revisions; only ids that a server chose differ. Nothing here may ask
//! for chance or time, so a sequence means the same each time.

use proto::etcdserverpb::compare::TargetUnion;
use proto::etcdserverpb::request_op::Request as Op;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, HashKvRequest, LeaseGrantRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, PutRequest, RangeRequest, TxnRequest, WatchCreateRequest, WatchRequest,
};

/// Symbols are this near to their base.
const NEAR: u64 = 1 << 20;
const CURRENT: i64 = 1 << 60;
const COMPACTED: i64 = 1 << 59;
const NAMED: i64 = 1 << 58;

/// So many revisions from the present one.
pub fn current(delta: i64) -> i64 {
    CURRENT + delta
}

/// So many revisions from the compacted one.
pub fn compacted(delta: i64) -> i64 {
    COMPACTED + delta
}

/// One of the leases whose ids the server chose.
pub fn named_lease(number: i64) -> i64 {
    NAMED + number
}

/// Something sent to both sides, or asked of both watch streams.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// KV/Range.
    Range(RangeRequest),
    /// KV/Put.
    Put(PutRequest),
    /// KV/DeleteRange.
    Delete(DeleteRangeRequest),
    /// KV/Txn.
    Txn(TxnRequest),
    /// KV/Compact.
    Compact(CompactionRequest),
    /// Lease/LeaseGrant.
    Grant(LeaseGrantRequest),
    /// LeaseGrant with a time to live that is too short to wait for, and its
    /// revocation in the same breath.
    GrantAndRevoke(LeaseGrantRequest),
    /// Lease/LeaseRevoke.
    Revoke(LeaseRevokeRequest),
    /// Lease/LeaseKeepAlive: a stream with these requests.
    KeepAlive(Vec<i64>),
    /// Lease/LeaseTimeToLive.
    TimeToLive(LeaseTimeToLiveRequest),
    /// Lease/LeaseLeases.
    Leases,
    /// Maintenance/HashKV.
    HashKv(HashKvRequest),
    /// A message on the watch stream with this number.
    Watch(usize, WatchRequest),
    /// All that the watchers are owed by now.
    ReadWatches,
    /// The past of all keys on a stream of its own, response by response: how
    /// history is cut into responses follows from rules when nobody writes.
    Replay(WatchCreateRequest),
}

/// What the symbols mean just now on one side.
#[derive(Clone, Debug, Default)]
pub struct Meaning {
    /// The present revision.
    pub current: i64,
    /// The compacted revision.
    pub compacted: i64,
    /// Ids the server chose, in the order of their grants.
    pub leases: Vec<i64>,
}

impl Meaning {
    fn revision(&self, revision: &mut i64) {
        if revision.abs_diff(CURRENT) < NEAR {
            *revision = self.current + (*revision - CURRENT);
        } else if revision.abs_diff(COMPACTED) < NEAR {
            *revision = self.compacted + (*revision - COMPACTED);
        }
    }

    /// Excluded: tombstone-at-compacted.
    fn not_at_compacted(&self, create: &mut WatchCreateRequest) {
        if self.compacted != 0 && create.start_revision == self.compacted {
            create.start_revision += 1;
        }
    }

    fn lease(&self, lease: &mut i64) {
        if lease.abs_diff(NAMED) < NEAR {
            let number = (*lease - NAMED) as usize;
            *lease = if self.leases.is_empty() { 777 } else { self.leases[number % self.leases.len()] };
        }
    }

    fn txn(&self, txn: &mut TxnRequest) {
        for compare in &mut txn.compare {
            match &mut compare.target_union {
                Some(TargetUnion::CreateRevision(revision) | TargetUnion::ModRevision(revision)) => {
                    self.revision(revision);
                }
                Some(TargetUnion::Lease(lease)) => self.lease(lease),
                _ => {}
            }
        }
        for op in txn.success.iter_mut().chain(&mut txn.failure) {
            match &mut op.request {
                Some(Op::RequestRange(range)) => self.range(range),
                Some(Op::RequestPut(put)) => self.lease(&mut put.lease),
                Some(Op::RequestTxn(txn)) => self.txn(txn),
                Some(Op::RequestDeleteRange(_)) | None => {}
            }
        }
    }

    fn range(&self, range: &mut RangeRequest) {
        self.revision(&mut range.revision);
        self.revision(&mut range.min_mod_revision);
        self.revision(&mut range.max_mod_revision);
        self.revision(&mut range.min_create_revision);
        self.revision(&mut range.max_create_revision);
    }
}

impl Request {
    /// With symbols replaced.
    pub fn resolve(&self, meaning: &Meaning) -> Request {
        let mut resolved = self.clone();
        match &mut resolved {
            Request::Range(range) => meaning.range(range),
            Request::Put(put) => meaning.lease(&mut put.lease),
            Request::Txn(txn) => meaning.txn(txn),
            Request::Compact(compact) => meaning.revision(&mut compact.revision),
            Request::Revoke(revoke) => meaning.lease(&mut revoke.id),
            Request::KeepAlive(ids) => ids.iter_mut().for_each(|id| meaning.lease(id)),
            Request::TimeToLive(ask) => meaning.lease(&mut ask.id),
            Request::HashKv(hash) => meaning.revision(&mut hash.revision),
            Request::Watch(_, WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }) => {
                meaning.revision(&mut create.start_revision);
                // Excluded: watch-negative-start.
                create.start_revision = create.start_revision.max(0);
                meaning.not_at_compacted(create);
            }
            Request::Replay(create) => {
                meaning.revision(&mut create.start_revision);
                create.start_revision = create.start_revision.clamp(1, meaning.current);
                meaning.not_at_compacted(create);
            }
            Request::Delete(_)
            | Request::Grant(_)
            | Request::GrantAndRevoke(_)
            | Request::Leases
            | Request::Watch(..)
            | Request::ReadWatches => {}
        }
        resolved
    }

    /// Whether it changes nothing, so that many may be asked at once.
    pub fn only_reads(&self) -> bool {
        match self {
            Request::Range(_) | Request::TimeToLive(_) | Request::Leases | Request::HashKv(_) => true,
            Request::Txn(txn) => {
                let range = |op: &proto::etcdserverpb::RequestOp| matches!(op.request, Some(Op::RequestRange(_)));
                txn.success.iter().chain(&txn.failure).all(range)
            }
            _ => false,
        }
    }

    /// Whether a member may answer from what it has, without asking the others.
    pub fn is_local(&self) -> bool {
        match self {
            Request::Range(range) => range.serializable,
            // Headers name the revision of the member that answers.
            Request::Grant(_) | Request::GrantAndRevoke(_) | Request::Revoke(_) | Request::KeepAlive(_) => true,
            Request::TimeToLive(_) | Request::Leases | Request::HashKv(_) | Request::Watch(..) => true,
            Request::Replay(_) => true,
            Request::Txn(_) => self.only_reads(),
            _ => false,
        }
    }
}

/// One line of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Ask through the member with this number (modulo how many there are).
    Ask(usize, Request),
    /// Compare HashKV of all members, at the present and at older revisions.
    SameEverywhere,
    /// The member with this number shall lead.
    Lead(usize),
    /// The leader is killed, so many steps go on without it, then it comes back.
    KillLeader,
    /// Whoever is down comes back.
    Restart,
}
