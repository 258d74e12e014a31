//! How a member comes to be: as part of a new cluster, joining one that
//! exists, or as its two logs left it.
//!
//! Start-up is the only place where the log and the store are compared. The
//! order that holds afterwards: the log is durable before Store applies, and
//! Store is durable before the log forgets. So on a healthy disk
//! `log base ≤ store applied ≤ log end`, except while a snapshot is being
//! installed; then the snapshot's file lies beside them.

use crate::Fault;
use crate::core::{self, Core};
use crate::ids::Index;
use crate::limits;
use crate::log::{Identity, Log, Recovered};
use bytes::Bytes;
use disk::{Disk, DiskFile, OpenMode};
use raft::{
    Append, AppendMark, ChangeKind, ConfChange, ConfState, Entry, EntryKind, HardState, Restored, SnapshotMeta,
};
use store::Store;

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

/// The file of a received snapshot.
pub fn snapshot_path(index: Index) -> String {
    format!("{}/{index:016x}.snap.db", dirs::SNAPSHOTS)
}

/// The file beside it with what etcd 3.5 says in the snapshot's message: its
/// v2 store, which has the members' names and client URLs.
pub fn beside_path(index: Index) -> String {
    format!("{}/{index:016x}.snap.v2", dirs::SNAPSHOTS)
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

/// Opens an empty file for a snapshot that is coming in, and says where it is. What an earlier life has left there goes.
/// `number` tells apart those of the same moment.
///
/// # Errors
/// When the disk refuses.
pub fn begin_snapshot<D: Disk>(disk: &D, index: Index, number: u64) -> std::io::Result<(String, D::File)> {
    disk.create_dir(dirs::SNAPSHOTS)?;
    let part = format!("{}.{number}.part", snapshot_path(index));
    let file = create_anew(disk, &part)?;
    Ok((part, file))
}

/// Gives a received snapshot that lies whole and durable at `part` its name, and the same to what came beside it (nothing
/// is something too). Durable when this returns.
///
/// What comes beside has its name first, so whoever finds the snapshot finds both. A file that had a name before is
/// replaced: at no moment, and after no crash, is there a snapshot with nothing beside it.
///
/// # Errors
/// When the disk refuses. Then either name may be of before or of now.
pub fn name_snapshot<D: Disk>(disk: &D, part: &str, index: Index, beside: &[u8]) -> std::io::Result<()> {
    let beside_part = format!("{part}.beside");
    let file = create_anew(disk, &beside_part)?;
    let written = file.write_at(0, &[&seal_beside(beside)]).and_then(|()| file.sync());
    if let Err(error) = written.and_then(|()| disk.rename(&beside_part, &beside_path(index))) {
        // What cannot be removed goes at the next start.
        let _ = disk.remove(&beside_part);
        return Err(error);
    }
    disk.rename(part, &snapshot_path(index))?;
    disk.sync_dir(dirs::SNAPSHOTS)
}

fn create_anew<D: Disk>(disk: &D, path: &str) -> std::io::Result<D::File> {
    if disk.exists(path)? {
        disk.remove(path)?;
    }
    disk.open(path, OpenMode::Create)
}

/// The bytes of the file beside a snapshot: what came, and its CRC-32C in four bytes, little endian.
fn seal_beside(beside: &[u8]) -> Vec<u8> {
    [beside, &crc32c::crc32c(beside).to_le_bytes()].concat()
}

/// Nothing, if there is no file: versions before this one made none when nothing came beside the snapshot.
fn read_beside<D: Disk>(disk: &D, index: Index) -> Result<Vec<u8>, Fault> {
    let path = beside_path(index);
    let fault = |source| Fault::Log { path: path.clone(), source };
    if !disk.exists(&path).map_err(fault)? {
        return Ok(Vec::new());
    }
    let file = disk.open(&path, OpenMode::Read).map_err(fault)?;
    let mut bytes = vec![0; file.len().map_err(fault)? as usize];
    let read = file.read_at(0, &mut bytes).map_err(fault)?;
    bytes.truncate(read);
    let check = bytes.split_off(bytes.len().saturating_sub(4));
    if check != crc32c::crc32c(&bytes).to_le_bytes() {
        return Err(Fault::Mismatch(format!(
            "{path} does not match its checksum, so the disk has changed it; \
             this member must be removed and added anew"
        )));
    }
    Ok(bytes)
}

fn open_snapshot<D: Disk>(disk: &D, index: Index) -> Result<Image<D::File>, Fault> {
    let path = snapshot_path(index);
    let file = disk.open(&path, OpenMode::Read).map_err(|error| {
        Fault::Mismatch(format!(
            "the log stands on a snapshot at index {index}, but its file {path} cannot be opened: {error}; \
             this member must be removed and added anew"
        ))
    })?;
    Ok(Image(file))
}

/// Reads a received snapshot's file from end to end, before anything depends
/// on it. `beside` came with it, and tells what it must hold.
///
/// # Errors
/// When it is not a whole snapshot, or another one than was sent.
pub fn check_image<D: Disk>(disk: &D, path: &str, beside: &[u8]) -> Result<(), Fault> {
    let fault = |source| Fault::Log { path: path.to_owned(), source };
    let file = disk.open(path, OpenMode::Read).map_err(fault)?;
    Ok(store::snapshot::check(Image(file), beside)?)
}

/// Removes received snapshots up to `index`; they are of no use any more.
fn sweep_snapshots<D: Disk>(disk: &D, index: Index) -> Result<(), Fault> {
    let fault = |source| Fault::Log { path: dirs::SNAPSHOTS.to_owned(), source };
    let names = match disk.list(dirs::SNAPSHOTS) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(fault(source)),
    };
    for name in names {
        let Some((stem, _)) = name.split_once(".snap.") else { continue };
        if u64::from_str_radix(stem, 16).is_ok_and(|of| of <= index) {
            disk.remove(&format!("{}/{name}", dirs::SNAPSHOTS)).map_err(fault)?;
        }
    }
    Ok(())
}

/// Removes the files of a received snapshot that nobody stands on.
///
/// # Errors
/// When the disk refuses.
pub fn discard_snapshot<D: Disk>(disk: &D, index: Index) -> std::io::Result<()> {
    let remove = |path: String| if disk.exists(&path)? { disk.remove(&path) } else { Ok(()) };
    let image = remove(snapshot_path(index));
    let beside = remove(beside_path(index));
    image.and(beside)
}

/// An open snapshot file, as bolt reads it.
struct Image<F>(F);

impl<F: DiskFile> bolt::ReadAt for Image<F> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(offset + filled as u64, &mut buffer[filled..])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len().unwrap_or(0)
    }
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
