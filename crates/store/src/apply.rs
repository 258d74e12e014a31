//! Carrying out entries: doubt first, then change, then write.
//!
//! ```text
//!   entry ──▶ command ──▶ admit ──▶ doubts ──▶ changes: batch, tree, leases ──▶ … next entry
//!                │ unknown  │ no       │ no                                        │ last
//!                ▼ fault    ▼ refusal  ▼ refusal                                   ▼ a frame, then events
//! ```
//!
//! A refused entry moves the applied index like any other. What an entry changes depends on nothing but the state and the
//! entry: whether an answer is wanted, what the quota says and what a range returns never do.

use std::sync::Arc;

use bytes::Bytes;
use disk::{Disk, DiskFile};
use proto::etcdserverpb as pb;
use proto::etcdserverpb::alarm_request::AlarmAction;

use crate::admit::{admit, cost_bytes};
use crate::alarm::{Alarm, AlarmKind};
use crate::batch::Batch;
use crate::command::{self, Command};
use crate::event::{Applied, ClusterChange, LeaseChange, RosterChange};
use crate::fault::Fault;
use crate::ids::RequestId;
use crate::range::range;
use crate::refusal::Refusal;
use crate::reply::{
    AlarmReply, DeleteRangeReply, LeaseGrantReply, MemberAddReply, MembersReply, PlainReply, PutReply, Reply, TxnReply,
};
use crate::revlog::item::ItemKind;
use crate::revlog::log::Log;
use crate::revlog::{put_alarms, put_chain, put_lease, put_lease_revoked, put_roster};
use crate::roster::legacy::LegacyChange;
use crate::roster::{self, ChangeKind, Downgrade};
use crate::state::State;
use crate::store::{Entry, EntryKind, ReadError, Settings, Stats, Store};
use crate::txn::{Plan, check_put};
use crate::write::Write;

/// See [`Store::apply`].
pub(crate) fn apply<D: Disk>(
    store: &mut Store<D>,
    entries: &[Entry],
    wanted: &dyn Fn(RequestId) -> bool,
) -> Result<Applied, Fault> {
    let mut applied = Applied::default();
    let mut left = entries;
    while !left.is_empty() {
        left = apply_some(store, left, wanted, &mut applied)?;
    }
    (applied.index, applied.term) = (store.state.applied, store.state.term);
    Ok(applied)
}

/// Applies as many entries as make a batch, and writes it. Returns the others.
fn apply_some<'a, D: Disk>(
    store: &mut Store<D>,
    mut entries: &'a [Entry],
    wanted: &dyn Fn(RequestId) -> bool,
    applied: &mut Applied,
) -> Result<&'a [Entry], Fault> {
    let Store { settings, writer, state, stats, .. } = store;
    writer.rotate(state)?;
    let size_bytes = writer.size_in_use_bytes();
    let mut batch = writer.begin();
    if std::mem::take(&mut state.chain.unwritten) {
        batch.item(ItemKind::Chain, |out| put_chain(out, &state.chain));
    }
    let keys = state.chain.keys;
    let mut work =
        Work { settings, state, stats, log: writer.log(), batch: &mut batch, applied: &mut *applied, size_bytes };
    while let Some((entry, rest)) = entries.split_first() {
        assert_eq!(entry.index, work.state.applied + 1, "entries are applied one after the other");
        assert!(entry.term >= work.state.term, "terms never go back");
        work.entry(entry, wanted)?;
        work.state.applied = entry.index;
        work.state.term = entry.term;
        work.state.chain.keys = keys.wrapping_add(work.batch.sum());
        let link = work.state.keep_link();
        if work.settings.tells_links {
            work.applied.links.push((entry.index, link));
        }
        entries = rest;
        // What an entry asks for says little about how much it changes.
        if work.batch.is_full() {
            break;
        }
    }
    let bodies = writer.write(&mut batch, state)?;
    stats.frames += bodies.len() as u64;
    stats.frame_bytes += bodies.size_bytes();
    stats.changes += batch.changes() as u64;
    applied.events.append(&mut batch.events(&bodies));
    Ok(entries)
}

/// Whether this version can read what an entry asks for. One that is committed and cannot be read ends every member,
/// so it is looked at before it gets into the log.
///
/// # Errors
/// What is wrong with it, in words.
pub fn understood(entry: &Entry) -> Result<(), String> {
    match entry.kind {
        EntryKind::Normal if entry.data.is_empty() => Ok(()),
        EntryKind::Normal => command::decode(&entry.data).map(|_| ()),
        EntryKind::ConfChange => roster::Command::decode(&entry.data).map(|_| ()).map_err(|error| error.to_string()),
        EntryKind::ConfChangeV2 => {
            roster::Command::decode_v2(&entry.data).map(|_| ()).map_err(|error| error.to_string())
        }
    }
}

/// What carrying out an entry works on.
struct Work<'a, F> {
    settings: &'a Settings,
    state: &'a mut State,
    stats: &'a mut Stats,
    log: &'a Log<F>,
    batch: &'a mut Batch,
    applied: &'a mut Applied,
    /// Live bytes of the log without the batch.
    size_bytes: u64,
}

/// A refusal is part of the answer; a fault ends everything.
type Outcome = Result<Result<Reply, Refusal>, Fault>;

impl<F: DiskFile> Work<'_, F> {
    fn entry(&mut self, entry: &Entry, wanted: &dyn Fn(RequestId) -> bool) -> Result<(), Fault> {
        let unknown = |what: String| Fault::Unknown { index: entry.index, what };
        let malformed = |error: roster::Malformed| unknown(error.to_string());
        let (id, outcome) = match entry.kind {
            // A leader begins its term with an entry that says nothing.
            EntryKind::Normal if entry.data.is_empty() => return Ok(()),
            EntryKind::Normal => {
                let (id, command) = command::decode(&entry.data).map_err(unknown)?;
                let wants = id != 0 && wanted(id);
                let outcome = match admit(&self.state.alarms, &command) {
                    Err(refusal) => Err(refusal),
                    Ok(()) => self.command(entry, command, wants)?,
                };
                (id, outcome)
            }
            EntryKind::ConfChange => {
                let command = roster::Command::decode(&entry.data).map_err(malformed)?;
                (command.request, self.configuration(entry, &command))
            }
            EntryKind::ConfChangeV2 => {
                let command = roster::Command::decode_v2(&entry.data).map_err(malformed)?;
                (command.request, self.configuration(entry, &command))
            }
        };
        self.stats.refusals += u64::from(outcome.is_err());
        if id != 0 && wanted(id) {
            self.applied.outcomes.push((id, outcome));
        }
        Ok(())
    }

    fn command(&mut self, entry: &Entry, command: Command, wants: bool) -> Outcome {
        let fits = self.fits(&command);
        let outcome = match &command {
            Command::Range(request) => self.range(request, wants)?,
            Command::Put(request) => self.put(request, wants)?,
            Command::DeleteRange(request) => self.delete_range(request, wants)?,
            Command::Txn(request) => self.txn(request, wants)?,
            Command::Compaction(request) => self.compact(request.revision),
            Command::LeaseGrant(request) => self.grant(request),
            Command::LeaseRevoke(request) => self.revoke(request.id)?,
            Command::LeaseCheckpoint(request) => self.checkpoint(request),
            Command::Alarm(request) => Ok(self.alarm(request)),
            Command::ClusterVersion(request) => Ok(self.cluster_version(entry, request.ver.clone())),
            Command::Attributes(request) => {
                let attributes = request.member_attributes.clone().unwrap_or_default();
                Ok(self.attributes(entry, request.member_id, attributes.name, attributes.client_urls))
            }
            Command::Downgrade(request) => {
                let target_version = if request.enabled { request.ver.clone() } else { String::new() };
                self.change_roster(entry, ClusterChange::Downgrade, |roster| {
                    roster.set_downgrade(Downgrade { target_version, enabled: request.enabled });
                });
                Ok(Reply::Done)
            }
            Command::Legacy(LegacyChange::ClusterVersion(version)) => Ok(self.cluster_version(entry, version.clone())),
            Command::Legacy(LegacyChange::Attributes { id, name, client_urls }) => {
                Ok(self.attributes(entry, *id, name.clone(), client_urls.clone()))
            }
            Command::Legacy(LegacyChange::Nothing) | Command::Nothing => Ok(Reply::Done),
        };
        // It was applied here as everywhere; this member's client is told that its space is used up.
        Ok(if fits { outcome } else { outcome.and(Err(Refusal::NoSpace)) })
    }

    /// Whether the quota has room for a command.
    fn fits(&self, command: &Command) -> bool {
        let Some(quota_bytes) = self.settings.quota_bytes else { return true };
        let cost = cost_bytes(command);
        cost == 0 || self.size_bytes + self.batch.size_bytes() as u64 + cost < quota_bytes
    }

    /// Begins a revision.
    fn write(&mut self) -> Write<'_, F> {
        Write::new(self.state, self.log, self.batch, self.stats)
    }

    fn plain(&self) -> PlainReply {
        PlainReply { revision: self.state.revision }
    }

    fn range(&mut self, request: &pb::RangeRequest, wants: bool) -> Outcome {
        if !wants {
            return Ok(Ok(Reply::Done));
        }
        self.stats.ranges += 1;
        let answer = range(&self.write().moment(), request);
        match answer {
            Ok(reply) => Ok(Ok(Reply::Range(reply))),
            Err(ReadError::Refusal(refusal)) => Ok(Err(refusal)),
            Err(ReadError::Fault(fault)) => Err(fault),
        }
    }

    fn put(&mut self, request: &pb::PutRequest, wants: bool) -> Outcome {
        let mut write = self.write();
        if let Err(refusal) = check_put(&write.moment(), write.leases(), request) {
            return Ok(Err(refusal));
        }
        let prev_kv = write.put(request, wants)?;
        Ok(Ok(Reply::Put(PutReply { revision: write.end(), prev_kv })))
    }

    fn delete_range(&mut self, request: &pb::DeleteRangeRequest, wants: bool) -> Outcome {
        let mut write = self.write();
        let (deleted, prev_kvs) = write.delete_range(request, wants)?;
        Ok(Ok(Reply::DeleteRange(DeleteRangeReply { revision: write.end(), deleted, prev_kvs })))
    }

    fn txn(&mut self, request: &pb::TxnRequest, wants: bool) -> Outcome {
        self.stats.txns += 1;
        let mut write = self.write();
        let plan = Plan::new(&write.moment(), request)?;
        if let Err(refusal) = plan.check(&write.moment(), write.leases()) {
            return Ok(Err(refusal));
        }
        let responses = write.carry_out(&plan, wants)?;
        let revision = write.end();
        Ok(Ok(Reply::Txn(TxnReply { revision, succeeded: plan.succeeded, responses })))
    }

    fn compact(&mut self, revision: i64) -> Result<Reply, Refusal> {
        if revision <= self.state.compacted {
            return Err(Refusal::Compacted);
        }
        if revision > self.state.revision {
            return Err(Refusal::FutureRev);
        }
        // The frame of this batch says so in its prelude. What is dropped by it is looked for later (`compact`).
        self.state.compacted = revision;
        self.stats.compactions += 1;
        Ok(Reply::Compact(self.plain()))
    }

    fn grant(&mut self, request: &pb::LeaseGrantRequest) -> Result<Reply, Refusal> {
        let id = request.id;
        let ttl_seconds = self.state.leases.grant(id, request.ttl, self.settings.lease_seconds_min)?;
        self.batch.item(ItemKind::Lease, |out| put_lease(out, id, ttl_seconds, 0));
        self.applied.leases.push(LeaseChange::Granted { id, ttl_seconds });
        Ok(Reply::LeaseGrant(LeaseGrantReply { revision: self.state.revision, id, ttl_seconds }))
    }

    fn revoke(&mut self, id: i64) -> Outcome {
        let keys: Vec<Bytes> = match self.state.leases.revoke(id) {
            Ok(keys) => keys,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut write = self.write();
        for key in &keys {
            write.delete(key)?;
        }
        write.end();
        self.batch.item(ItemKind::LeaseRevoked, |out| put_lease_revoked(out, id));
        self.applied.leases.push(LeaseChange::Revoked { id });
        Ok(Ok(Reply::LeaseRevoke(self.plain())))
    }

    /// Ends at the first lease that is not there, as etcd does; those before it stay checkpointed.
    fn checkpoint(&mut self, request: &pb::LeaseCheckpointRequest) -> Result<Reply, Refusal> {
        for checkpoint in &request.checkpoints {
            let (id, remaining_seconds) = (checkpoint.id, checkpoint.remaining_ttl);
            let checkpointed = self.state.leases.checkpoint(id, remaining_seconds);
            let ttl_seconds = checkpointed.ok_or(Refusal::LeaseNotFound)?.ttl_seconds();
            self.batch.item(ItemKind::Lease, |out| put_lease(out, id, ttl_seconds, remaining_seconds));
            self.applied.leases.push(LeaseChange::Checkpointed { id, remaining_seconds });
        }
        Ok(Reply::LeaseCheckpoint(self.plain()))
    }

    fn alarm(&mut self, request: &pb::AlarmRequest) -> Reply {
        let kind = AlarmKind(request.alarm);
        let alarms = match AlarmAction::try_from(request.action) {
            Ok(AlarmAction::Get) => self.state.alarms.list(kind),
            Ok(action) => {
                let alarms = Arc::make_mut(&mut self.state.alarms);
                let (changed, named) = match action {
                    // One that is on already is named too, one that is not on is not.
                    AlarmAction::Activate => {
                        let named = Some(Alarm { member: request.member_id, kind }).filter(|_| kind != AlarmKind::NONE);
                        (alarms.activate(request.member_id, kind), named)
                    }
                    _ => {
                        let changed = alarms.deactivate(request.member_id, kind);
                        (changed, changed)
                    }
                };
                if changed.is_some() {
                    self.applied.alarms_changed = true;
                    self.state.chain.alarms_are(&self.state.alarms);
                    let alarms = &self.state.alarms;
                    self.batch.item(ItemKind::Alarms, |out| put_alarms(out, alarms));
                }
                named.into_iter().collect()
            }
            // etcd answers an action it does not know with nothing.
            Err(_) => Vec::new(),
        };
        Reply::Alarm(AlarmReply { revision: self.state.revision, alarms })
    }

    /// Changes the roster and writes it down as a whole.
    fn change_roster(&mut self, entry: &Entry, change: ClusterChange, act: impl FnOnce(&mut roster::Roster)) {
        act(Arc::make_mut(&mut self.state.roster));
        self.note_roster(entry, change);
    }

    fn note_roster(&mut self, entry: &Entry, change: ClusterChange) {
        let roster = &self.state.roster;
        self.batch.item(ItemKind::Roster, |out| put_roster(out, roster));
        self.state.chain.roster_is(roster);
        self.applied.roster.push(RosterChange { index: entry.index, change });
    }

    fn cluster_version(&mut self, entry: &Entry, version: String) -> Reply {
        self.change_roster(entry, ClusterChange::Version, |roster| roster.set_cluster_version(version));
        Reply::Done
    }

    fn attributes(&mut self, entry: &Entry, id: u64, name: String, client_urls: Vec<String>) -> Reply {
        // A member that was removed meanwhile may still publish itself; that is no change.
        if self.state.roster.get(id).is_some() {
            self.change_roster(entry, ClusterChange::Attributes(id), |roster| {
                roster.set_attributes(id, name, client_urls);
            });
        }
        Reply::Done
    }

    fn configuration(&mut self, entry: &Entry, command: &roster::Command) -> Result<Reply, Refusal> {
        let learners_max = self.settings.learners_max;
        if let Err(refusal) = self.state.roster.check(command, learners_max) {
            // Raft has to be told all the same: it waits for every configuration change.
            let change = ClusterChange::Configuration(None);
            self.applied.roster.push(RosterChange { index: entry.index, change });
            return Err(refusal);
        }
        let change = Arc::make_mut(&mut self.state.roster).apply(command, learners_max)?;
        self.note_roster(entry, ClusterChange::Configuration(Some(change)));
        let members = self.state.roster.to_wire();
        let added = matches!(change.kind, ChangeKind::AddVoter | ChangeKind::AddLearner) && !command.promote;
        Ok(match self.state.roster.get(change.id).filter(|_| added) {
            Some(member) => Reply::MemberAdd(MemberAddReply { member: member.into(), members }),
            None => Reply::Members(MembersReply { members }),
        })
    }
}
