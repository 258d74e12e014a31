//! Reading keys, now or in the past: what a view and an entry under way have in common.
//!
//! A moment borrows the tree of keys, the log, and, inside [`Store::apply`](crate::Store::apply), the batch in the making,
//! so that an entry sees what the entries before it did. It only reads.

use bytes::Bytes;
use disk::DiskFile;

use crate::batch::Batch;
use crate::fault::Fault;
use crate::keys::{Head, Keys, Place};
use crate::revision::Revision;
use crate::revlog::log::{Log, Record};

/// See the module's essay.
#[derive(Debug)]
pub(crate) struct Moment<'a, F> {
    pub(crate) keys: &'a Keys,
    pub(crate) log: &'a Log<F>,
    /// What is not in the log yet.
    pub(crate) batch: Option<&'a Batch>,
    /// The main revision of the newest change that is seen.
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
}

/// One put of a key: the numbers, and where the rest is.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) modified: Revision,
    pub(crate) created: i64,
    pub(crate) version: i64,
    found: Found,
}

#[derive(Clone, Debug)]
enum Found {
    At(Place),
    Read(Record),
}

impl Version {
    fn of_head(head: &Head) -> Version {
        let Head { modified, created, version, place } = *head;
        Version { modified, created, version, found: Found::At(place) }
    }

    pub(crate) fn of_record(record: Record) -> Version {
        let change = record.change();
        let (modified, fields) = (change.revision, change.kv_fields);
        let (created, version) = (fields.create_revision, fields.version);
        Version { modified, created, version, found: Found::Read(record) }
    }

    /// Where it is, if that is known.
    pub(crate) fn place(&self) -> Option<Place> {
        match &self.found {
            Found::At(place) => Some(*place),
            Found::Read(_) => None,
        }
    }

    /// Bytes of its record.
    pub(crate) fn size_bytes(&self) -> usize {
        match &self.found {
            Found::At(place) => place.size_bytes as usize,
            Found::Read(record) => record.size_bytes(),
        }
    }
}

impl<F: DiskFile> Moment<'_, F> {
    /// The record of `revision`, written at `place`.
    pub(crate) fn record(&self, place: Place, revision: Revision) -> Result<Record, Fault> {
        match self.batch.and_then(|batch| batch.record(place)) {
            Some(record) => Ok(record),
            None => self.log.record(place, revision),
        }
    }

    pub(crate) fn find(&self, revision: Revision) -> Result<Option<Record>, Fault> {
        match self.batch.and_then(|batch| batch.find(revision)) {
            Some(record) => Ok(Some(record)),
            None => self.log.find(revision),
        }
    }

    /// The put that was the newest of its key at main revision `at`, or `None` if the key did not exist then. `head` is
    /// the key's; `at` is not below the compacted revision.
    pub(crate) fn version_at(&self, head: &Head, at: i64) -> Result<Option<Version>, Fault> {
        if head.modified.main <= at {
            return Ok((!head.is_tombstone()).then(|| Version::of_head(head)));
        }
        let mut previous = self.record(head.place, head.modified)?.change().previous;
        while let Some(revision) = previous {
            // What a compaction has dropped is not found: a deletion below the compacted revision, which is no version.
            let Some(record) = self.find(revision)? else { return Ok(None) };
            let change = record.change();
            if change.revision.main <= at {
                return Ok((!change.tombstone).then(|| Version::of_record(record)));
            }
            previous = change.previous;
        }
        Ok(None)
    }

    /// Whether the key existed at main revision `at`. As [`Moment::version_at`], but mostly without reading.
    pub(crate) fn existed_at(&self, head: &Head, at: i64) -> Result<bool, Fault> {
        if head.modified.main <= at || (!head.is_tombstone() && head.created <= at) {
            return Ok(!head.is_tombstone());
        }
        Ok(self.version_at(head, at)?.is_some())
    }

    /// The change of a key that was the newest at main revision `at`, a deletion too, and how many records had to be read.
    pub(crate) fn newest_at(&self, head: &Head, at: i64) -> Result<(Option<Revision>, usize), Fault> {
        if head.modified.main <= at {
            return Ok((Some(head.modified), 0));
        }
        let mut steps = 1;
        let mut previous = self.record(head.place, head.modified)?.change().previous;
        while let Some(revision) = previous {
            if revision.main <= at {
                return Ok((previous, steps));
            }
            steps += 1;
            previous = self.find(revision)?.and_then(|record| record.change().previous);
        }
        Ok((None, steps))
    }

    /// The record of a version.
    pub(crate) fn read(&self, version: &Version) -> Result<Record, Fault> {
        match &version.found {
            Found::At(place) => self.record(*place, version.modified),
            Found::Read(record) => Ok(record.clone()),
        }
    }

    /// Length of the encoded KeyValue of a version. Of the log, not of a batch.
    pub(crate) fn kv_size(&self, version: &Version) -> Result<usize, Fault> {
        match &version.found {
            Found::At(place) => self.log.kv_size(*place, version.modified),
            Found::Read(record) => Ok(record.kv().len()),
        }
    }

    /// The encoded KeyValue of a key as it was at main revision `at`, which is not below the compacted revision.
    pub(crate) fn kv_at(&self, key: &[u8], at: i64) -> Result<Option<Bytes>, Fault> {
        let Some(head) = self.keys.get(key) else { return Ok(None) };
        match self.version_at(&head, at)? {
            Some(version) => Ok(Some(self.read(&version)?.kv())),
            None => Ok(None),
        }
    }
}
