//! The end of the revision log that is written.
//!
//! One batch is one frame; the batch of an entry that changes very much is several, which count only together. Frames are
//! staged and written some at a time: what is acknowledged is in the write-ahead log, so nobody waits for this one, and
//! readers have the newest frames in memory anyway. A segment that has become long is synced and sealed, and its successor
//! begins with a checkpoint, durable before anything is written behind it: from then on the older segments matter for their
//! keys only, and an opened log needs no more than one checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;
use disk::segment::FRAME_HEADER_BYTES;
use disk::{Disk, LogKind, SegmentHeader, SegmentWriter};

use super::checkpoint::encode_state;
use super::growing::Growing;
use super::item::{PRELUDE_BYTES, Prelude, tie_items};
use super::ledger::Ledger;
use super::log::Log;
use super::name::Name;
use super::replay::{clear, remove};
use super::resident::Resident;
use super::segment::Segment;
use crate::batch::{Batch, Bodies};
use crate::fault::{Fault, WaitForRoom};
use crate::ids::Index;
use crate::state::State;

/// A frame of changes.
pub(crate) const FRAME_CHANGES: u8 = 1;
/// A checkpoint; the first frame of a segment that was written by applying.
pub(crate) const FRAME_CHECKPOINT: u8 = 2;
/// The first frame of a segment that cannot be the end of a log: a part of an installed snapshot, or what a sweep left.
pub(crate) const FRAME_PART: u8 = 3;

/// A frame of changes whose batch goes on in the next frame of this segment.
pub(crate) const FRAME_UNFINISHED: u8 = 4;

/// How large the buffers are that many bodies share.
const ARENA_BYTES: usize = 1 << 20;
/// An arena with less room than this is not begun on.
const ARENA_ROOM_BYTES: usize = 16 << 10;
/// Staged bytes beyond which a batch is written at once.
const STAGED_BYTES_MAX: u64 = 256 << 10;
/// While there is no room for its successor a segment grows to so many times its length,
const GROWS_TIMES: u64 = 16;
/// or so long: what is applied then waits. Offsets end at 4 GiB, and the largest batch wants to lie in front of that.
const GROWS_BYTES_MAX: u64 = 1 << 30;

/// Where and how a log is written.
#[derive(Clone, Debug)]
pub(crate) struct Layout<D> {
    pub(crate) disk: D,
    pub(crate) dir: String,
    /// A segment that has reached this length gets a successor.
    pub(crate) segment_bytes: u64,
    /// A frame that has reached this length is followed by another one.
    pub(crate) frame_bytes: usize,
    /// How much of the newest stays in memory.
    pub(crate) resident_bytes: usize,
    /// So much of the disk's room is left to what clients write.
    pub(crate) sweep_leaves_bytes: u64,
}

impl<D: Disk> Layout<D> {
    /// How many bytes of the disk's room a sweep may take now, if the disk says.
    pub(super) fn sweep_room_bytes(&self) -> Option<u64> {
        let free = self.disk.free_bytes(&self.dir).ok().flatten()?;
        Some(free.saturating_sub(self.sweep_leaves_bytes))
    }
}

/// See the module's essay. One owner.
#[derive(Debug)]
pub(crate) struct Writer<D: Disk> {
    pub(super) layout: Layout<D>,
    pub(super) segment: SegmentWriter<D::File>,
    /// Names of the sealed segments, beside `log.sealed`, and of the active one.
    pub(super) names: Vec<Name>,
    pub(super) active: Name,
    /// The first segment that counts.
    pub(super) base: u64,
    pub(super) log: Log<D::File>,
    /// What the next segment will be called by places.
    pub(super) next_id: u32,
    pub(super) ledger: Ledger,
    pub(super) arena: BytesMut,
    /// The last entry in the log, staged or written.
    pub(super) written: Index,
    /// The last entry that is durable.
    pub(super) durable: Index,
    pub(crate) room: Room,
}

/// What to do when the disk is full: by default nothing, and the write fails.
#[derive(Default)]
pub(crate) struct Room {
    pub(crate) waits: Option<WaitForRoom>,
}

impl Room {
    /// Waits a while for room; false to give up.
    fn wait(&mut self, fault: &Fault) -> bool {
        self.waits.as_mut().is_some_and(|wait| wait(fault))
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Room {{ waits: {} }}", self.waits.is_some())
    }
}

impl<D: Disk> Writer<D> {
    /// A new log, durable when this returns.
    pub(crate) fn create(layout: Layout<D>, state: &State) -> Result<Writer<D>, Fault> {
        layout.disk.create_dir(&layout.dir).map_err(|error| Fault::disk(&layout.dir, error))?;
        clear(&layout)?;
        Writer::behind(layout, 1, 1, 0, 0, Vec::new(), Vec::new(), state)
    }

    /// A log that goes on behind sealed segments, with a checkpoint of its own; durable when this returns.
    #[allow(clippy::too_many_arguments, reason = "the parts of a log, put together in one place")]
    pub(super) fn behind(
        layout: Layout<D>,
        base: u64,
        sequence: u64,
        chain_seed: u32,
        id: u32,
        names: Vec<Name>,
        sealed: Vec<Arc<Segment<D::File>>>,
        state: &State,
    ) -> Result<Writer<D>, Fault> {
        let active = Name::of(sequence);
        let (segment, reader) = begin_segment(&layout, active, id, chain_seed, state, base)?;
        Ok(Writer {
            layout,
            segment,
            names,
            active,
            base,
            ledger: Ledger::new(BTreeMap::new(), &sealed),
            log: Log { sealed: Arc::new(sealed), active: reader, resident: Resident::new() },
            next_id: id + 1,
            arena: BytesMut::new(),
            written: state.applied,
            durable: state.applied,
            room: Room::default(),
        })
    }

    /// Removes all files of this log; those who read them go on.
    pub(super) fn remove_files(&self) -> Result<(), Fault> {
        for name in self.names.iter().chain([&self.active]) {
            remove(&self.layout, &name.file())?;
        }
        Ok(())
    }

    /// The log for readers, as it is now.
    pub(crate) fn log(&self) -> &Log<D::File> {
        &self.log
    }

    /// Begins a batch.
    pub(crate) fn begin(&mut self) -> Batch {
        let mut buffer = std::mem::take(&mut self.arena);
        if buffer.capacity() < ARENA_ROOM_BYTES {
            buffer = BytesMut::with_capacity(ARENA_BYTES);
        }
        let active = &self.log.active;
        let offset = self.segment.len() + FRAME_HEADER_BYTES;
        Batch::new(buffer, (active.id, active.salt), offset, self.layout.frame_bytes)
    }

    /// Adds the batch, and writes what is staged if that has become much. Returns the bodies of its frames.
    pub(crate) fn write(&mut self, batch: &mut Batch, state: &State) -> Result<Bodies, Fault> {
        let (bodies, rest) = batch.seal(prelude_of(state));
        self.arena = rest;
        let last = bodies.len() - 1;
        for number in 0..=last {
            let body = bodies.get(number);
            let kind = if number < last { FRAME_UNFINISHED } else { FRAME_CHANGES };
            let offset = self.segment.stage(&[(kind, &[body])])[0];
            assert_eq!(offset, batch.offset(number), "a frame lies where its batch was told it would");
            let active = &mut self.log.active;
            active.len = self.segment.len();
            for (revision, at, size) in batch.revisions(number) {
                active.note(revision, at, size, active.len);
            }
            if last > 0 {
                // Much at once is not kept in memory as well, neither here nor for readers.
                self.flush()?;
            } else {
                self.log.resident.push(active.id, offset, body.clone(), self.layout.resident_bytes);
            }
        }
        self.log.active.sum = self.log.active.sum.wrapping_add(batch.sum());
        self.written = state.applied;
        if self.has_much_staged(0) {
            self.flush()?;
        }
        Ok(bodies)
    }

    /// Whether a batch of so many bytes more would be written at once.
    pub(crate) fn has_much_staged(&self, more: u64) -> bool {
        // Readers find in memory what is not in the file.
        let bound = STAGED_BYTES_MAX.min(self.layout.resident_bytes as u64 / 2);
        self.segment.len() - self.segment.written() + more > bound
    }

    /// Writes what is staged.
    pub(crate) fn flush(&mut self) -> Result<(), Fault> {
        loop {
            match self.try_flush() {
                // Memory is ahead of the disk already; the frames must follow, and nothing of them was written.
                Err(fault) if fault.is_full() && self.room.wait(&fault) => {}
                done => return done,
            }
        }
    }

    /// Writes what is staged, without waiting for room.
    pub(super) fn try_flush(&mut self) -> Result<(), Fault> {
        self.segment.flush().map_err(|error| Fault::disk(&self.log.active.path, error))?;
        self.log.active.written = self.segment.written();
        Ok(())
    }

    /// Whether the next batch begins another segment.
    pub(crate) fn wants_rotation(&self) -> bool {
        self.segment.len() >= self.layout.segment_bytes
    }

    /// Seals the active segment if it is long enough.
    pub(crate) fn rotate(&mut self, state: &State) -> Result<(), Fault> {
        if !self.wants_rotation() {
            return Ok(());
        }
        self.sync()?;
        let name = Name::of(self.active.last + 1);
        let chain = self.segment.chain();
        let grows_to = (self.layout.segment_bytes * GROWS_TIMES).min(GROWS_BYTES_MAX);
        let (segment, reader) = loop {
            match begin_segment(&self.layout, name, self.next_id, chain, state, self.base) {
                Err(fault) if fault.is_full() => {
                    let path = name.path(&self.layout.dir);
                    // It may be that not even an empty file had room.
                    self.layout.disk.remove_if_there(&path).map_err(|error| Fault::disk(&path, error))?;
                    // The active segment grows on until there is room for the next.
                    if self.segment.len() < grows_to {
                        return Ok(());
                    }
                    if !self.room.wait(&fault) {
                        return Err(fault);
                    }
                }
                begun => break begun?,
            }
        };
        self.next_id += 1;
        let mut sealed = std::mem::replace(&mut self.log.active, reader);
        sealed.chain = chain;
        self.ledger.seal(&sealed);
        Arc::make_mut(&mut self.log.sealed).push(Arc::new(sealed));
        self.names.push(self.active);
        self.active = name;
        self.segment = segment;
        Ok(())
    }

    /// Makes everything written durable. Returns the last entry that is.
    pub(crate) fn sync(&mut self) -> Result<Index, Fault> {
        self.flush()?;
        self.segment.sync().map_err(|error| Fault::disk(&self.log.active.path, error))?;
        self.durable = self.written;
        Ok(self.durable)
    }

    /// Writes what is staged, and tells the file that a sync elsewhere must sync to make it durable, up to which entry that
    /// is, and how long the file is.
    pub(crate) fn begin_sync(&mut self) -> Result<(Arc<D::File>, Index, u64), Fault> {
        self.flush()?;
        Ok((self.segment.file(), self.written, self.segment.written()))
    }

    /// Takes note that a sync of `file` elsewhere has made its first `len` bytes, and the entries up to `index`, durable.
    pub(crate) fn note_synced(&mut self, file: &Arc<D::File>, index: Index, len: u64) {
        assert!(index <= self.written, "durable, but not written");
        if Arc::ptr_eq(file, &self.segment.file()) {
            self.segment.note_synced(len);
        }
        // A file that is no longer the last one was synced as a whole before it got a successor.
        self.durable = self.durable.max(index);
    }

    /// The last entry known durable.
    pub(crate) fn durable(&self) -> Index {
        self.durable
    }

    /// Bytes of all segments.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.ledger.sealed_bytes() + self.log.active.len
    }

    /// Takes note that so many bytes of a segment can be read by nobody any more.
    pub(crate) fn note_dead(&mut self, segment: u32, bytes: u64) {
        self.ledger.note_dead(segment, bytes);
    }

    /// Bytes that are worth their room.
    pub(crate) fn size_in_use_bytes(&self) -> u64 {
        self.size_bytes().saturating_sub(self.ledger.reclaimable_bytes())
    }
}

/// Where the store is, for the beginning of a frame.
pub(super) fn prelude_of(state: &State) -> Prelude {
    let State { applied, term, revision, compacted, .. } = *state;
    Prelude { applied, term, revision, compacted }
}

/// Appends one frame; returns where its body begins.
pub(super) fn append<F: disk::DiskFile>(
    segment: &mut SegmentWriter<F>,
    path: &str,
    kind: u8,
    body: &[u8],
) -> Result<u64, Fault> {
    let offsets = segment.append(&[(kind, &[body])]).map_err(|error| Fault::disk(path, error))?;
    Ok(offsets[0])
}

/// A segment for its writer and for its readers.
type Begun<F> = (SegmentWriter<F>, Segment<F>);

/// Makes a segment that begins with a checkpoint, durable when this returns.
fn begin_segment<D: Disk>(
    layout: &Layout<D>,
    name: Name,
    id: u32,
    chain_seed: u32,
    state: &State,
    base: u64,
) -> Result<Begun<D::File>, Fault> {
    let path = name.path(&layout.dir);
    let said = |error| Fault::disk(&path, error);
    let header = SegmentHeader { kind: LogKind::REVISIONS, sequence: name.last, chain_seed };
    let mut segment = SegmentWriter::create(&layout.disk, &path, header).map_err(said)?;
    let mut body = BytesMut::new();
    body.resize(PRELUDE_BYTES, 0);
    encode_state(&mut body, state, base);
    let prelude = prelude_of(state).encode(body.len());
    body[..PRELUDE_BYTES].copy_from_slice(&prelude);
    tie_items(&mut body, header.salt(), segment.len() + FRAME_HEADER_BYTES);
    append(&mut segment, &path, FRAME_CHECKPOINT, &body)?;
    segment.sync().map_err(said)?;
    let reader = Segment {
        id,
        path: path.into(),
        file: segment.file(),
        salt: header.salt(),
        len: segment.len(),
        written: segment.written(),
        span: None,
        marks: Growing::new(),
        record_bytes: 0,
        sum: 0,
        chain_seed,
        chain: 0,
        cleaned: crate::state::NEVER_COMPACTED,
    };
    Ok((segment, reader))
}
