//! etcd's promises over plain maps: slow, obvious, and on its own feet.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::request_op::Request;
use proto::mvccpb::KeyValue;
use store::{
    AlarmReply, DeleteRangeReply, LeaseGrantReply, OpReply, PlainReply, PutReply, RangeReply, Refusal, Reply, TxnReply,
};

/// A change of a key: `None` deleted it.
pub type Change = (i64, u32, Bytes, Option<KeyValue>);

#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub revision: i64,
    pub compacted: i64,
    /// Every change there ever was, in order.
    pub changes: Vec<Change>,
    pub keys: BTreeMap<Bytes, KeyValue>,
    pub leases: BTreeMap<i64, i64>,
}

impl Default for Model {
    fn default() -> Model {
        Model { revision: 1, compacted: -1, changes: Vec::new(), keys: BTreeMap::new(), leases: BTreeMap::new() }
    }
}

pub fn encoded(kv: &KeyValue) -> Bytes {
    kv.encode_to_vec().into()
}

pub fn in_range(key: &[u8], from: &[u8], end: &[u8]) -> bool {
    match end {
        b"" => key == from,
        b"\0" => key >= from,
        _ => key >= from && key < end,
    }
}

impl Model {
    pub fn apply(&mut self, request: &pb::InternalRaftRequest) -> Result<Reply, Refusal> {
        let plain = |model: &Model| PlainReply { revision: model.revision };
        if let Some(request) = &request.put {
            self.check_put(request, false)?;
            let mut sub = 0;
            let reply = self.put(request, &mut sub);
            return Ok(self.end(sub, Reply::Put(reply)));
        }
        if let Some(request) = &request.delete_range {
            let mut sub = 0;
            let reply = self.delete_range(request, &mut sub);
            return Ok(self.end(sub, Reply::DeleteRange(reply)));
        }
        if let Some(request) = &request.txn {
            return self.txn(request);
        }
        if let Some(request) = &request.compaction {
            if request.revision <= self.compacted {
                return Err(Refusal::Compacted);
            }
            if request.revision > self.revision {
                return Err(Refusal::FutureRev);
            }
            self.compacted = request.revision;
            return Ok(Reply::Compact(plain(self)));
        }
        if let Some(request) = &request.lease_grant {
            if self.leases.contains_key(&request.id) {
                return Err(Refusal::LeaseExist);
            }
            let ttl_seconds = request.ttl.max(2);
            self.leases.insert(request.id, ttl_seconds);
            return Ok(Reply::LeaseGrant(LeaseGrantReply { revision: self.revision, id: request.id, ttl_seconds }));
        }
        if let Some(request) = &request.lease_revoke {
            self.leases.remove(&request.id).ok_or(Refusal::LeaseNotFound)?;
            let mut sub = 0;
            for key in self.lease_keys(request.id) {
                self.delete(&key, &mut sub);
            }
            self.revision += i64::from(sub > 0);
            return Ok(Reply::LeaseRevoke(plain(self)));
        }
        if request.alarm.is_some() {
            return Ok(Reply::Alarm(AlarmReply { revision: self.revision, alarms: Vec::new() }));
        }
        panic!("the model does not know {request:?}");
    }

    pub fn lease_keys(&self, id: i64) -> Vec<Bytes> {
        self.keys.iter().filter(|(_, kv)| kv.lease == id).map(|(key, _)| key.clone()).collect()
    }

    fn end(&mut self, sub: u32, reply: Reply) -> Reply {
        self.revision += i64::from(sub > 0);
        reply
    }

    fn check_put(&self, request: &pb::PutRequest, in_txn: bool) -> Result<(), Refusal> {
        let no_lease = request.lease != 0 && !self.leases.contains_key(&request.lease);
        let no_key = (request.ignore_value || request.ignore_lease) && !self.keys.contains_key(&request.key);
        match (no_lease, no_key) {
            (false, false) => Ok(()),
            (true, false) => Err(Refusal::LeaseNotFound),
            (false, true) => Err(Refusal::KeyNotFound),
            (true, true) if in_txn => Err(Refusal::KeyNotFound),
            (true, true) => Err(Refusal::LeaseNotFound),
        }
    }

    fn put(&mut self, request: &pb::PutRequest, sub: &mut u32) -> PutReply {
        let main = self.revision + 1;
        let old = self.keys.get(&request.key).cloned();
        let mut kv = KeyValue {
            key: request.key.clone(),
            create_revision: main,
            mod_revision: main,
            version: 1,
            value: request.value.clone(),
            lease: request.lease,
        };
        if let Some(old) = &old {
            kv.create_revision = old.create_revision;
            kv.version = old.version + 1;
            if request.ignore_value {
                kv.value = old.value.clone();
            }
            if request.ignore_lease {
                kv.lease = old.lease;
            }
        }
        self.changes.push((main, *sub, request.key.clone(), Some(kv.clone())));
        self.keys.insert(request.key.clone(), kv);
        *sub += 1;
        PutReply { revision: main, prev_kv: old.filter(|_| request.prev_kv).map(|old| encoded(&old)) }
    }

    fn delete(&mut self, key: &Bytes, sub: &mut u32) {
        self.keys.remove(key);
        self.changes.push((self.revision + 1, *sub, key.clone(), None));
        *sub += 1;
    }

    fn delete_range(&mut self, request: &pb::DeleteRangeRequest, sub: &mut u32) -> DeleteRangeReply {
        let gone: Vec<KeyValue> =
            self.keys.values().filter(|kv| in_range(&kv.key, &request.key, &request.range_end)).cloned().collect();
        for kv in &gone {
            self.delete(&kv.key, sub);
        }
        DeleteRangeReply {
            revision: self.revision + i64::from(*sub > 0),
            deleted: gone.len() as i64,
            prev_kvs: if request.prev_kv { gone.iter().map(encoded).collect() } else { Vec::new() },
        }
    }

    fn txn(&mut self, request: &pb::TxnRequest) -> Result<Reply, Refusal> {
        let mut path = Vec::new();
        self.choose(request, &mut path);
        self.check_txn(request, &mut path.iter(), true)?;
        self.check_txn(request, &mut path.iter(), false)?;
        let mut sub = 0;
        let mut reply = self.carry_out(request, &mut path.iter(), &mut sub);
        self.revision += i64::from(sub > 0);
        reply.revision = self.revision;
        Ok(Reply::Txn(reply))
    }

    fn choose(&self, request: &pb::TxnRequest, path: &mut Vec<bool>) {
        let succeeded = request.compare.iter().all(|compare| self.holds(compare));
        path.push(succeeded);
        for op in if succeeded { &request.success } else { &request.failure } {
            if let Some(Request::RequestTxn(nested)) = &op.request {
                self.choose(nested, path);
            }
        }
    }

    fn check_txn<'a>(
        &self,
        request: &pb::TxnRequest,
        path: &mut impl Iterator<Item = &'a bool>,
        puts: bool,
    ) -> Result<(), Refusal> {
        let succeeded = *path.next().unwrap();
        for op in if succeeded { &request.success } else { &request.failure } {
            match &op.request {
                Some(Request::RequestTxn(nested)) => self.check_txn(nested, path, puts)?,
                Some(Request::RequestPut(put)) if puts => self.check_put(put, true)?,
                Some(Request::RequestRange(range)) if !puts && range.revision != 0 => {
                    self.check_revision(range.revision)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_revision(&self, revision: i64) -> Result<(), Refusal> {
        if revision > self.revision {
            return Err(Refusal::FutureRev);
        }
        if revision < self.compacted { Err(Refusal::Compacted) } else { Ok(()) }
    }

    fn carry_out<'a>(
        &mut self,
        request: &pb::TxnRequest,
        path: &mut impl Iterator<Item = &'a bool>,
        sub: &mut u32,
    ) -> TxnReply {
        let succeeded = *path.next().unwrap();
        let mut responses = Vec::new();
        for op in if succeeded { &request.success } else { &request.failure } {
            responses.push(match op.request.as_ref().unwrap() {
                Request::RequestRange(range) => {
                    OpReply::Range(self.range_at(range, self.revision + i64::from(*sub > 0)))
                }
                Request::RequestPut(put) => OpReply::Put(self.put(put, sub)),
                Request::RequestDeleteRange(delete) => OpReply::DeleteRange(self.delete_range(delete, sub)),
                Request::RequestTxn(nested) => OpReply::Txn(self.carry_out(nested, path, sub)),
            });
        }
        TxnReply { revision: 0, succeeded, responses }
    }

    fn holds(&self, compare: &pb::Compare) -> bool {
        let kvs: Vec<&KeyValue> =
            self.keys.values().filter(|kv| in_range(&kv.key, &compare.key, &compare.range_end)).collect();
        if kvs.is_empty() {
            return compare.target != 3 && holds_for(compare, &KeyValue::default());
        }
        kvs.iter().all(|kv| holds_for(compare, kv))
    }

    /// The keys as they were at a main revision.
    pub fn at(&self, revision: i64) -> BTreeMap<Bytes, KeyValue> {
        let mut keys = BTreeMap::new();
        for (main, _, key, kv) in &self.changes {
            if *main <= revision {
                match kv {
                    Some(kv) => keys.insert(key.clone(), kv.clone()),
                    None => keys.remove(key),
                };
            }
        }
        keys
    }

    pub fn range(&self, request: &pb::RangeRequest) -> Result<RangeReply, Refusal> {
        if request.revision > 0 {
            self.check_revision(request.revision)?;
        }
        Ok(self.range_at(request, self.revision))
    }

    fn range_at(&self, request: &pb::RangeRequest, current: i64) -> RangeReply {
        let revision = if request.revision <= 0 { current } else { request.revision };
        let keys = if revision == current { self.keys.clone() } else { self.at(revision) };
        let mut kvs: Vec<KeyValue> =
            keys.into_values().filter(|kv| in_range(&kv.key, &request.key, &request.range_end)).collect();
        let count = kvs.len() as i64;
        let limit = if request.limit > 0 { request.limit as usize } else { usize::MAX };
        let filters = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ];
        if request.sort_order == 0 && filters == [0; 4] {
            kvs.truncate(limit.saturating_add(1));
        }
        let within = |number: i64, min: i64, max: i64| (min == 0 || number >= min) && (max == 0 || number <= max);
        kvs.retain(|kv| {
            within(kv.mod_revision, filters[0], filters[1]) && within(kv.create_revision, filters[2], filters[3])
        });
        // Equal ones stay in the order of keys, also when descending.
        if request.sort_order == 2 && request.sort_target != 0 {
            kvs.reverse();
        }
        match request.sort_target {
            1 => kvs.sort_by_key(|kv| kv.version),
            2 => kvs.sort_by_key(|kv| kv.create_revision),
            3 => kvs.sort_by_key(|kv| kv.mod_revision),
            4 => kvs.sort_by_key(|kv| kv.value.clone()),
            _ => {}
        }
        if request.sort_order == 2 {
            kvs.reverse();
        }
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        if request.keys_only {
            for kv in &mut kvs {
                kv.value = Bytes::new();
                // In order of value the record is read, and what it says of the lease is told.
                if request.sort_target != 4 {
                    kv.lease = 0;
                }
            }
        }
        if request.count_only {
            return RangeReply { revision: current, kvs: Vec::new(), more: false, count };
        }
        RangeReply { revision: current, kvs: kvs.iter().map(encoded).collect(), more, count }
    }

    /// The rows that compaction has left: revision, sub, key, KeyValue.
    pub fn rows(&self) -> Vec<Change> {
        let mut newest: BTreeMap<&Bytes, (i64, u32)> = BTreeMap::new();
        for (main, sub, key, _) in self.changes.iter().filter(|change| change.0 <= self.compacted) {
            newest.insert(key, (*main, *sub));
        }
        let stays = |change: &&Change| {
            let (main, sub, key, kv) = change;
            *main > self.compacted
                || (newest.get(key) == Some(&(*main, *sub)) && (kv.is_some() || *main == self.compacted))
        };
        self.changes.iter().filter(stays).cloned().collect()
    }

    /// Leases and the keys on them.
    pub fn attached(&self) -> BTreeMap<i64, BTreeSet<Bytes>> {
        self.leases.keys().map(|id| (*id, self.lease_keys(*id).into_iter().collect())).collect()
    }
}

fn holds_for(compare: &pb::Compare, kv: &KeyValue) -> bool {
    use pb::compare::TargetUnion;
    let number = match compare.target_union {
        Some(TargetUnion::Version(number) | TargetUnion::CreateRevision(number)) => number,
        Some(TargetUnion::ModRevision(number) | TargetUnion::Lease(number)) => number,
        _ => 0,
    };
    let ordering = match compare.target {
        0 => kv.version.cmp(&number),
        1 => kv.create_revision.cmp(&number),
        2 => kv.mod_revision.cmp(&number),
        3 => match &compare.target_union {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value.cmp(&Bytes::new()),
        },
        4 => kv.lease.cmp(&number),
        other => panic!("target {other}"),
    };
    match compare.result {
        0 => ordering.is_eq(),
        1 => ordering.is_gt(),
        2 => ordering.is_lt(),
        3 => ordering.is_ne(),
        _ => true,
    }
}
