//! A moment of the store, for whoever wants to read: immutable, cheap to copy, without locks.
//!
//! A view holds its own tree, its own list of segments (and the files behind it) and its own part of memory. What is
//! applied, compacted, swept or installed later does not disturb it, however long it is kept.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use disk::Disk;
use proto::etcdserverpb::{RangeRequest, TxnRequest};
use proto::raftpb::ConfState;

use crate::alarm::Alarms;
use crate::chain::{Carried, Link, Report};
use crate::fault::Fault;
use crate::hash::KvHash;
use crate::history::History;
use crate::ids::{Index, LeaseId, MemberId, Term};
use crate::keys::KeyRange;
use crate::lease::Lease;
use crate::long_range::LongRange;
use crate::moment::Moment;
use crate::records::{Record, Records, Survival};
use crate::refusal::Refusal;
use crate::reply::{Header, RangePart, RangeReply, TxnReply};
use crate::revlog::log::Log;
use crate::roster::{Roster, legacy};
use crate::snapshot::{self, Facts};
use crate::state::State;
use crate::store::{ReadError, Settings};
use crate::{range, txn};

/// The answer of [`View::hash_kv`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashKv {
    /// The hash.
    pub hash: u32,
    /// What the store is compacted to; -1 if it never was.
    pub compact_revision: i64,
    /// The main revision hashed.
    pub hash_revision: i64,
}

/// An image of a moment whose length is known. Holds its moment.
#[derive(Debug)]
pub struct ImagePlan<D: Disk> {
    view: View<D>,
    plan: snapshot::Plan,
}

impl<D: Disk> ImagePlan<D> {
    /// Bytes of the image.
    pub fn size_bytes(&self) -> u64 {
        self.plan.size_bytes()
    }

    /// The moment it is of.
    pub fn view(&self) -> &View<D> {
        &self.view
    }

    /// What goes beside the image to another member: the version 2 store that etcd expects, and in it, where etcd does not
    /// look, what the receiver needs to go on with the hash chain.
    pub fn beside(&self) -> Vec<u8> {
        let chain = &self.view.inner.state.chain;
        let dropped = chain.keys.wrapping_sub(self.plan.sum());
        let carried = Carried { base: chain.base, dropped, link: self.view.link() };
        legacy::store_with(self.view.roster(), Some(carried))
    }

    /// Writes the image from its first byte to its last.
    pub fn write(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<(), snapshot::WriteError> {
        self.plan.write(self.view.records(), sink)
    }
}

/// See the module's essay. Cloning is one reference count.
pub struct View<D: Disk> {
    inner: Arc<Inner<D>>,
}

struct Inner<D: Disk> {
    state: State,
    log: Log<D::File>,
    cluster_id: u64,
    member_id: MemberId,
    quota_bytes: Option<u64>,
    size_bytes: u64,
    size_in_use_bytes: u64,
}

impl<D: Disk> Clone for View<D> {
    fn clone(&self) -> View<D> {
        View { inner: self.inner.clone() }
    }
}

impl<D: Disk> fmt::Debug for View<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { applied, term, revision, compacted, .. } = self.inner.state;
        write!(formatter, "View {{ applied: {applied}, term: {term}, revision: {revision}, compacted: {compacted} }}")
    }
}

impl<D: Disk> View<D> {
    pub(crate) fn new(
        state: State,
        log: Log<D::File>,
        settings: &Settings,
        size_bytes: u64,
        size_in_use_bytes: u64,
    ) -> View<D> {
        let Settings { cluster_id, member_id, quota_bytes, .. } = *settings;
        let inner = Inner { state, log, cluster_id, member_id, quota_bytes, size_bytes, size_in_use_bytes };
        View { inner: Arc::new(inner) }
    }

    pub(crate) fn log(&self) -> &Log<D::File> {
        &self.inner.log
    }

    pub(crate) fn moment(&self) -> Moment<'_, D::File> {
        let Inner { state, log, .. } = &*self.inner;
        Moment { keys: &state.keys, log, batch: None, revision: state.revision, compacted: state.compacted }
    }

    /// The last entry applied.
    pub fn applied(&self) -> Index {
        self.inner.state.applied
    }

    /// The term of that entry.
    pub fn term(&self) -> Term {
        self.inner.state.term
    }

    /// The main revision: 1 for an empty store.
    pub fn revision(&self) -> i64 {
        self.inner.state.revision
    }

    /// What was last compacted to; -1 if nothing ever was. Reads below it are refused, reads at it are not.
    pub fn compacted(&self) -> i64 {
        self.inner.state.compacted
    }

    /// The header of an answer from this moment.
    pub fn header(&self) -> Header {
        Header {
            cluster_id: self.inner.cluster_id,
            member_id: self.inner.member_id,
            revision: self.revision(),
            raft_term: self.term(),
        }
    }

    /// The hash chain, as it is told to neighbours.
    pub fn chain(&self) -> Report {
        self.inner.state.chain.report()
    }

    /// The hash chain after the last entry.
    pub fn link(&self) -> Link {
        self.inner.state.link()
    }

    /// Answers a range, with all its options. Its shape has been checked ([`crate::check::range`]).
    pub fn range(&self, request: &RangeRequest) -> Result<RangeReply, ReadError> {
        range::range(&self.moment(), request)
    }

    /// Some keys of a range, from `from` on, which begins as the request's key and goes on as the last part says. A part
    /// ends with the key that makes it `bytes_max` long, or after `keys_max` keys. Its shape has been checked; order,
    /// filters and limit are not looked at.
    pub fn range_part(
        &self,
        request: &RangeRequest,
        from: &[u8],
        keys_max: usize,
        bytes_max: usize,
    ) -> Result<RangePart, ReadError> {
        range::part(&self.moment(), request, from, keys_max, bytes_max)
    }

    /// Answers a range if the answer has no more than about so many bytes. Its shape has been checked.
    pub fn range_within(&self, request: &RangeRequest, bytes_max: usize) -> Result<Option<RangeReply>, ReadError> {
        range::range_within(&self.moment(), request, bytes_max)
    }

    /// Measures the answer of a range that is too long to be held. Its shape has been checked. Takes time in proportion
    /// to the keys.
    pub fn long_range(&self, request: &RangeRequest) -> Result<LongRange<D>, ReadError> {
        LongRange::measure(self, request)
    }

    /// Answers a txn that only reads ([`crate::check::is_read_only`]). Its shape has been checked.
    pub fn txn(&self, request: &TxnRequest) -> Result<TxnReply, ReadError> {
        txn::read_only(&self.moment(), request)
    }

    /// The encoded KeyValue of a key as it was at a main revision. `None` if it did not exist then, or if that was
    /// compacted. For the pair before an event of revision `r`, ask for `r - 1`.
    pub fn kv_at(&self, key: &[u8], revision: i64) -> Result<Option<Bytes>, Fault> {
        if revision < self.compacted() {
            return Ok(None);
        }
        self.moment().kv_at(key, revision)
    }

    /// How many keys exist in a range.
    pub fn count(&self, keys: KeyRange<'_>) -> usize {
        self.inner.state.keys.count_live(keys)
    }

    /// The main revision that created the present life of a key; `None` if it does not exist.
    pub fn created(&self, key: &[u8]) -> Option<i64> {
        let head = self.inner.state.keys.get(key)?;
        (!head.is_tombstone()).then_some(head.created)
    }

    /// The key of a range that was created last before main revision `before`, and when that was. Takes time with the
    /// number of keys in the range, deleted ones too, and no memory.
    pub fn created_before(&self, keys: KeyRange<'_>, before: i64) -> Option<(Bytes, i64)> {
        range::created_before(&self.inner.state.keys, keys, before)
    }

    /// The events of the main revisions in `from..=upto`, ascending. Complete only if `from` is not below the compacted
    /// revision: the caller has checked that.
    pub fn history(&self, from: i64, upto: i64) -> History<D> {
        History::new(self.log(), from, upto.min(self.revision()))
    }

    /// The rows etcd's key bucket would hold, in the order of revisions, without what compaction has dropped.
    pub fn records(&self) -> Records<D> {
        Records::new(self.clone())
    }

    /// HashKV of a main revision (0: of the present), equal on every member that has the same compacted revision.
    /// A negative one is neither compacted nor the future to etcd: no row is that old, and the hash is that of none.
    pub fn hash_kv(&self, revision: i64) -> Result<HashKv, ReadError> {
        let hash_revision = if revision == 0 { self.revision() } else { revision };
        if hash_revision > self.revision() {
            return Err(Refusal::FutureRev.into());
        }
        if hash_revision > 0 && hash_revision < self.compacted() {
            return Err(Refusal::Compacted.into());
        }
        let moment = self.moment();
        let mut newest = Survival::new(hash_revision);
        let mut hash = KvHash::new(hash_revision, self.compacted());
        for row in self.records() {
            let Record { revision, tombstone, key, kv } = row?;
            if revision.main > hash_revision {
                break;
            }
            hash.add(revision, tombstone, &kv, || newest.is_newest(&moment, &key, revision))?;
        }
        Ok(HashKv { hash: hash.finish(), compact_revision: self.compacted(), hash_revision })
    }

    /// `Maintenance.Hash`: over everything that an image of this moment would hold, but its position.
    pub fn hash(&self) -> Result<u32, Fault> {
        snapshot::hash(&self.facts(), self.records())
    }

    /// Prepares an image of this moment: etcd's database file. Reads all rows once; writing it reads them again.
    pub fn image(&self) -> Result<ImagePlan<D>, Fault> {
        let plan = snapshot::Plan::new(self.facts(), self.records())?;
        Ok(ImagePlan { view: self.clone(), plan })
    }

    fn facts(&self) -> Facts {
        let State { applied, term, revision, compacted, .. } = self.inner.state;
        let State { leases, roster, alarms, .. } = self.inner.state.clone();
        Facts { applied, term, revision, compacted, leases, roster, alarms }
    }

    /// A lease.
    pub fn lease(&self, id: LeaseId) -> Option<&Lease> {
        self.inner.state.leases.get(id)
    }

    /// All leases, by ascending id.
    pub fn leases(&self) -> impl Iterator<Item = (LeaseId, &Lease)> {
        self.inner.state.leases.iter()
    }

    /// The keys attached to a lease, sorted; none for an unknown lease.
    pub fn lease_keys(&self, id: LeaseId) -> Vec<Bytes> {
        self.lease(id).map(|lease| lease.keys().cloned().collect()).unwrap_or_default()
    }

    /// Who belongs to the cluster.
    pub fn roster(&self) -> &Roster {
        &self.inner.state.roster
    }

    /// The active alarms.
    pub fn alarms(&self) -> &Alarms {
        &self.inner.state.alarms
    }

    /// Raft's configuration after the last entry applied.
    pub fn conf_state(&self) -> ConfState {
        self.inner.state.roster.conf_state().clone()
    }

    /// Bytes of the revision log on disk.
    pub fn size_bytes(&self) -> u64 {
        self.inner.size_bytes
    }

    /// Bytes of it that somebody can still read; what is compacted but not accounted for yet still counts.
    pub fn size_in_use_bytes(&self) -> u64 {
        self.inner.size_in_use_bytes
    }

    /// The quota, if there is one.
    pub fn quota_bytes(&self) -> Option<u64> {
        self.inner.quota_bytes
    }
}
