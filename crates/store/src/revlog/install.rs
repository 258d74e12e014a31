//! Replacing a log by a snapshot.
//!
//! The new log is written behind the old one: parts with all rows, each durable, then a segment with a checkpoint which
//! says that the log begins at the first part. Before that checkpoint is durable the parts are nothing (an open removes
//! them); after it the old segments are nothing. There is no moment in between.

use std::sync::Arc;

use disk::Disk;

use super::name::Name;
use super::part::Part;
use super::replay::remove;
use super::segment::Segment;
use super::writer::{Layout, Writer};
use crate::chain::Chain;
use crate::fault::Fault;
use crate::keys::{Head, Keys};
use crate::records::Record;
use crate::reply::key_value::KeyValueRef;
use crate::revision::Revision;
use crate::state::State;

/// A new log in the making.
#[derive(Debug)]
pub(crate) struct Installer<D: Disk> {
    layout: Layout<D>,
    base: u64,
    part: Part<D>,
    name: Name,
    names: Vec<Name>,
    sealed: Vec<Arc<Segment<D::File>>>,
    next_id: u32,
    keys: Keys,
}

impl<D: Disk> Installer<D> {
    /// Begins a new log behind the one of `writer`.
    pub(crate) fn new(writer: &Writer<D>) -> Result<Installer<D>, Fault> {
        let layout = writer.layout.clone();
        clear_behind(&layout, writer.active.last)?;
        let name = Name::of(writer.active.last + 1);
        let next_id = writer.next_id;
        let part = Part::create(&layout.disk, name.path(&layout.dir), name.last, 0, next_id, None)?;
        Ok(Installer {
            layout,
            base: name.first,
            part,
            name,
            names: Vec::new(),
            sealed: Vec::new(),
            next_id: next_id + 1,
            keys: Keys::new(),
        })
    }

    /// Adds a row; they come in the order of revisions.
    pub(crate) fn row(&mut self, row: &Record) -> Result<(), Fault> {
        if self.part.size_bytes() >= self.layout.segment_bytes {
            self.next_part()?;
        }
        let Record { revision, tombstone, ref key, ref kv } = *row;
        let deleted = KeyValueRef { key, mod_revision: revision.main, ..KeyValueRef::default() };
        let fields = match tombstone {
            true => deleted,
            false => KeyValueRef::decode(kv).map_err(|error| Fault::Image(error.to_string()))?,
        };
        let previous: Option<Revision> = self.keys.get(key).map(|head| head.modified);
        let place = self.part.change(tombstone, revision, previous, &fields)?;
        let (created, version) = (fields.create_revision, fields.version);
        self.keys.insert(key, Head { modified: revision, created, version, place });
        Ok(())
    }

    /// What the rows so far add to the hash chain.
    pub(crate) fn sum(&self) -> u64 {
        self.sealed.iter().fold(self.part.sum(), |sum, segment| sum.wrapping_add(segment.sum))
    }

    fn next_part(&mut self) -> Result<(), Fault> {
        let name = Name::of(self.name.last + 1);
        let path = name.path(&self.layout.dir);
        // The chain of a part is only known when it is finished, and its successor must name it.
        let begin = |chain| Part::create(&self.layout.disk, path, name.last, chain, self.next_id, None);
        let chain = self.part.close()?;
        let next = begin(chain)?;
        let finished = std::mem::replace(&mut self.part, next).finish()?;
        self.sealed.push(Arc::new(finished));
        self.names.push(self.name);
        self.name = name;
        self.next_id += 1;
        Ok(())
    }

    /// Makes the new log count, and removes the old one. `state` has everything but the keys; `chain` is what came with the
    /// rows about the hash chain.
    pub(crate) fn finish(self, mut state: State, chain: Chain, old: &Writer<D>) -> Result<(Writer<D>, State), Fault> {
        let Installer { layout, base, part, name, mut names, mut sealed, next_id, keys } = self;
        let last = part.finish()?;
        let chain_seed = last.chain;
        sealed.push(Arc::new(last));
        names.push(name);
        state.keys = keys;
        state.chain = chain;
        let writer = Writer::behind(layout, base, name.last + 1, chain_seed, next_id, names, sealed, &state)?;
        old.remove_files()?;
        Ok((writer, state))
    }

    /// Takes everything back, as far as possible: the old log goes on.
    pub(crate) fn give_up(self) {
        let Installer { layout, part, name, names, .. } = self;
        drop(part);
        for name in names.into_iter().chain([name]) {
            // What stays is removed when the log is opened.
            let _ = remove(&layout, &name.file());
        }
    }
}

/// Removes what an installation that found no room has left behind the log's last segment; the newest first, as that
/// alone could make it count.
fn clear_behind<D: Disk>(layout: &Layout<D>, last: u64) -> Result<(), Fault> {
    let files = layout.disk.list(&layout.dir).map_err(|error| Fault::disk(&layout.dir, error))?;
    let mut left: Vec<(u64, String)> = files
        .into_iter()
        .filter_map(|file| Some((Name::parse(&file)?.last, file)))
        .filter(|(at, _)| *at > last)
        .collect();
    left.sort_unstable();
    left.iter().rev().try_for_each(|(_, file)| remove(layout, file))
}
