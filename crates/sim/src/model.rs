//! etcd's promises over a plain map: what each committed command does and
//! answers. Written for clearness, never for speed, and independent of Store.

use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, InternalRaftRequest, PutRequest, PutResponse, RangeRequest,
    RangeResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse, request_op, response_op,
};
use proto::mvccpb::KeyValue;
use std::collections::{BTreeMap, BTreeSet};
use store::Refusal;

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
    /// The current revision and nothing else: compactions, leases.
    Revision(i64),
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
    /// The pair before it.
    pub before: Option<KeyValue>,
}

/// The state after some prefix of the committed log.
#[derive(Clone, Debug)]
pub struct Model {
    /// The main revision.
    pub revision: i64,
    /// Compacted to; −1 for never.
    pub compacted: i64,
    keys: BTreeMap<Key, KeyValue>,
    /// Lease → TTL in seconds.
    pub leases: BTreeMap<i64, i64>,
    /// All changes ever, in order.
    pub changes: Vec<Change>,
    /// State at past revisions that can still be read.
    past: BTreeMap<i64, BTreeMap<Key, KeyValue>>,
    txn_changed: bool,
}

impl Default for Model {
    fn default() -> Self {
        Model {
            revision: 1,
            compacted: -1,
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            changes: Vec::new(),
            past: BTreeMap::from([(1, BTreeMap::new())]),
            txn_changed: false,
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
            self.past.insert(self.revision, self.keys.clone());
        }
        said
    }

    fn command(&mut self, request: &InternalRaftRequest) -> Result<Said, Refusal> {
        if let Some(put) = &request.put {
            self.check_put(put)?;
            return Ok(Said::Put(self.put(put)));
        }
        if let Some(delete) = &request.delete_range {
            return Ok(Said::Delete(self.delete(delete)));
        }
        if let Some(txn) = &request.txn {
            return self.txn(txn).map(Said::Txn);
        }
        if let Some(compaction) = &request.compaction {
            if compaction.revision <= self.compacted {
                return Err(Refusal::Compacted);
            }
            if compaction.revision > self.revision {
                return Err(Refusal::FutureRev);
            }
            self.compacted = compaction.revision;
            self.past = self.past.split_off(&self.compacted);
            return Ok(Said::Revision(self.revision));
        }
        if let Some(grant) = &request.lease_grant {
            if self.leases.contains_key(&grant.id) {
                return Err(Refusal::LeaseExist);
            }
            self.leases.insert(grant.id, grant.ttl);
            return Ok(Said::Revision(self.revision));
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
            return Ok(Said::Revision(self.next_revision()));
        }
        Ok(Said::Nothing)
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
        let state = match request.revision {
            revision if revision > 0 && revision < present => &self.past[&revision],
            _ => &self.keys,
        };
        let found: Vec<&KeyValue> =
            state.values().filter(|kv| covers(&request.key, &request.range_end, &kv.key)).collect();
        let count = found.len() as i64;
        let limit = if request.limit > 0 { request.limit as usize } else { usize::MAX };
        let more = !request.count_only && found.len() > limit;
        let kvs = if request.count_only { Vec::new() } else { found.into_iter().take(limit).cloned().collect() };
        Ok(RangeResponse { header: header(present), kvs, more, count })
    }

    /// The revision of a change made now.
    fn next_revision(&self) -> i64 {
        if self.txn_changed { self.revision + 1 } else { self.revision }
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
        self.changes.push(Change { revision, after: Some(kv), key: put.key.to_vec(), before: before.clone() });
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
        self.changes.push(Change { revision: self.revision + 1, after: None, key, before: Some(before.clone()) });
        before
    }

    fn txn(&mut self, txn: &TxnRequest) -> Result<TxnResponse, Refusal> {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let ops = if succeeded { &txn.success } else { &txn.failure };
        for op in ops {
            match &op.request {
                Some(request_op::Request::RequestPut(put)) => self.check_put(put)?,
                Some(request_op::Request::RequestRange(range)) => drop(self.range(range)?),
                _ => {}
            }
        }
        let responses = ops.iter().map(|op| self.op(op)).collect();
        Ok(TxnResponse { header: header(self.next_revision()), succeeded, responses })
    }

    fn op(&mut self, op: &RequestOp) -> ResponseOp {
        use request_op::Request as Q;
        use response_op::Response as R;
        let response = match op.request.as_ref().expect("load asks for something") {
            Q::RequestPut(put) => R::ResponsePut(self.put(put)),
            Q::RequestDeleteRange(delete) => R::ResponseDeleteRange(self.delete(delete)),
            Q::RequestRange(range) => R::ResponseRange(self.range(range).expect("was checked before")),
            Q::RequestTxn(_) => unreachable!("load does not nest"),
        };
        ResponseOp { response: Some(response) }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let present = self.keys.get(&compare.key[..]);
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
