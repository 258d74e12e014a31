//! The physical half of a compaction.
//!
//! A compaction is logical at once: the compacted revision is in the frame of its entry, and reads obey it. What it dropped
//! is found out later, in small steps beside applying, by walking over the history it passed: a change at or below the
//! compacted revision has made the change before it unreadable, and a deletion below it is itself nothing any more, so its
//! key leaves the tree. That gives each segment a count of dead bytes; segments that are mostly dead are rewritten (`revlog`).
//!
//! On a full disk there is no room to rewrite aside. Then what is there stays as it is: a rewriting is begun only with room for
//! all of it, leaves some to clients, and after one that was given up another one waits for room or for the log to grow.
//!
//! None of this is replicated or seen by anybody but the disk: members may be at different points of it.

use disk::Disk;

use crate::fault::Fault;
use crate::revision::Revision;
use crate::revlog::walk::Walk;
use crate::revlog::{GaveUp, Sweep, Writer, give_up};
use crate::state::State;
use crate::store::{Stats, Store};

/// How much is read at once.
const READ_BYTES: usize = 128 << 10;

/// What is done beside applying, and how far it is.
pub(crate) struct Housework<D: Disk> {
    /// The dead of compactions up to here have been counted.
    accounted: i64,
    accounting: Option<Accounting<D>>,
    sweep: Option<Sweep<D>>,
    /// The last one found no room.
    gave_up: Option<GaveUp>,
}

/// A walk over what a compaction has passed.
struct Accounting<D: Disk> {
    walk: Walk<D::File>,
    /// The compacted revision.
    upto: i64,
}

impl<D: Disk> Housework<D> {
    pub(crate) fn new(accounted: i64) -> Housework<D> {
        Housework { accounted, accounting: None, sweep: None, gave_up: None }
    }

    /// Forgets everything: the log is replaced by one that is accounted up to a revision.
    pub(crate) fn begin_anew(&mut self, accounted: i64, old: &Writer<D>) {
        if let Some(sweep) = self.sweep.take() {
            sweep.give_up(old);
        }
        *self = Housework::new(accounted);
    }

    /// A rewriting found no room: what is there stays as it is.
    fn no_room(&mut self, gave_up: GaveUp, stats: &mut Stats) {
        self.gave_up = Some(gave_up);
        stats.sweeps_given_up += 1;
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
            let step = if sweep.has_room(writer) { sweep.step(writer, state, left).map(Some) } else { Ok(None) };
            let (seen, read) = match step {
                Ok(Some(step)) => step,
                Err(fault) if !fault.is_full() => return Err(fault),
                Ok(None) | Err(_) => {
                    housework.no_room(sweep.give_up(writer), stats);
                    break;
                }
            };
            left = left.saturating_sub(seen);
            if !read {
                housework.sweep = Some(sweep);
                continue;
            }
            let path = sweep.path().to_owned();
            match sweep.finish(writer) {
                Err(fault) if fault.is_full() => {
                    housework.no_room(give_up(writer, &path), stats);
                    break;
                }
                swept => given_back += swept?,
            }
            stats.segments_swept += 1;
            housework.gave_up = None;
        } else if housework.accounted < state.compacted {
            left = left.saturating_sub(account(housework, writer, state, left)?);
        } else {
            match Sweep::begin(writer, state, housework.gave_up.as_ref()) {
                Ok(Some(sweep)) => housework.sweep = Some(sweep),
                Ok(None) => break,
                Err(Fault::Disk { file, source }) if disk::is_full(&source) => {
                    housework.no_room(give_up(writer, &file), stats);
                    break;
                }
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
    housework.sweep.is_some()
        || housework.accounted < state.compacted
        || Sweep::is_due(writer, housework.gave_up.as_ref())
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
