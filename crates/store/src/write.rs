//! One revision in the making: the changes of one entry.
//!
//! Every change goes to three places together: the batch that becomes the frame, the tree of keys, the keys of leases. The
//! first change takes the next main revision, and each further one the next sub; without a change there is no revision.

use bytes::Bytes;
use disk::DiskFile;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest};

use crate::batch::Batch;
use crate::fault::Fault;
use crate::ids::LeaseId;
use crate::keys::{Head, KeyRange, Keys};
use crate::lease::{Leases, NO_LEASE};
use crate::moment::Moment;
use crate::range::range;
use crate::reply::key_value::KeyValueRef;
use crate::reply::{DeleteRangeReply, OpReply, PutReply, RangeReply, TxnReply};
use crate::revision::Revision;
use crate::revlog::log::{Log, is_leased};
use crate::state::State;
use crate::store::{ReadError, Stats};
use crate::txn::{Operation, Plan};

/// See the module's essay.
#[derive(Debug)]
pub(crate) struct Write<'a, F> {
    state: &'a mut State,
    log: &'a Log<F>,
    batch: &'a mut Batch,
    stats: &'a mut Stats,
    /// How many changes there were.
    changes: u32,
    /// The keys before the first change, in a txn that may ask for them. A copy is not free: what it shares is copied on
    /// the next change.
    before: Option<Keys>,
}

impl<'a, F: DiskFile> Write<'a, F> {
    pub(crate) fn new(
        state: &'a mut State,
        log: &'a Log<F>,
        batch: &'a mut Batch,
        stats: &'a mut Stats,
    ) -> Write<'a, F> {
        Write { state, log, batch, stats, changes: 0, before: None }
    }

    /// What is to be seen now, the changes so far included.
    pub(crate) fn moment(&self) -> Moment<'_, F> {
        Moment {
            keys: &self.state.keys,
            log: self.log,
            batch: Some(self.batch),
            revision: self.revision(),
            compacted: self.state.compacted,
        }
    }

    pub(crate) fn leases(&self) -> &Leases {
        &self.state.leases
    }

    /// The main revision as an operation under way sees it.
    fn revision(&self) -> i64 {
        self.state.revision + i64::from(self.changes > 0)
    }

    /// Ends the revision; returns the store's.
    pub(crate) fn end(self) -> i64 {
        let revision = self.revision();
        self.state.revision = revision;
        revision
    }

    /// Takes the next revision for a change.
    fn next(&mut self) -> Revision {
        let sub = self.changes;
        self.changes += 1;
        Revision { main: self.state.revision + 1, sub }
    }

    /// Puts a key that has been checked. Returns the pair before, if it is asked for and an answer is wanted.
    pub(crate) fn put(&mut self, request: &PutRequest, wants: bool) -> Result<Option<Bytes>, Fault> {
        self.stats.puts += 1;
        let old = self.state.keys.get(&request.key);
        let live = old.filter(|head| !head.is_tombstone());
        let keeps = request.ignore_value || request.ignore_lease;
        let old_leased = live.is_some_and(|head| is_leased(head.place));
        let record = match live {
            Some(head) if keeps || old_leased || (request.prev_kv && wants) => {
                Some(self.moment().record(head.place, head.modified)?)
            }
            // A put that keeps something of a key which this very txn has deleted keeps it from before the txn. (etcd's
            // checks let this through too, and then it stops.)
            None if keeps => self.record_before(&request.key)?,
            _ => None,
        };
        let old_fields = record.as_ref().map(|record| record.change().kv_fields).unwrap_or_default();
        let lease = if request.ignore_lease { old_fields.lease } else { request.lease };
        let value = if request.ignore_value { old_fields.value } else { &request.value };
        let old_lease = if old_leased { old_fields.lease } else { NO_LEASE };

        let revision = self.next();
        let kv = KeyValueRef {
            key: &request.key,
            create_revision: live.map_or(revision.main, |head| head.created),
            mod_revision: revision.main,
            version: live.map_or(1, |head| head.version + 1),
            value,
            lease,
        };
        let place = self.batch.change(false, revision, old.map(|head| head.modified), &kv);
        let head = Head { modified: revision, created: kv.create_revision, version: kv.version, place };
        self.state.keys.insert(&request.key, head);
        self.rehang(&request.key, old_lease, lease);
        Ok(record.filter(|_| request.prev_kv && wants && live.is_some()).map(|record| record.kv()))
    }

    /// The record of a key as it was before the first change.
    fn record_before(&self, key: &[u8]) -> Result<Option<crate::revlog::log::Record>, Fault> {
        let head = self.before.as_ref().and_then(|keys| keys.get(key)).filter(|head| !head.is_tombstone());
        head.map(|head| self.moment().record(head.place, head.modified)).transpose()
    }

    fn rehang(&mut self, key: &[u8], old: LeaseId, new: LeaseId) {
        if old != NO_LEASE || new != NO_LEASE {
            self.state.leases.rehang(key, old, new);
        }
    }

    /// Deletes a range. Returns how many keys were there and, if wanted, what they were.
    pub(crate) fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
        wants: bool,
    ) -> Result<(i64, Vec<Bytes>), Fault> {
        self.stats.deletes += 1;
        let mut keys: Vec<(Bytes, Head)> = Vec::new();
        match KeyRange::from_wire(&request.key, &request.range_end) {
            KeyRange::One(key) => {
                keys.extend(self.state.keys.get(key).map(|head| (request.key.clone(), head)));
            }
            range => {
                let mut scan = self.state.keys.scan(range);
                while let Some((key, head)) = scan.next() {
                    if !head.is_tombstone() {
                        keys.push((Bytes::copy_from_slice(key), head));
                    }
                }
            }
        }
        keys.retain(|(_, head)| !head.is_tombstone());
        let mut prev_kvs = Vec::new();
        if request.prev_kv && wants {
            for (_, head) in &keys {
                prev_kvs.push(self.moment().record(head.place, head.modified)?.kv());
            }
        }
        for (key, head) in &keys {
            self.delete_head(key, head)?;
        }
        Ok((keys.len() as i64, prev_kvs))
    }

    /// Deletes one key, if it is there.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<(), Fault> {
        match self.state.keys.get(key) {
            Some(head) if !head.is_tombstone() => self.delete_head(key, &head),
            _ => Ok(()),
        }
    }

    fn delete_head(&mut self, key: &[u8], old: &Head) -> Result<(), Fault> {
        if is_leased(old.place) {
            let lease = self.moment().record(old.place, old.modified)?.change().kv_fields.lease;
            self.rehang(key, lease, NO_LEASE);
        }
        let revision = self.next();
        let kv = KeyValueRef { key, mod_revision: revision.main, ..KeyValueRef::default() };
        let place = self.batch.change(true, revision, Some(old.modified), &kv);
        self.state.keys.insert(key, Head { modified: revision, created: 0, version: 0, place });
        Ok(())
    }

    /// Carries out a txn that has been checked. Without a wish for an answer its ranges are not read.
    pub(crate) fn carry_out(&mut self, plan: &Plan<'_>, wants: bool) -> Result<Vec<OpReply>, Fault> {
        if self.before.is_none() && plan.keeps() {
            self.before = Some(self.state.keys.clone());
        }
        let mut responses = Vec::with_capacity(plan.operations.len());
        for operation in &plan.operations {
            responses.push(match operation {
                Operation::Range(request) if wants => {
                    self.stats.ranges += 1;
                    let answer = range(&self.moment(), request);
                    OpReply::Range(match answer {
                        Ok(reply) => reply,
                        Err(ReadError::Fault(fault)) => return Err(fault),
                        Err(ReadError::Refusal(refusal)) => {
                            unreachable!("a range that was checked is refused: {refusal}")
                        }
                    })
                }
                Operation::Range(_) | Operation::Nothing => {
                    OpReply::Range(RangeReply { revision: self.revision(), ..RangeReply::default() })
                }
                Operation::Put(request) => {
                    let prev_kv = self.put(request, wants)?;
                    OpReply::Put(PutReply { revision: self.revision(), prev_kv })
                }
                Operation::DeleteRange(request) => {
                    let (deleted, prev_kvs) = self.delete_range(request, wants)?;
                    OpReply::DeleteRange(DeleteRangeReply { revision: self.revision(), deleted, prev_kvs })
                }
                Operation::Txn(nested) => {
                    let responses = self.carry_out(nested, wants)?;
                    OpReply::Txn(TxnReply { revision: 0, succeeded: nested.succeeded, responses })
                }
            });
        }
        Ok(responses)
    }
}
