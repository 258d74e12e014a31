//! Opening a log: everything is read and verified once, and the state it leads to is built.
//!
//! The last segment that begins with a checkpoint is the end of the log. One behind it without a checkpoint was being made
//! when the process ended, and nothing was written there that anybody was told of: it goes. Then all segments are replayed
//! in order, older ones for their keys, the last one for everything. What a crash has torn off the end is cut, and with it
//! the frames of a batch whose last one is not there; a hole anywhere else is a fault that names file and offset.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;
use disk::{Disk, Ending, Frame, LogKind, SegmentHeader, SegmentReader, SegmentWriter, Standing, Tail};

use super::checkpoint::{replay_item, take_chain};
use super::growing::Growing;
use super::item::{Change, Item, ItemKind, PRELUDE_BYTES, Prelude, take_varint};
use super::ledger::Ledger;
use super::log::{Log, is_leased, place_of};
use super::name::{Name, TEMPORARY};
use super::resident::Resident;
use super::segment::Segment;
use super::writer::{FRAME_CHANGES, FRAME_CHECKPOINT, FRAME_PART, FRAME_UNFINISHED, Layout, Writer};
use crate::chain::{self, Chain};
use crate::fault::Fault;
use crate::ids::LeaseId;
use crate::keys::Head;
use crate::revision::Revision;
use crate::state::State;

/// Whether there is a log in the directory. What a creation that did not finish has left is none.
pub(crate) fn exists<D: Disk>(disk: &D, dir: &str) -> Result<bool, Fault> {
    let said = |error| Fault::disk(dir, error);
    if !disk.exists(dir).map_err(said)? {
        return Ok(false);
    }
    for name in disk.list(dir).map_err(said)?.iter().rev().filter_map(|file| Name::parse(file)) {
        let mut reader = SegmentReader::open(disk, &name.path(dir), Standing::Last)?;
        if reader.next()?.is_some_and(|frame| frame.kind == FRAME_CHECKPOINT) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes what a creation that did not finish has left.
pub(super) fn clear<D: Disk>(layout: &Layout<D>) -> Result<(), Fault> {
    let Layout { disk, dir, .. } = layout;
    if exists(disk, dir)? {
        return Err(Fault::disk(dir, std::io::ErrorKind::AlreadyExists.into()));
    }
    for file in disk.list(dir).map_err(|error| Fault::disk(dir, error))? {
        if file.ends_with(TEMPORARY) || Name::parse(&file).is_some() {
            remove(layout, &file)?;
        }
    }
    Ok(())
}

/// Opens the log and builds the state at its end.
pub(crate) fn open<D: Disk>(layout: Layout<D>) -> Result<(Writer<D>, State), Fault> {
    let (mut names, mut obsolete) = list(&layout)?;
    let ending = find_end(&layout, &mut names)?;
    obsolete.extend(names.extract_if(.., |name| name.last < ending.base));
    let Some(active) = names.pop() else {
        unreachable!("the end of the log is a segment");
    };
    let mut replay = Replay {
        state: State::new(),
        dead: BTreeMap::new(),
        leased: BTreeMap::new(),
        compacted: ending.prelude.compacted,
        last_change: Revision::default(),
        at_end: false,
        sum: 0,
        chain: None,
        complete: ending.base == 1,
    };
    let mut sealed = Vec::with_capacity(names.len());
    let mut expected = None;
    if names.first().unwrap_or(&active).first != ending.base {
        let path = names.first().unwrap_or(&active).path(&layout.dir);
        return Err(Fault::corrupt(&path, 0, format!("segment {} is missing before this one", ending.base)));
    }
    for (id, name) in names.iter().enumerate() {
        let (segment, chain, _) = replay.segment(&layout, *name, id as u32, Standing::Sealed, expected, u64::MAX)?;
        sealed.push(Arc::new(segment));
        expected = Some((name.last + 1, chain));
    }
    replay.at_end = true;
    let id = names.len() as u32;
    let (mut segment, _, tail) = replay.segment(&layout, active, id, Standing::Last, expected, ending.at)?;
    let writer =
        SegmentWriter::resume(&layout.disk, &segment.path, &tail).map_err(|error| Fault::disk(&segment.path, error))?;
    segment.file = writer.file();
    // What takes the place of the obsolete may itself be in the operating system's memory only, if the process died and
    // the machine did not. Content is durable now; names come first, then the old ones may go.
    if !obsolete.is_empty() {
        layout.disk.sync_dir(&layout.dir).map_err(|error| Fault::disk(&layout.dir, error))?;
    }
    for name in &obsolete {
        remove(&layout, &name.file())?;
    }
    let (state, dead) = replay.finish()?;
    let writer = Writer {
        layout,
        segment: writer,
        names,
        active,
        base: ending.base,
        ledger: Ledger::new(dead, &sealed),
        log: Log { sealed: Arc::new(sealed), active: segment, resident: Resident::new() },
        next_id: id + 1,
        arena: BytesMut::new(),
        room: super::writer::Room::default(),
        written: state.applied,
        durable: state.applied,
    };
    Ok((writer, state))
}

/// The segments in the directory, in order, and those that were replaced. Removes what was not finished.
fn list<D: Disk>(layout: &Layout<D>) -> Result<(Vec<Name>, Vec<Name>), Fault> {
    let Layout { disk, dir, .. } = layout;
    let mut names = Vec::new();
    for file in disk.list(dir).map_err(|error| Fault::disk(dir, error))? {
        if file.ends_with(TEMPORARY) {
            remove(layout, &file)?;
        } else if let Some(name) = Name::parse(&file) {
            names.push(name);
        }
    }
    let all = names.clone();
    let replaced = names.extract_if(.., |name| all.iter().any(|other| name.is_replaced_by(other))).collect();
    names.sort_unstable();
    Ok((names, replaced))
}

pub(super) fn remove<D: Disk>(layout: &Layout<D>, file: &str) -> Result<(), Fault> {
    let path = if layout.dir.is_empty() { file.to_owned() } else { format!("{}/{file}", layout.dir) };
    layout.disk.remove(&path).map_err(|error| Fault::disk(&path, error))
}

/// What the last segment says of the whole log.
struct End {
    /// Where the store is at the end.
    prelude: Prelude,
    /// The first segment that counts.
    base: u64,
    /// Where the last batch that is whole ends in the last segment.
    at: u64,
}

/// Reads the last segment that begins with a checkpoint; removes those behind it.
fn find_end<D: Disk>(layout: &Layout<D>, names: &mut Vec<Name>) -> Result<End, Fault> {
    while let Some(name) = names.last().copied() {
        let path = name.path(&layout.dir);
        let mut reader = SegmentReader::open(&layout.disk, &path, Standing::Last)?;
        let first = reader.next()?;
        if let Some(frame) = first.filter(|frame| frame.kind == FRAME_CHECKPOINT) {
            let mut prelude = prelude_in(&path, &frame)?;
            let base = base_in(&path, &frame)?;
            let mut at = reader.tail().offset;
            while let Some(frame) = reader.next()? {
                let told = prelude_in(&path, &frame)?;
                if frame.kind != FRAME_UNFINISHED {
                    (prelude, at) = (told, reader.tail().offset);
                }
            }
            return Ok(End { prelude, base, at });
        }
        remove(layout, &name.file())?;
        names.pop();
    }
    Err(Fault::corrupt(&layout.dir, 0, "there is no segment with a checkpoint"))
}

fn prelude_in(path: &str, frame: &Frame) -> Result<Prelude, Fault> {
    match Prelude::decode(&frame.body) {
        Some((prelude, size)) if size == frame.body.len() => Ok(prelude),
        _ => Err(Fault::corrupt(path, frame.offset, "a frame does not begin as one")),
    }
}

fn base_in(path: &str, frame: &Frame) -> Result<u64, Fault> {
    // The frame's check has been verified.
    Item::decode_unchecked(&frame.body[PRELUDE_BYTES..])
        .filter(|item| item.kind == ItemKind::Base)
        .and_then(|item| take_varint(&mut &item.body[..]))
        .ok_or_else(|| Fault::corrupt(path, frame.offset, "a checkpoint does not say where the log begins"))
}

/// The state in the making.
struct Replay {
    state: State,
    dead: BTreeMap<u32, u64>,
    /// The lease of every key that hangs on one.
    leased: BTreeMap<Vec<u8>, LeaseId>,
    /// What the log is compacted to at its end.
    compacted: i64,
    last_change: Revision,
    /// Whether this is the last segment, whose other items count too.
    at_end: bool,
    /// What all segments add to the hash chain.
    sum: u64,
    /// Base and offset of the chain, as the last segment says.
    chain: Option<(u64, u64)>,
    /// Whether every change there ever was is in the sum.
    complete: bool,
}

impl Replay {
    /// Replays one segment. Returns it, the chain value its successor starts from, and its tail. `expected` is the
    /// sequence number and the chain value it must begin with; from `end` on there are only frames of a batch that is not
    /// whole, which is as if it had never been.
    fn segment<D: Disk>(
        &mut self,
        layout: &Layout<D>,
        name: Name,
        id: u32,
        standing: Standing,
        expected: Option<(u64, u32)>,
        end: u64,
    ) -> Result<(Segment<D::File>, u32, Tail), Fault> {
        let path = name.path(&layout.dir);
        let mut reader = SegmentReader::open(&layout.disk, &path, standing)?;
        let chain_seed = expected.map_or(reader.header().chain_seed, |(_, chain)| chain);
        if let Some((sequence, _)) = expected
            && name.first != sequence
        {
            return Err(Fault::corrupt(&path, 0, format!("segment {sequence} is missing before this one")));
        }
        reader.expect_header(SegmentHeader { kind: LogKind::REVISIONS, sequence: name.last, chain_seed })?;
        let mut segment = Replayed {
            id,
            path: &path,
            span: None,
            marks: Growing::new(),
            record_bytes: 0,
            sum: 0,
            dropped: None,
            origin: None,
        };
        let (mut tail, mut is_whole) = (reader.tail(), true);
        while let Some(frame) = reader.next()? {
            if frame.offset > end {
                break;
            }
            self.frame(&frame, &mut segment)?;
            (tail, is_whole) = (reader.tail(), frame.kind != FRAME_UNFINISHED);
        }
        if !is_whole {
            return Err(Fault::corrupt(&path, tail.offset, "the last frame of a batch is missing"));
        }
        if let Some(ending) = reader.ending() {
            assert!(ending == Ending::Clean || standing == Standing::Last);
            // Behind the last frame there may be an empty one.
            tail = reader.tail();
        }
        let Replayed { span, marks, record_bytes, sum, dropped, origin, .. } = segment;
        // A sweep of an older version did not say what it has left out.
        self.complete &= origin.is_none() || dropped.is_some();
        let sum = sum.wrapping_add(dropped.unwrap_or_default());
        self.sum = self.sum.wrapping_add(sum);
        let (chain, cleaned) = origin.unwrap_or((tail.chain, crate::state::NEVER_COMPACTED));
        let salt = reader.header().salt();
        let file = Arc::new(reader.into_file());
        let len = tail.offset;
        let segment = Segment {
            id,
            path: path.into(),
            file,
            salt,
            len,
            written: len,
            span,
            marks,
            record_bytes,
            sum,
            chain_seed,
            chain,
            cleaned,
        };
        Ok((segment, chain, tail))
    }

    fn frame(&mut self, frame: &Frame, segment: &mut Replayed<'_>) -> Result<(), Fault> {
        let said = |at: u64, what: String| Fault::corrupt(segment.path, at, what);
        if ![FRAME_CHANGES, FRAME_CHECKPOINT, FRAME_PART, FRAME_UNFINISHED].contains(&frame.kind) {
            return Err(said(frame.offset, format!("a frame of unknown kind {}", frame.kind)));
        }
        let prelude = prelude_in(segment.path, frame)?;
        let state = &mut self.state;
        if frame.kind != FRAME_PART {
            if prelude.applied < state.applied
                || prelude.revision < state.revision
                || prelude.compacted < state.compacted
            {
                return Err(said(frame.offset, "a frame takes the store back in time".into()));
            }
            state.applied = prelude.applied;
            state.term = prelude.term;
            state.revision = prelude.revision;
            state.compacted = prelude.compacted;
        }
        let frame_end = frame.offset + frame.body.len() as u64;
        let mut at = frame.offset + PRELUDE_BYTES as u64;
        while at < frame_end {
            let rest = &frame.body[(at - frame.offset) as usize..];
            // The frame's check has been verified, and it covers every item.
            let Some(item) = Item::decode_unchecked(rest) else {
                return Err(said(at, "an item of unknown kind or wrong size".into()));
            };
            if let Some(change) = item.change() {
                if change.revision <= self.last_change {
                    return Err(said(at, format!("revision {:?} follows {:?}", change.revision, self.last_change)));
                }
                if frame.kind != FRAME_PART && change.revision.main > prelude.revision {
                    return Err(said(at, format!("revision {:?} is of the future", change.revision)));
                }
                self.change(&change, segment.id, at, item.size);
                segment.sum = segment.sum.wrapping_add(chain::change(change.tombstone, change.revision, change.kv));
                segment.note(change.revision, at, item.size, frame_end);
            } else if item.kind.is_change_of_key() {
                return Err(said(at, "a change of a key that cannot be read".into()));
            } else if item.kind == ItemKind::Origin {
                let mut body = item.body;
                let origin = take_varint(&mut body).zip(take_varint(&mut body));
                let Some((chain, cleaned)) = origin else {
                    return Err(said(at, "an origin that cannot be read".into()));
                };
                segment.origin = Some((chain as u32, cleaned as i64));
            } else if item.kind == ItemKind::Dropped {
                let Ok(dropped) = item.body.try_into() else {
                    return Err(said(at, "what was left out cannot be read".into()));
                };
                segment.dropped = Some(u64::from_le_bytes(dropped));
            } else if item.kind == ItemKind::Chain && self.at_end {
                self.chain = take_chain(item.body);
            } else if self.at_end {
                replay_item(&mut self.state, &item).map_err(|what| said(at, what))?;
            }
            at += item.size as u64;
        }
        Ok(())
    }

    fn change(&mut self, change: &Change<'_>, segment: u32, at: u64, size: usize) {
        self.last_change = change.revision;
        let kv = &change.kv_fields;
        let head = Head {
            modified: change.revision,
            created: if change.tombstone { 0 } else { kv.create_revision },
            version: if change.tombstone { 0 } else { kv.version },
            place: place_of(segment, at, size, kv.lease != 0),
        };
        let old = self.state.keys.insert(kv.key, head);
        if kv.lease != 0 {
            self.leased.insert(kv.key.to_vec(), kv.lease);
        } else if old.is_some_and(|old| is_leased(old.place)) {
            self.leased.remove(kv.key);
        }
        if let Some(old) = old
            && change.revision.main <= self.compacted
        {
            *self.dead.entry(old.place.segment).or_default() += u64::from(old.place.size_bytes);
        }
    }

    /// The state at the end: attaches keys to their leases and forgets deletions that compaction has passed.
    fn finish(mut self) -> Result<(State, BTreeMap<u32, u64>), Fault> {
        let mut gone = Vec::new();
        let mut scan = self.state.keys.scan(crate::keys::KeyRange::ALL);
        while let Some((key, head)) = scan.next() {
            if head.is_tombstone() && head.modified.main < self.compacted {
                gone.push(key.to_vec());
                *self.dead.entry(head.place.segment).or_default() += u64::from(head.place.size_bytes);
            }
        }
        for key in gone {
            self.state.keys.remove(&key);
        }
        for (key, lease) in &self.leased {
            // A lease that ended took its keys along; one that is not known (an old snapshot) is ignored, as in etcd.
            self.state.leases.attach(*lease, key);
        }
        let (base, offset) = match self.chain {
            Some(known) => known,
            None if self.complete => (chain::GENESIS, 0),
            None => (Chain::foreign(self.state.applied, self.sum), 0),
        };
        let keys = self.sum.wrapping_add(offset);
        self.state.chain = Chain::of(&self.state, base, offset, keys);
        self.state.chain.unwritten = self.chain.is_none();
        Ok((self.state, self.dead))
    }
}

/// The index of a segment in the making.
struct Replayed<'a> {
    id: u32,
    path: &'a str,
    span: Option<(Revision, Revision)>,
    marks: Growing<super::segment::Mark>,
    record_bytes: u64,
    /// What its records add to the hash chain.
    sum: u64,
    /// What a sweep has left out of it.
    dropped: Option<u64>,
    /// In a rewritten segment: the chain value before the rewriting, and what it is cleaned to.
    origin: Option<(u32, i64)>,
}

impl Replayed<'_> {
    fn note(&mut self, revision: Revision, at: u64, size_bytes: usize, frame_end: u64) {
        self.record_bytes += size_bytes as u64;
        super::segment::note(&mut self.span, &mut self.marks, revision, at, frame_end);
    }
}
