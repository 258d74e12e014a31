//! The physical half of a compaction.
//!
//! A compaction is logical at once: the compacted revision is in the frame of its entry, and reads obey it. What it dropped
//! is found out later, in small steps beside applying, by walking over the history it passed: a change at or below the
//! compacted revision has made the change before it unreadable, and a deletion below it is itself nothing any more, so its
//! key leaves the tree. That gives each segment a count of dead bytes; segments that are mostly dead are rewritten (`revlog`).
//!
//! None of this is replicated or seen by anybody but the disk: members may be at different points of it.

use disk::Disk;

use crate::fault::Fault;
use crate::revision::Revision;
use crate::revlog::walk::Walk;
use crate::revlog::{Sweep, Writer};
use crate::state::State;
use crate::store::Store;

/// How much is read at once.
const READ_BYTES: usize = 128 << 10;

/// What is done beside applying, and how far it is.
pub(crate) struct Housework<D: Disk> {
    /// The dead of compactions up to here have been counted.
    accounted: i64,
    accounting: Option<Accounting<D>>,
    sweep: Option<Sweep<D>>,
}

/// A walk over what a compaction has passed.
struct Accounting<D: Disk> {
    walk: Walk<D::File>,
    /// The compacted revision.
    upto: i64,
}

impl<D: Disk> Housework<D> {
    pub(crate) fn new(accounted: i64) -> Housework<D> {
        Housework { accounted, accounting: None, sweep: None }
    }

    /// Forgets everything: the log is replaced by one that is accounted up to a revision.
    pub(crate) fn begin_anew(&mut self, accounted: i64, old: &Writer<D>) {
        if let Some(sweep) = self.sweep.take() {
            sweep.give_up(old);
        }
        *self = Housework::new(accounted);
    }
}

/// See [`Store::sweep`].
pub(crate) fn sweep<D: Disk>(store: &mut Store<D>, budget_bytes: u64) -> Result<u64, Fault> {
    let Store { writer, state, stats, housework, .. } = store;
    let mut left = budget_bytes;
    let mut given_back = 0;
    while left > 0 {
        // A rewriting that has begun is finished first: the places it reads are those of its own moment.
        if let Some(mut sweep) = housework.sweep.take() {
            let (seen, read) = match sweep.step(writer, state, left) {
                // No room to rewrite aside: what is there stays as it is, and a later call begins anew.
                Err(fault) if fault.is_full() => {
                    sweep.give_up(writer);
                    break;
                }
                step => step?,
            };
            left = left.saturating_sub(seen);
            if !read {
                housework.sweep = Some(sweep);
                continue;
            }
            match sweep.finish(writer) {
                Err(fault) if fault.is_full() => break,
                swept => given_back += swept?,
            }
            stats.segments_swept += 1;
        } else if housework.accounted < state.compacted {
            left = left.saturating_sub(account(housework, writer, state, left)?);
        } else {
            match Sweep::begin(writer, state) {
                Ok(Some(sweep)) => housework.sweep = Some(sweep),
                Ok(None) => break,
                Err(fault) if fault.is_full() => break,
                Err(fault) => return Err(fault),
            }
        }
    }
    stats.swept_bytes += given_back;
    Ok(given_back)
}

/// See [`Store::wants_sweep`].
pub(crate) fn wants_sweep<D: Disk>(store: &Store<D>) -> bool {
    let Store { writer, state, housework, .. } = store;
    housework.sweep.is_some() || housework.accounted < state.compacted || Sweep::is_due(writer)
}

/// Goes on counting for about so many bytes. Returns how many it looked at.
fn account<D: Disk>(
    housework: &mut Housework<D>,
    writer: &mut Writer<D>,
    state: &mut State,
    budget_bytes: u64,
) -> Result<u64, Fault> {
    let done = housework.accounted;
    let accounting = housework.accounting.get_or_insert_with(|| {
        // Deletions exactly at the revision accounted last were still owed to watchers; now they go too.
        let walk = writer.log().walk_from(Revision { main: done, sub: 0 }, READ_BYTES);
        Accounting { walk, upto: state.compacted }
    });
    let mut seen = 0;
    while seen < budget_bytes {
        let found = accounting.walk.next_change()?;
        let found = found.filter(|found| found.record.change().revision.main <= accounting.upto);
        let Some(found) = found else {
            housework.accounted = accounting.upto;
            housework.accounting = None;
            break;
        };
        let change = found.record.change();
        let main = change.revision.main;
        seen += found.record.size_bytes() as u64;
        if main > done
            && let Some(previous) = change.previous
            && let Some((record, segment)) = writer.log().locate(previous)?
        {
            writer.note_dead(segment, record.size_bytes() as u64);
            seen += record.size_bytes() as u64;
        }
        let key = change.kv_fields.key;
        if change.tombstone
            && main < accounting.upto
            && main >= done
            && state.keys.get(key).is_some_and(|head| head.modified == change.revision)
        {
            state.keys.remove(key);
            if let Some((record, segment)) = writer.log().locate(change.revision)? {
                writer.note_dead(segment, record.size_bytes() as u64);
            }
        }
    }
    Ok(seen.max(1))
}
