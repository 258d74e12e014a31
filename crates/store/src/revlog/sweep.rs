//! Giving room back: a run of neighbouring segments, mostly dead, becomes one segment with what is alive.
//!
//! It is written aside under a temporary name, in steps as long as the caller likes, synced, and then given its name: that
//! one rename is the change. From then on the log finds records there, by their revision where a place names a segment
//! that is gone; the old files are removed, and views that hold them go on reading them. A crash leaves a temporary file,
//! or both, and opening the log tells which counts (`name`).
//!
//! A deletion that compaction has passed may only be dropped when no older segment can still hold a put of its key, which
//! would come back to life on a restart. So every rewritten segment remembers what it was cleaned to.

use std::sync::Arc;

use disk::Disk;

use super::name::{Name, TEMPORARY};
use super::part::{Origin, Part};
use super::replay::remove;
use super::walk::Walk;
use super::writer::Writer;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::records::Survival;
use crate::revision::Revision;
use crate::state::State;

/// How much is read at once.
const READ_BYTES: usize = 256 << 10;

/// A segment is worth rewriting when no more than one part in this many is alive.
const LIVE_SHARE: u64 = 2;

/// What is left of a segment without records is not longer than this, and not worth rewriting by itself.
const SWEPT_BYTES_MIN: u64 = 256;

/// A segment shorter than this part of a full one joins a neighbour that is rewritten.
const SMALL_SHARE: u64 = 8;

/// So many small segments in a row are joined even if all of them is alive.
const SMALL_RUN: usize = 8;

/// What a rewriting takes beside the records, at most: one part in so many, and a page.
const FRAMES_SHARE: u64 = 64;
const FRAMES_BYTES: u64 = 4 << 10;

/// After one that found no room another one waits until the log has grown by this part of a segment, or more.
const PAUSE_SHARE: u64 = 8;

/// A rewriting that found no room: what must happen before another one is begun. A disk that is full without saying so (a
/// quota, no more files) would be filled again and again otherwise.
#[derive(Debug)]
pub(crate) struct GaveUp {
    /// The log has become so long,
    size_bytes: u64,
    /// or there is so much room.
    room_bytes: Option<u64>,
}

/// A rewriting under way.
#[derive(Debug)]
pub(crate) struct Sweep<D: Disk> {
    /// The run: positions of its first and last segment in the log.
    first: usize,
    last: usize,
    name: Name,
    /// Names of what is rewritten.
    replaced: Vec<Name>,
    part: Part<D>,
    walk: Walk<D::File>,
    survival: Survival,
    /// What all older segments are cleaned to: deletions up to here may go.
    droppable: i64,
    compacted: i64,
    /// Whether all records have been looked at.
    read: bool,
    /// What the run adds to the hash chain.
    sum: u64,
}

impl<D: Disk> Sweep<D> {
    /// Whether there is a run to begin on.
    pub(crate) fn is_due(writer: &Writer<D>, gave_up: Option<&GaveUp>) -> bool {
        run(writer, gave_up).is_some()
    }

    /// Begins on the first run in need for which there is room, if any is.
    pub(crate) fn begin(
        writer: &mut Writer<D>,
        state: &State,
        gave_up: Option<&GaveUp>,
    ) -> Result<Option<Sweep<D>>, Fault> {
        let Some((first, last)) = run(writer, gave_up) else { return Ok(None) };
        let sealed = &writer.log.sealed;
        let replaced = writer.names[first..=last].to_vec();
        let generation = replaced.iter().map(|name| name.generation).max().unwrap_or(0) + 1;
        let name = Name { first: replaced[0].first, last: replaced[last - first].last, generation };
        let path = name.path(&writer.layout.dir) + TEMPORARY;
        let origin = Origin { chain: sealed[last].chain, cleaned: state.compacted };
        let id = writer.next_id;
        writer.next_id += 1;
        let seed = sealed[first].chain_seed;
        // One that was given up for want of room may have left its file.
        writer.layout.disk.remove_if_there(&path).map_err(|error| Fault::disk(&path, error))?;
        let part = Part::create(&writer.layout.disk, path, name.last, seed, id, Some(origin))?;
        let droppable = sealed[..first].iter().map(|segment| segment.cleaned).min().unwrap_or(i64::MAX);
        let start = sealed[first].span.map_or(Revision::default(), |(first, _)| first);
        let walk = writer.log.walk_in(first, start, READ_BYTES);
        let survival = Survival::new(state.compacted);
        let compacted = state.compacted;
        let sum = sealed[first..=last].iter().fold(0u64, |sum, segment| sum.wrapping_add(segment.sum));
        let read = false;
        Ok(Some(Sweep { first, last, name, replaced, part, walk, survival, droppable, compacted, read, sum }))
    }

    /// Goes on for about so many bytes. Returns how many were looked at, and whether the run is read to its end.
    pub(crate) fn step(&mut self, writer: &Writer<D>, state: &State, budget_bytes: u64) -> Result<(u64, bool), Fault> {
        let mut seen = 0;
        let moment = Moment {
            keys: &state.keys,
            log: &writer.log,
            batch: None,
            revision: state.revision,
            compacted: state.compacted,
        };
        while !self.read && seen < budget_bytes {
            let Some(found) = self.walk.next_change()?.filter(|found| found.segment <= self.last) else {
                self.read = true;
                break;
            };
            let record = &found.record;
            seen += record.size_bytes() as u64;
            let change = record.change();
            let main = change.revision.main;
            // Only its own compaction decides, whatever was compacted since: a key that is looked up now may have
            // changed, but what it was then has not.
            let kept = self.survival.survives(&moment, record)?
                || (change.tombstone && main < self.compacted && main > self.droppable);
            if kept {
                self.part.copy(&change, record.item())?;
            }
        }
        self.part.sync_some()?;
        Ok((seen, self.read))
    }

    /// Whether the disk has room to go on.
    pub(crate) fn has_room(&self, writer: &Writer<D>) -> bool {
        writer.layout.sweep_room_bytes() != Some(0)
    }

    /// Puts the new segment in the place of the old ones. Returns how many bytes that gives back. When the disk is full
    /// everything is as it was, but for the file at [`Sweep::path`].
    pub(crate) fn finish(self, writer: &mut Writer<D>) -> Result<u64, Fault> {
        assert!(self.read, "a run is rewritten as a whole");
        let Sweep { first, last, name, replaced, mut part, sum, .. } = self;
        // What the records that are not kept have added to the chain stays in it.
        part.dropped(sum.wrapping_sub(part.sum()));
        let (disk, dir) = (writer.layout.disk.clone(), writer.layout.dir.clone());
        let path = name.path(&dir);
        let temporary = part.path().to_owned();
        let segment = part.finish()?;
        // The compaction that killed the records, and the changes after them, must not be lost while the records are gone.
        // Nor does anybody wait for room that is taken here.
        writer.try_flush()?;
        writer.sync()?;
        disk.rename(&temporary, &path).map_err(|error| Fault::disk(&path, error))?;
        disk.sync_dir(&dir).map_err(|error| Fault::disk(&dir, error))?;
        let segment = segment.renamed(path);
        let new_bytes = segment.len;
        let sealed = Arc::make_mut(&mut writer.log.sealed);
        let mut old_bytes = 0;
        for segment in sealed.splice(first..=last, [Arc::new(segment)]) {
            old_bytes += segment.len;
            writer.ledger.forget(segment.id);
        }
        writer.ledger.recount(sealed);
        writer.names.splice(first..=last, [name]);
        for name in &replaced {
            remove(&writer.layout, &name.file())?;
        }
        Ok(old_bytes.saturating_sub(new_bytes))
    }

    /// Where it is written.
    pub(crate) fn path(&self) -> &str {
        self.part.path()
    }

    /// Forgets it, as far as possible.
    pub(crate) fn give_up(self, writer: &Writer<D>) -> GaveUp {
        let path = self.part.path().to_owned();
        // Files that are open keep their room.
        drop(self);
        give_up(writer, &path)
    }
}

/// Removes what a rewriting has written at `path`. Says when another one may be begun.
pub(crate) fn give_up<D: Disk>(writer: &Writer<D>, path: &str) -> GaveUp {
    let room_before = writer.layout.sweep_room_bytes();
    // What stays is removed when the next one begins, or when the log is opened.
    let _ = writer.layout.disk.remove(path);
    let room = writer.layout.sweep_room_bytes();
    // About as much as it had written is to be written by others first.
    let written = room.zip(room_before).map_or(0, |(room, before)| room.saturating_sub(before));
    let pause = written.max(writer.layout.segment_bytes / PAUSE_SHARE);
    GaveUp { size_bytes: writer.size_bytes() + pause, room_bytes: room.map(|room| room.saturating_add(pause)) }
}

/// The first run that is worth rewriting and has room, unless it is too early for another one.
fn run<D: Disk>(writer: &Writer<D>, gave_up: Option<&GaveUp>) -> Option<(usize, usize)> {
    // Asked often, and there is mostly none: then the disk need not be asked.
    choose(writer, None)?;
    let room = writer.layout.sweep_room_bytes();
    let has_grown = |gave_up: &GaveUp| {
        let has_room = room.zip(gave_up.room_bytes).is_some_and(|(room, wanted)| room >= wanted);
        has_room || writer.size_bytes() >= gave_up.size_bytes
    };
    if gave_up.is_none_or(has_grown) { choose(writer, room) } else { None }
}

/// The first run of sealed segments that is worth rewriting and whose living part fits in `room` bytes.
fn choose<D: Disk>(writer: &Writer<D>, room: Option<u64>) -> Option<(usize, usize)> {
    let sealed = &writer.log.sealed;
    let full = writer.layout.segment_bytes;
    let fits = |live: u64| room.is_none_or(|room| live + live / FRAMES_SHARE + FRAMES_BYTES <= room);
    let live = |at: usize| writer.ledger.live_bytes(&sealed[at]);
    let is_dirty = |at: usize| live(at) * LIVE_SHARE < sealed[at].len && sealed[at].len > SWEPT_BYTES_MIN;
    let is_small = |at: usize| sealed[at].len < full / SMALL_SHARE;
    let joins = |at: usize| is_dirty(at) || is_small(at);
    let mut at = 0;
    while at < sealed.len() {
        if !joins(at) || !fits(live(at)) {
            at += 1;
            continue;
        }
        let mut bytes = live(at);
        let mut last = at;
        while last + 1 < sealed.len() && joins(last + 1) {
            let more = bytes + live(last + 1);
            if more > full || !fits(more) {
                break;
            }
            last += 1;
            bytes = more;
        }
        if (at..=last).any(is_dirty) || last - at + 1 >= SMALL_RUN {
            return Some((at, last));
        }
        at = last + 1;
    }
    None
}
