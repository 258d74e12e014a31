//! The rows that etcd's key bucket would hold: every change that no compaction has dropped, in the order of revisions.
//!
//! A compaction is logical at once and physical later, and how much later is nobody's business: what it drops is left out
//! here whether it still lies in the log or not. Below and at the compacted revision only the newest change of each key
//! stays, and of deletions only one exactly at it (a watcher from there on is owed it).

use std::collections::BTreeMap;

use bytes::Bytes;
use disk::{Disk, DiskFile};

use crate::batch::key_of;
use crate::fault::Fault;
use crate::moment::Moment;
use crate::revision::Revision;
use crate::revlog::item::key_alone;
use crate::revlog::log::Record as Found;
use crate::revlog::walk::Walk;
use crate::view::View;

/// How much is read at once.
const READ_BYTES: usize = 1 << 20;

/// A key whose past took more steps than this to look through is remembered.
const STEPS_FORGOTTEN: usize = 4;

/// One row of the key bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands in history.
    pub revision: Revision,
    /// The key was deleted.
    pub tombstone: bool,
    /// The key.
    pub key: Bytes,
    /// The encoded `mvccpb.KeyValue`; of a deletion with the key only.
    pub kv: Bytes,
}

/// Says which changes at or below a compacted revision are still there.
#[derive(Debug)]
pub(crate) struct Survival {
    compacted: i64,
    /// The newest change as of `compacted` of keys that have changed often since.
    known: BTreeMap<Vec<u8>, Option<Revision>>,
}

impl Survival {
    pub(crate) fn new(compacted: i64) -> Survival {
        Survival { compacted, known: BTreeMap::new() }
    }

    /// Whether no compaction to `compacted` has dropped this change.
    pub(crate) fn survives<F: DiskFile>(&mut self, moment: &Moment<'_, F>, record: &Found) -> Result<bool, Fault> {
        let change = record.change();
        let (main, key) = (change.revision.main, change.kv_fields.key);
        if main > self.compacted {
            return Ok(true);
        }
        if change.tombstone && main < self.compacted {
            return Ok(false);
        }
        self.is_newest(moment, key, change.revision)
    }

    /// Whether this is the newest change of its key as of `compacted`.
    pub(crate) fn is_newest<F: DiskFile>(
        &mut self,
        moment: &Moment<'_, F>,
        key: &[u8],
        revision: Revision,
    ) -> Result<bool, Fault> {
        if let Some(newest) = self.known.get(key) {
            return Ok(*newest == Some(revision));
        }
        let Some(head) = moment.keys.get(key) else { return Ok(false) };
        let (newest, steps) = moment.newest_at(&head, self.compacted)?;
        if steps > STEPS_FORGOTTEN {
            self.known.insert(key.to_vec(), newest);
        }
        Ok(newest == Some(revision))
    }
}

/// Rows in the order of revisions, made by [`View::records`]. Holds its moment.
#[derive(Debug)]
pub struct Records<D: Disk> {
    view: View<D>,
    walk: Walk<D::File>,
    survival: Survival,
    done: bool,
}

impl<D: Disk> Records<D> {
    pub(crate) fn new(view: View<D>) -> Records<D> {
        let walk = view.log().walk_from(Revision::default(), READ_BYTES);
        let survival = Survival::new(view.compacted());
        Records { view, walk, survival, done: false }
    }

    fn next_record(&mut self) -> Result<Option<Record>, Fault> {
        while let Some(found) = self.walk.next_change()? {
            if !self.survival.survives(&self.view.moment(), &found.record)? {
                continue;
            }
            let change = found.record.change();
            let whole = found.record.kv();
            let key = key_of(&whole, change.kv_fields.key.len());
            let kv = if change.tombstone { whole.slice(..key_alone(&whole).len()) } else { whole };
            return Ok(Some(Record { revision: change.revision, tombstone: change.tombstone, key, kv }));
        }
        Ok(None)
    }
}

impl<D: Disk> Iterator for Records<D> {
    type Item = Result<Record, Fault>;

    fn next(&mut self) -> Option<Result<Record, Fault>> {
        if self.done {
            return None;
        }
        let next = self.next_record();
        self.done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}
