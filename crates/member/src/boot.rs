//! How a member comes to be: as part of a new cluster, joining one that
//! exists, or as its two logs left it.
//!
//! Start-up is the only place where the log and the store are compared. The
//! order that holds afterwards: the log is durable before Store applies, and
//! Store is durable before the log forgets. So on a healthy disk
//! `log base ≤ store applied ≤ log end`, except while a snapshot is being
//! installed; then the snapshot's file lies beside them.

mod received;

use crate::Fault;
use crate::core::{self, Core};
use crate::ids::Index;
use crate::limits;
use crate::log::{Identity, Log, Recovered};
use bytes::Bytes;
use disk::Disk;
use raft::{
    Append, AppendMark, ChangeKind, ConfChange, ConfState, Entry, EntryKind, HardState, Restored, SnapshotMeta,
};
use received::{open_snapshot, read_beside, sweep_snapshots};
use store::Store;

pub use received::{Receipts, begin_snapshot, beside_path, check_image, name_snapshot, snapshot_path};

/// Where a member keeps its things, below its data directory.
pub mod dirs {
    /// The write-ahead log.
    pub const LOG: &str = "member/log";
    /// The revision log.
    pub const STORE: &str = "member/store";
    /// Snapshots that have been received and not yet installed.
    pub const SNAPSHOTS: &str = "member/snap";
}

/// What a first start makes of an empty directory.
#[derive(Clone, Debug)]
pub enum Start {
    /// A new cluster: the configuration entries that every first member has
    /// alike, in the order of their member ids (encoded `raftpb.ConfChange`).
    New(Vec<Bytes>),
    /// A cluster that exists already: the leader will send what there is.
    Join,
}

/// A member ready to run.
pub struct Opened<D: Disk> {
    /// Decides.
    pub core: Core,
    /// Remembers.
    pub log: Log<D>,
    /// Becomes.
    pub store: Store<D>,
    /// Whose data this is.
    pub identity: Identity,
    /// A torn tail of the log that was cut, as (file, offset).
    pub cut: Option<(String, u64)>,
}

/// Whose data the disk holds, if any. Changes nothing.
///
/// # Errors
/// When the log cannot be read.
pub fn identity<D: Disk>(disk: &D) -> Result<Option<Identity>, Fault> {
    Log::identity_in(disk, dirs::LOG)
}

/// Opens what is there, or starts anew. `identity` and `start` count only for
/// an empty directory; a directory that is in use says itself whose it is.
///
/// # Errors
/// When the disk refuses, a log is corrupt, or the two logs do not belong
/// together.
pub fn open<D: Disk>(
    disk: D,
    identity: Identity,
    start: Start,
    core: core::Config,
    store: store::Settings,
) -> Result<Opened<D>, Fault> {
    open_sized(disk, identity, start, core, store, limits::LOG_SEGMENT_BYTES)
}

/// [`open`] with a write-ahead log in segments of another size.
///
/// # Errors
/// As [`open`].
pub fn open_sized<D: Disk>(
    disk: D,
    identity: Identity,
    start: Start,
    core: core::Config,
    store: store::Settings,
    log_segment_bytes: u64,
) -> Result<Opened<D>, Fault> {
    if !Log::exists(&disk, dirs::LOG)? {
        // The store first: a log without a store is refused below.
        begin_store(&disk, &store)?;
        Log::create(disk.clone(), dirs::LOG, identity, log_segment_bytes)?;
    } else if !Store::exists(&disk, dirs::STORE)? {
        return Err(Fault::Mismatch(format!(
            "there is a write-ahead log in {}, but no revision log in {}: put it back, or remove this member and add it \
             anew with an empty data directory",
            dirs::LOG,
            dirs::STORE
        )));
    }
    let (mut log, mut recovered) = Log::open(disk.clone(), dirs::LOG, log_segment_bytes)?;
    if is_blank(&recovered)
        && let Start::New(changes) = start
    {
        begin(&mut log, &mut recovered, changes)?;
    }
    let mut store = Store::open(disk.clone(), dirs::STORE, store)?;
    install_waiting(&disk, &mut store, &recovered)?;
    check(&store, &recovered)?;
    // What is left of snapshots now was never taken, or never whole.
    sweep_snapshots(&disk, Index::MAX)?;
    let core = Core::new(core, restored(&store, &recovered));
    Ok(Opened { core, log, store, identity: recovered.identity, cut: recovered.cut })
}

/// Installs a received snapshot and removes its files, and older ones.
///
/// # Errors
/// When the file is missing or not a snapshot, or the disk refuses.
pub fn install<D: Disk>(disk: &D, store: &mut Store<D>, meta: &SnapshotMeta) -> Result<(), Fault> {
    let image = open_snapshot(disk, meta.index)?;
    let beside = read_beside(disk, meta.index)?;
    store.install_with(&image, meta.index, meta.term, store_conf_state(&meta.conf_state), &beside)?;
    sweep_snapshots(disk, meta.index)
}

/// An empty store for a member without a log. One that holds data is refused:
/// to start anew would wipe it.
fn begin_store<D: Disk>(disk: &D, settings: &store::Settings) -> Result<(), Fault> {
    if !Store::exists(disk, dirs::STORE)? {
        Store::create(disk.clone(), dirs::STORE, settings.clone())?;
        return Ok(());
    }
    // Empty: the process ended between creating the store and the log.
    match Store::open(disk.clone(), dirs::STORE, settings.clone())?.applied() {
        (0, _) => Ok(()),
        (applied, _) => Err(Fault::Mismatch(format!(
            "{} has applied index {applied}, but there is no write-ahead log in {}: \
             put it back, or remove this member and add it anew with an empty data directory",
            dirs::STORE,
            dirs::LOG
        ))),
    }
}

/// A log in which nothing has happened: the process ended between creating
/// it and its first entries.
fn is_blank(recovered: &Recovered) -> bool {
    recovered.entries.is_empty() && recovered.base == (0, 0) && recovered.hard_state == HardState::default()
}

/// The first entries of a new cluster, committed in term 1 without a vote, as
/// every first member writes them alike.
fn begin<D: Disk>(log: &mut Log<D>, recovered: &mut Recovered, changes: Vec<Bytes>) -> Result<(), Fault> {
    let entries: Vec<Entry> = changes
        .into_iter()
        .zip(1..)
        .map(|(data, index)| Entry { kind: EntryKind::ConfChange, term: 1, index, data })
        .collect();
    let hard_state = HardState { term: 1, vote: 0, commit: entries.len() as u64 };
    let append = Append {
        mark: AppendMark::default(),
        entries: entries.clone(),
        hard_state: Some(hard_state),
        snapshot: None,
        must_sync: true,
    };
    log.append(&[append])?;
    recovered.entries = entries;
    recovered.hard_state = hard_state;
    Ok(())
}

/// A crash between "the log stands on the snapshot" and "Store has it".
fn install_waiting<D: Disk>(disk: &D, store: &mut Store<D>, recovered: &Recovered) -> Result<(), Fault> {
    let (index, term) = recovered.base;
    let (applied, _) = store.applied();
    if index > applied {
        // The log keeps the position only; the image knows its configuration.
        let image = open_snapshot(disk, index)?;
        let reader = store::snapshot::Reader::open(image)?;
        let conf_state = raft_conf_state(reader.facts().roster.conf_state());
        if conf_state.voters.is_empty() {
            let path = snapshot_path(index);
            return Err(Fault::Mismatch(format!(
                "{path} does not say which members vote; this member must be removed and added anew"
            )));
        }
        install(disk, store, &SnapshotMeta { index, term, conf_state })?;
    } else {
        sweep_snapshots(disk, applied)?;
    }
    Ok(())
}

fn check<D: Disk>(store: &Store<D>, recovered: &Recovered) -> Result<(), Fault> {
    let (base, _) = recovered.base;
    let (applied, _) = store.applied();
    let last = base + recovered.entries.len() as u64;
    if applied < base || applied > last {
        return Err(Fault::Mismatch(format!(
            "the revision log has applied index {applied}, but the write-ahead log holds {base} to {last}: \
             they are not of one member at one time; this member must be removed and added anew"
        )));
    }
    let commit = recovered.hard_state.commit;
    if commit > last {
        return Err(Fault::Mismatch(format!(
            "the write-ahead log ends at index {last}, but index {commit} was committed: \
             its end is missing; this member must be removed and added anew"
        )));
    }
    Ok(())
}

fn restored<D: Disk>(store: &Store<D>, recovered: &Recovered) -> Restored {
    let (index, term) = recovered.base;
    let (applied, _) = store.applied();
    let mut hard_state = recovered.hard_state;
    // Commit alone is not always synced; what is applied was committed.
    hard_state.commit = hard_state.commit.max(applied);
    let conf_state = raft_conf_state(&store.view().conf_state());
    Restored {
        hard_state,
        snapshot: SnapshotMeta { index, term, conf_state },
        entries: recovered.entries.clone(),
        applied,
    }
}

/// The same lists, as Store keeps them.
pub fn store_conf_state(from: &ConfState) -> proto::raftpb::ConfState {
    proto::raftpb::ConfState {
        voters: from.voters.clone(),
        learners: from.learners.clone(),
        voters_outgoing: from.voters_outgoing.clone(),
        learners_next: from.learners_next.clone(),
        auto_leave: from.auto_leave,
    }
}

/// The same lists, as raft keeps them.
pub fn raft_conf_state(from: &proto::raftpb::ConfState) -> ConfState {
    ConfState {
        voters: from.voters.clone(),
        learners: from.learners.clone(),
        voters_outgoing: from.voters_outgoing.clone(),
        learners_next: from.learners_next.clone(),
        auto_leave: from.auto_leave,
    }
}

/// What raft must be told of a change of the cluster: every configuration
/// entry has its change, a refused one the empty change.
pub fn raft_change(change: &store::RosterChange) -> Option<ConfChange> {
    let store::ClusterChange::Configuration(accepted) = &change.change else { return None };
    Some(match accepted {
        None => ConfChange::refused(),
        Some(change) => ConfChange::simple(
            match change.kind {
                store::ChangeKind::AddVoter => ChangeKind::AddVoter,
                store::ChangeKind::Remove => ChangeKind::Remove,
                store::ChangeKind::Update => ChangeKind::Update,
                store::ChangeKind::AddLearner => ChangeKind::AddLearner,
            },
            change.id,
        ),
    })
}
