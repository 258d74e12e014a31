//! The one owner of the replicated state.
//!
//! It is one value: a state in memory and the log it came from. Opening builds the first from the second, applying moves
//! both by one frame, installing a snapshot replaces both. Nothing else changes them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use disk::Disk;
use disk::segment::BODY_BYTES_MAX;
use proto::raftpb::ConfState;

use crate::chain::{self, Chain, Link};
use crate::compact::Housework;
use crate::event::Applied;
use crate::fault::{Fault, WaitForRoom};
use crate::ids::{Index, MemberId, RequestId, Term};
use crate::refusal::Refusal;
use crate::revlog::log::is_leased;
use crate::revlog::{self, Installer, Layout, Writer};
use crate::snapshot;
use crate::state::State;
use crate::view::View;

/// What a brief entry adds to the revision log beside its own bytes, at most.
const BRIEF_FRAME_BYTES: u64 = 256;

/// What kind of entry it is (`raftpb.EntryType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// `InternalRaftRequest`, or nothing: a leader's first entry.
    Normal,
    /// `ConfChange`.
    ConfChange,
    /// `ConfChangeV2`.
    ConfChangeV2,
}

/// A committed entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub index: Index,
    /// The term it was proposed in.
    pub term: Term,
    /// How to read `data`.
    pub kind: EntryKind,
    /// What it asks for.
    pub data: Bytes,
}

/// What does not change while a store is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This member.
    pub member_id: MemberId,
    /// Its cluster.
    pub cluster_id: u64,
    /// More bytes than this and growing commands are answered with NoSpace; `None` for no bound.
    pub quota_bytes: Option<u64>,
    /// A segment of the revision log that has become so long gets a successor.
    pub segment_bytes: u64,
    /// A frame of the revision log that has become so long is followed by another one (at most 256 MiB).
    pub frame_bytes: usize,
    /// How much of the newest of the revision log stays in memory.
    pub resident_bytes: usize,
    /// A sweep does not take the last of the disk's room, so much that clients can go on writing.
    pub sweep_leaves_bytes: u64,
    /// Leases are granted for no less than this (etcd: one and a half election timeouts, rounded up).
    pub lease_seconds_min: i64,
    /// `--max-learners`.
    pub learners_max: usize,
    /// Tell the hash chain after every entry ([`Applied::links`]); for checkers.
    pub tells_links: bool,
}

impl Default for Settings {
    /// etcd's defaults, without a quota.
    fn default() -> Settings {
        Settings {
            member_id: 0,
            cluster_id: 0,
            quota_bytes: None,
            segment_bytes: 64 << 20,
            frame_bytes: 16 << 20,
            resident_bytes: 64 << 20,
            sweep_leaves_bytes: 32 << 20,
            lease_seconds_min: 2,
            learners_max: 1,
            tells_links: false,
        }
    }
}

/// Plain counters since the store was opened, and sizes now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Puts, alone and in txns.
    pub puts: u64,
    /// Delete ranges, alone and in txns.
    pub deletes: u64,
    /// Ranges that went through the log, alone and in txns, if they were executed.
    pub ranges: u64,
    /// Txns that went through the log, without nested ones.
    pub txns: u64,
    /// Compactions.
    pub compactions: u64,
    /// Changes of keys (events).
    pub changes: u64,
    /// Entries that were refused.
    pub refusals: u64,
    /// Frames written.
    pub frames: u64,
    /// Bytes of their bodies.
    pub frame_bytes: u64,
    /// Segments that a sweep has rewritten.
    pub segments_swept: u64,
    /// Sweeps that were given up because the disk had no room.
    pub sweeps_given_up: u64,
    /// Bytes that sweeps have given back.
    pub swept_bytes: u64,
    /// Keys, deleted ones that compaction has not passed included.
    pub keys: u64,
    /// Keys that exist.
    pub live_keys: u64,
    /// Leases.
    pub leases: u64,
    /// Segments of the revision log.
    pub segments: u64,
    /// Bytes of the revision log.
    pub size_bytes: u64,
    /// Bytes of it that somebody can still read.
    pub size_in_use_bytes: u64,
    /// About how much memory the tree of keys takes.
    pub keys_memory_bytes: u64,
}

/// Why a read gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The request cannot be answered; the client is told.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The disk cannot be trusted; the process ends.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// See the module's essay.
pub struct Store<D: Disk> {
    pub(crate) settings: Settings,
    pub(crate) writer: Writer<D>,
    pub(crate) state: State,
    pub(crate) stats: Stats,
    pub(crate) housework: Housework<D>,
}

impl<D: Disk> Store<D> {
    /// Whether there is a store in the directory.
    pub fn exists(disk: &D, dir: &str) -> Result<bool, Fault> {
        revlog::exists(disk, dir)
    }

    /// Makes a new, empty store, durable when this returns: revision 1, nothing applied.
    pub fn create(disk: D, dir: &str, settings: Settings) -> Result<Store<D>, Fault> {
        let mut state = State::new();
        state.chain = Chain::of(&state, chain::GENESIS, 0, 0);
        let writer = Writer::create(layout(disk, dir, &settings), &state)?;
        Ok(Store::new(settings, writer, state))
    }

    /// Opens the store in a directory. What a crash has torn off the end is cut: the store is then at an earlier entry,
    /// never one before what [`Store::sync`] had returned.
    pub fn open(disk: D, dir: &str, settings: Settings) -> Result<Store<D>, Fault> {
        let (writer, mut state) = revlog::open(layout(disk, dir, &settings))?;
        state.keep_link();
        Ok(Store::new(settings, writer, state))
    }

    fn new(settings: Settings, writer: Writer<D>, state: State) -> Store<D> {
        let housework = Housework::new(state.compacted);
        Store { settings, writer, state, stats: Stats::default(), housework }
    }

    /// What to do while the disk is full. Without it a full disk is a fault. Applying goes on when there is room, as if
    /// nothing had been.
    pub fn wait_when_full(&mut self, wait: WaitForRoom) {
        self.writer.room.waits = Some(wait);
    }

    /// Writes what applying has only staged, for a sync to come. Nobody waits for that: what a crash loses here is in the
    /// replicated log still, as long as that is not told otherwise by [`Store::durable`].
    pub fn flush(&mut self) -> Result<(), Fault> {
        self.writer.flush()
    }

    /// Whether applying this waits for nothing and takes no longer than a few puts do: no disk is read or written.
    pub fn is_brief(&self, entries: &[Entry]) -> bool {
        // A key with a lease leaves it, and only its record says which it is.
        let blind = |key: &[u8]| self.state.keys.get(key).is_none_or(|head| !is_leased(head.place));
        crate::command::are_brief(entries, blind)
            && !self.writer.wants_rotation()
            && !self
                .writer
                .has_much_staged(entries.iter().map(|entry| entry.data.len() as u64 + BRIEF_FRAME_BYTES).sum())
    }

    /// Makes all that is applied durable. Returns the last entry that is.
    pub fn sync(&mut self) -> Result<Index, Fault> {
        self.writer.sync()
    }

    /// For a sync elsewhere, so that applying need not wait for it: the file, the entry that a sync begun now makes durable,
    /// and the length to give back to [`Store::note_synced`]. What is older than the file is durable already.
    pub fn begin_sync(&mut self) -> Result<(Arc<D::File>, Index, u64), Fault> {
        self.writer.begin_sync()
    }

    /// Takes note of a sync that was done elsewhere, with what [`Store::begin_sync`] gave.
    pub fn note_synced(&mut self, file: &Arc<D::File>, index: Index, len: u64) {
        self.writer.note_synced(file, index, len);
    }

    /// The last entry known durable.
    pub fn durable(&self) -> Index {
        self.writer.durable()
    }

    /// The last entry applied, and its term.
    pub fn applied(&self) -> (Index, Term) {
        (self.state.applied, self.state.term)
    }

    /// This moment, for whoever wants to read.
    pub fn view(&self) -> View<D> {
        View::new(
            self.state.clone(),
            self.writer.log().clone(),
            &self.settings,
            self.writer.size_bytes(),
            self.writer.size_in_use_bytes(),
        )
    }

    /// Applies committed entries in order; they follow what is applied already. One frame of the revision log is made of all
    /// of them (several, when they change much), and staged: it is written when much is staged, or by [`Store::flush`] or
    /// [`Store::sync`]. Publish the [`View`] before the answers.
    ///
    /// Answers are built only for requests that `wanted` accepts; effects never depend on it.
    ///
    /// After a fault the store must not be used any more: its memory may be ahead of its disk.
    pub fn apply(&mut self, entries: &[Entry], wanted: &dyn Fn(RequestId) -> bool) -> Result<Applied, Fault> {
        crate::apply::apply(self, entries, wanted)
    }

    /// Replaces everything by an image (a bbolt database, as etcd sends it) of a snapshot taken at `index` and `term`; durable
    /// when this returns. A [`Fault::Image`] leaves the store as it was.
    pub fn install<S: bolt::ReadAt>(
        &mut self,
        image: S,
        index: Index,
        term: Term,
        conf_state: ConfState,
    ) -> Result<(), Fault> {
        self.install_with(image, index, term, conf_state, &[])
    }

    /// [`Store::install`], with what came beside the image: the v2 store of the same moment, in which etcd 3.5 keeps what
    /// members say of themselves. Whoever has applied the entries up to `index` has the same from them.
    pub fn install_with<S: bolt::ReadAt>(
        &mut self,
        image: S,
        index: Index,
        term: Term,
        conf_state: ConfState,
        beside: &[u8],
    ) -> Result<(), Fault> {
        let reader = snapshot::Reader::open(image)?;
        let mut installer = Installer::new(&self.writer)?;
        let facts = match reader.rows(|row| installer.row(&row)) {
            Ok(facts) => facts,
            Err(fault) => {
                installer.give_up();
                return Err(fault);
            }
        };
        let state = snapshot::state(facts, index, term, Some(conf_state), beside);
        let chain = match snapshot::chain(&state, installer.sum(), beside) {
            Ok(chain) => chain,
            Err(fault) => {
                installer.give_up();
                return Err(fault);
            }
        };
        self.housework.begin_anew(state.compacted, &self.writer);
        let (mut writer, state) = installer.finish(state, chain, &self.writer)?;
        // What to do on a full disk is said once, also if this one has no room and is tried again.
        writer.room = std::mem::take(&mut self.writer.room);
        (self.writer, self.state) = (writer, state);
        self.state.keep_link();
        Ok(())
    }

    /// Goes on with the hash chain of a neighbour: its base, and its chain after an entry. False, and nothing happens, when
    /// that entry is long past here, or when all but the keys differs there.
    pub fn adopt_chain(&mut self, base: u64, index: Index, there: Link) -> bool {
        self.state.chain.adopt(base, index, there)
    }

    /// Finds out what compactions have dropped and gives the room back, in steps of about so many bytes read. Returns how
    /// many bytes of disk were given back. Views taken before are not disturbed.
    ///
    /// What is alive is written aside before the rest goes. Nothing is begun that the disk has no room for, and one that
    /// finds none all the same is given up.
    pub fn sweep(&mut self, budget_bytes: u64) -> Result<u64, Fault> {
        crate::compact::sweep(self, budget_bytes)
    }

    /// Whether [`Store::sweep`] has anything to do that it can do. Ask after a compaction, after each step, and now and then:
    /// while the disk has no room for it, it has not.
    pub fn wants_sweep(&self) -> bool {
        crate::compact::wants_sweep(self)
    }

    /// What was counted, and how large everything is.
    pub fn stats(&self) -> Stats {
        let size_bytes = self.writer.size_bytes();
        Stats {
            keys: self.state.keys.len() as u64,
            live_keys: self.state.keys.live() as u64,
            leases: self.state.leases.len() as u64,
            segments: self.writer.log().segments() as u64,
            size_bytes,
            size_in_use_bytes: self.writer.size_in_use_bytes(),
            keys_memory_bytes: self.state.keys.memory_bytes() as u64,
            ..self.stats
        }
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl<D: Disk> fmt::Debug for Store<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { applied, term, revision, compacted, .. } = self.state;
        write!(formatter, "Store {{ applied: {applied}, term: {term}, revision: {revision}, compacted: {compacted} }}")
    }
}

fn layout<D: Disk>(disk: D, dir: &str, settings: &Settings) -> Layout<D> {
    assert!(settings.frame_bytes as u64 <= BODY_BYTES_MAX / 2, "a frame that is not full has room for one item more");
    let Settings { segment_bytes, frame_bytes, resident_bytes, sweep_leaves_bytes, .. } = *settings;
    Layout { disk, dir: dir.to_owned(), segment_bytes, frame_bytes, resident_bytes, sweep_leaves_bytes }
}
