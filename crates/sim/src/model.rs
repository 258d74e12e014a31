//! etcd's promises over a plain map: what each committed command does and
//! answers. Written for clearness, never for speed, and independent of Store.

use bytes::Bytes;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::{
    CompactionResponse, Compare, DeleteRangeRequest, DeleteRangeResponse, InternalRaftRequest, LeaseGrantResponse,
    LeaseRevokeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp,
    TxnRequest, TxnResponse, request_op, response_op,
};
use proto::mvccpb::KeyValue;
use std::collections::{BTreeMap, BTreeSet};
use store::{AlarmKind, Refusal};

type Key = Vec<u8>;

/// What a command answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// To a put.
    Put(PutResponse),
    /// To a delete.
    Delete(DeleteRangeResponse),
    /// To a transaction.
    Txn(TxnResponse),
    /// To a grant.
    Grant(LeaseGrantResponse),
    /// To a compaction.
    Compaction(CompactionResponse),
    /// To the end of a lease.
    Revoked(LeaseRevokeResponse),
    /// Nothing that clients see.
    Nothing,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its revision.
    pub revision: i64,
    /// The pair after it; `None` for a deletion.
    pub after: Option<KeyValue>,
    /// The key.
    pub key: Key,
}

/// The state after some prefix of the committed log.
#[derive(Clone, Debug)]
pub struct Model {
    /// The main revision.
    pub revision: i64,
    /// Compacted to; −1 for never.
    pub compacted: i64,
    /// All it was ever compacted to.
    pub compactions: BTreeSet<i64>,
    keys: BTreeMap<Key, KeyValue>,
    /// Lease → TTL in seconds.
    pub leases: BTreeMap<i64, i64>,
    /// All changes ever, in order.
    pub changes: Vec<Change>,
    /// Where in `changes` each key changed, ascending.
    changes_of: BTreeMap<Key, Vec<usize>>,
    txn_changed: bool,
    /// Active alarms: kind and member.
    alarms: BTreeSet<(i32, u64)>,
}

/// Which branch each transaction of a tree takes: this one's, then those of
/// its nested ones in order. All is decided before anything is changed.
struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

impl Default for Model {
    fn default() -> Self {
        Model {
            revision: 1,
            compacted: -1,
            compactions: BTreeSet::new(),
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            changes: Vec::new(),
            changes_of: BTreeMap::new(),
            txn_changed: false,
            alarms: BTreeSet::new(),
        }
    }
}

impl Model {
    /// Carries out a committed command.
    pub fn apply(&mut self, request: &InternalRaftRequest) -> Result<Said, Refusal> {
        self.txn_changed = false;
        let said = self.command(request);
        if std::mem::take(&mut self.txn_changed) {
            self.revision += 1;
        }
        said
    }

    fn command(&mut self, request: &InternalRaftRequest) -> Result<Said, Refusal> {
        if let Some(alarm) = &request.alarm {
            match alarm.action {
                1 => self.alarms.insert((alarm.alarm, alarm.member_id)),
                _ => self.alarms.remove(&(alarm.alarm, alarm.member_id)),
            };
            return Ok(Said::Nothing);
        }
        let grows = request.put.is_some() || request.lease_grant.is_some() || request.txn.as_ref().is_some_and(puts);
        let shrinks = request.delete_range.is_some() || request.compaction.is_some() || request.lease_revoke.is_some();
        if (grows || shrinks || request.txn.is_some()) && self.is_corrupt() {
            return Err(Refusal::Corrupt);
        }
        if grows && self.alarms.iter().any(|(active, _)| *active == AlarmKind::NO_SPACE.0) {
            return Err(Refusal::NoSpace);
        }
        if let Some(put) = &request.put {
            self.check_put(put)?;
            return Ok(Said::Put(self.put(put)));
        }
        if let Some(delete) = &request.delete_range {
            return Ok(Said::Delete(self.delete(delete)));
        }
        if let Some(txn) = &request.txn {
            let path = self.path(txn);
            self.check(txn, &path)?;
            return Ok(Said::Txn(self.txn(txn, &path)));
        }
        if let Some(compaction) = &request.compaction {
            if compaction.revision <= self.compacted {
                return Err(Refusal::Compacted);
            }
            if compaction.revision > self.revision {
                return Err(Refusal::FutureRev);
            }
            self.compacted = compaction.revision;
            self.compactions.insert(compaction.revision);
            return Ok(Said::Compaction(CompactionResponse { header: header(self.revision) }));
        }
        if let Some(grant) = &request.lease_grant {
            if self.leases.contains_key(&grant.id) {
                return Err(Refusal::LeaseExist);
            }
            self.leases.insert(grant.id, grant.ttl);
            let granted = LeaseGrantResponse { id: grant.id, ttl: grant.ttl, ..LeaseGrantResponse::default() };
            return Ok(Said::Grant(LeaseGrantResponse { header: header(self.revision), ..granted }));
        }
        if let Some(revoke) = &request.lease_revoke {
            if self.leases.remove(&revoke.id).is_none() {
                return Err(Refusal::LeaseNotFound);
            }
            let attached: Vec<Key> =
                self.keys.iter().filter(|(_, kv)| kv.lease == revoke.id).map(|(key, _)| key.clone()).collect();
            for key in attached {
                self.remove(key);
            }
            return Ok(Said::Revoked(LeaseRevokeResponse { header: header(self.next_revision()) }));
        }
        Ok(Said::Nothing)
    }

    /// Whether some member is known to differ: then nothing is changed any more.
    pub fn is_corrupt(&self) -> bool {
        self.alarms.iter().any(|(active, _)| *active == AlarmKind::CORRUPT.0)
    }

    /// Answers a range from the state at `request.revision`.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        let present = self.next_revision();
        if request.revision > present {
            return Err(Refusal::FutureRev);
        }
        if request.revision > 0 && request.revision < self.compacted {
            return Err(Refusal::Compacted);
        }
        let mut found: Vec<KeyValue> = match request.revision {
            revision if revision > 0 && revision < present => self.at(revision, request),
            _ => self.keys.values().filter(|kv| covers(&request.key, &request.range_end, &kv.key)).cloned().collect(),
        };
        let count = found.len() as i64;
        if request.count_only {
            return Ok(RangeResponse { header: header(present), kvs: Vec::new(), more: false, count });
        }
        let limit = if request.limit > 0 { request.limit as usize } else { usize::MAX };
        let within = |number, least, most| (least == 0 || number >= least) && (most == 0 || number <= most);
        found.retain(|kv| {
            within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
                && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
        });
        // etcd reads no more than it needs when no order is asked for, even if
        // a target is; what it has read is then put in order.
        if request.sort_order() == SortOrder::None && !has_filters(request) {
            found.truncate(limit.saturating_add(1));
        }
        sort(&mut found, request.sort_target(), request.sort_order());
        let more = found.len() > limit;
        found.truncate(limit);
        if request.keys_only {
            // Keys without what hangs on them, as etcd 3.7 has it; in order of value it reads the lease along.
            let reads = request.sort_target() == SortTarget::Value;
            found.iter_mut().for_each(|kv| (kv.value, kv.lease) = (Bytes::new(), if reads { kv.lease } else { 0 }));
        }
        Ok(RangeResponse { header: header(present), kvs: found, more, count })
    }

    /// What a range held at a revision of the past, in the order of keys.
    fn at(&self, revision: i64, request: &RangeRequest) -> Vec<KeyValue> {
        let keys = self.changes_of.range(request.key.to_vec()..).map(|(key, _)| key);
        let keys = keys.filter(|key| covers(&request.key, &request.range_end, key));
        keys.filter_map(|key| self.kv_at(key, revision).cloned()).collect()
    }

    /// A key as it was at a revision of the past, compacted or not.
    pub fn kv_at(&self, key: &[u8], revision: i64) -> Option<&KeyValue> {
        let places = self.changes_of.get(key)?;
        let until = places.partition_point(|&place| self.changes[place].revision <= revision);
        self.changes[places[until.checked_sub(1)?]].after.as_ref()
    }

    fn note(&mut self, change: Change) {
        self.changes_of.entry(change.key.clone()).or_default().push(self.changes.len());
        self.changes.push(change);
    }

    /// The revision of a change made now.
    fn next_revision(&self) -> i64 {
        if self.txn_changed { self.revision + 1 } else { self.revision }
    }

    /// Inside a transaction a revision below zero is one that was compacted.
    fn check_range(&self, revision: i64) -> Result<(), Refusal> {
        match revision {
            0 => Ok(()),
            _ if revision > self.revision => Err(Refusal::FutureRev),
            _ if revision < self.compacted => Err(Refusal::Compacted),
            _ => Ok(()),
        }
    }

    fn check_put(&self, put: &PutRequest) -> Result<(), Refusal> {
        if put.lease != 0 && !self.leases.contains_key(&put.lease) {
            return Err(Refusal::LeaseNotFound);
        }
        if (put.ignore_value || put.ignore_lease) && !self.keys.contains_key(&put.key[..]) {
            return Err(Refusal::KeyNotFound);
        }
        Ok(())
    }

    fn put(&mut self, put: &PutRequest) -> PutResponse {
        self.txn_changed = true;
        let revision = self.revision + 1;
        let before = self.keys.get(&put.key[..]).cloned();
        let old = before.clone().unwrap_or_default();
        let kv = KeyValue {
            key: put.key.clone(),
            create_revision: if before.is_some() { old.create_revision } else { revision },
            mod_revision: revision,
            version: old.version + 1,
            value: if put.ignore_value { old.value } else { put.value.clone() },
            lease: if put.ignore_lease { old.lease } else { put.lease },
        };
        self.keys.insert(put.key.to_vec(), kv.clone());
        self.note(Change { revision, after: Some(kv), key: put.key.to_vec() });
        PutResponse { header: header(revision), prev_kv: before.filter(|_| put.prev_kv) }
    }

    fn delete(&mut self, delete: &DeleteRangeRequest) -> DeleteRangeResponse {
        let doomed: Vec<Key> =
            self.keys.keys().filter(|key| covers(&delete.key, &delete.range_end, key)).cloned().collect();
        let deleted = doomed.len() as i64;
        let gone: Vec<KeyValue> = doomed.into_iter().map(|key| self.remove(key)).collect();
        let prev_kvs = if delete.prev_kv { gone } else { Vec::new() };
        DeleteRangeResponse { header: header(self.next_revision()), deleted, prev_kvs }
    }

    fn remove(&mut self, key: Key) -> KeyValue {
        self.txn_changed = true;
        let before = self.keys.remove(&key).expect("only what exists is removed");
        self.note(Change { revision: self.revision + 1, after: None, key });
        before
    }

    fn path(&self, txn: &TxnRequest) -> Path {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let nested = branch(txn, succeeded).iter().filter_map(nested).map(|txn| self.path(txn)).collect();
        Path { succeeded, nested }
    }

    /// All doubts of the branches taken, before the first change.
    fn check(&self, txn: &TxnRequest, path: &Path) -> Result<(), Refusal> {
        let mut ops = Vec::new();
        taken(txn, path, &mut ops);
        // First those of all puts, then those of all ranges.
        for op in &ops {
            if let Some(request_op::Request::RequestPut(put)) = &op.request {
                self.check_put(put)?;
            }
        }
        for op in &ops {
            if let Some(request_op::Request::RequestRange(range)) = &op.request {
                self.check_range(range.revision)?;
            }
        }
        Ok(())
    }

    fn txn(&mut self, txn: &TxnRequest, path: &Path) -> TxnResponse {
        let mut paths = path.nested.iter();
        let responses = branch(txn, path.succeeded).iter().map(|op| self.op(op, &mut paths)).collect();
        TxnResponse { header: header(self.next_revision()), succeeded: path.succeeded, responses }
    }

    fn op<'a>(&mut self, op: &RequestOp, paths: &mut impl Iterator<Item = &'a Path>) -> ResponseOp {
        use request_op::Request as Q;
        use response_op::Response as R;
        let response = match op.request.as_ref().expect("load asks for something") {
            Q::RequestPut(put) => R::ResponsePut(self.put(put)),
            Q::RequestDeleteRange(delete) => R::ResponseDeleteRange(self.delete(delete)),
            Q::RequestRange(range) => R::ResponseRange(self.range(range).expect("was checked before")),
            Q::RequestTxn(txn) => {
                let nested = self.txn(txn, paths.next().expect("each nested one has its path"));
                // Only the outermost header says a revision.
                R::ResponseTxn(TxnResponse { header: Some(ResponseHeader::default()), ..nested })
            }
        };
        ResponseOp { response: Some(response) }
    }

    /// Whether a comparison holds for every key of its range; an empty range
    /// holds whatever is compared, except values.
    fn holds(&self, compare: &Compare) -> bool {
        if compare.range_end.is_empty() {
            return self.holds_for(compare, self.keys.get(&compare.key[..]));
        }
        let range = self.keys.values().filter(|kv| covers(&compare.key, &compare.range_end, &kv.key));
        let mut range = range.peekable();
        if range.peek().is_none() {
            return self.holds_for(compare, None);
        }
        range.all(|kv| self.holds_for(compare, Some(kv)))
    }

    fn holds_for(&self, compare: &Compare, present: Option<&KeyValue>) -> bool {
        let kv = present.cloned().unwrap_or_default();
        let union = compare.target_union.as_ref();
        let order = match CompareTarget::try_from(compare.target) {
            Ok(CompareTarget::Version) => kv.version.cmp(&number(union)),
            Ok(CompareTarget::Create) => kv.create_revision.cmp(&number(union)),
            Ok(CompareTarget::Mod) => kv.mod_revision.cmp(&number(union)),
            Ok(CompareTarget::Lease) => kv.lease.cmp(&number(union)),
            _ => {
                let Some(TargetUnion::Value(value)) = union else { return false };
                if present.is_none() {
                    return false;
                }
                kv.value[..].cmp(&value[..])
            }
        };
        match CompareResult::try_from(compare.result) {
            Ok(CompareResult::Equal) => order.is_eq(),
            Ok(CompareResult::Greater) => order.is_gt(),
            Ok(CompareResult::Less) => order.is_lt(),
            Ok(CompareResult::NotEqual) => order.is_ne(),
            Err(_) => true,
        }
    }

    /// Keys that a live lease holds and that do not exist, or the like.
    pub fn orphans(&self) -> BTreeSet<i64> {
        self.keys.values().map(|kv| kv.lease).filter(|lease| *lease != 0 && !self.leases.contains_key(lease)).collect()
    }
}

/// Whether a transaction could put anything, in either branch. etcd does not look into nested ones.
fn puts(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| matches!(op.request, Some(request_op::Request::RequestPut(_))))
}

fn branch(txn: &TxnRequest, succeeded: bool) -> &[RequestOp] {
    if succeeded { &txn.success } else { &txn.failure }
}

/// The operations of the branches taken, in order.
fn taken<'a>(txn: &'a TxnRequest, path: &Path, ops: &mut Vec<&'a RequestOp>) {
    let mut paths = path.nested.iter();
    for op in branch(txn, path.succeeded) {
        ops.push(op);
        if let Some(txn) = nested(op) {
            taken(txn, paths.next().expect("each nested one has its path"), ops);
        }
    }
}

fn nested(op: &RequestOp) -> Option<&TxnRequest> {
    match &op.request {
        Some(request_op::Request::RequestTxn(txn)) => Some(txn),
        _ => None,
    }
}

fn has_filters(request: &RangeRequest) -> bool {
    [request.min_mod_revision, request.max_mod_revision, request.min_create_revision, request.max_create_revision]
        != [0; 4]
}

/// Orders what is in the order of keys. Equal ones keep that order, also when
/// all else descends.
fn sort(found: &mut [KeyValue], target: SortTarget, order: SortOrder) {
    let by = |left: &KeyValue, right: &KeyValue| match target {
        SortTarget::Key => left.key.cmp(&right.key),
        SortTarget::Version => left.version.cmp(&right.version),
        SortTarget::Create => left.create_revision.cmp(&right.create_revision),
        SortTarget::Mod => left.mod_revision.cmp(&right.mod_revision),
        SortTarget::Value => left.value.cmp(&right.value),
    };
    match order {
        SortOrder::Descend => found.sort_by(|left, right| by(right, left)),
        _ => found.sort_by(by),
    }
}

fn number(union: Option<&TargetUnion>) -> i64 {
    match union {
        Some(
            TargetUnion::Version(number)
            | TargetUnion::CreateRevision(number)
            | TargetUnion::ModRevision(number)
            | TargetUnion::Lease(number),
        ) => *number,
        _ => 0,
    }
}

/// Whether a range by etcd's conventions holds a key.
pub fn covers(from: &[u8], end: &[u8], key: &[u8]) -> bool {
    match end {
        b"" => key == from,
        b"\0" => key >= from,
        end => key >= from && key < end,
    }
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}
