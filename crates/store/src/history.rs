//! The events of the past, for watchers that are behind.

use bytes::Bytes;
use disk::Disk;

use crate::batch::key_of;
use crate::event::{Event, EventKind, Events};
use crate::fault::Fault;
use crate::revision::Revision;
use crate::revlog::log::Record;
use crate::revlog::walk::Walk;

/// How much is read at once.
const READ_BYTES: usize = 128 << 10;

/// Events in the order of revisions, made by [`View::history`](crate::View::history). Holds its moment: nothing that
/// happens later, a compaction least of all, takes anything away from it.
#[derive(Debug)]
pub struct History<D: Disk> {
    walk: Walk<D::File>,
    from: i64,
    upto: i64,
    /// The first change of the next revision.
    next: Option<Event>,
    next_main: i64,
    done: bool,
}

impl<D: Disk> History<D> {
    pub(crate) fn new(log: &crate::revlog::log::Log<D::File>, from: i64, upto: i64) -> History<D> {
        let walk = log.walk_from(Revision { main: from, sub: 0 }, READ_BYTES);
        History { walk, from, upto, next: None, next_main: 0, done: from > upto }
    }

    /// The next change of a key in bounds, with its main revision.
    fn next_event(&mut self) -> Result<Option<(i64, Event)>, Fault> {
        while let Some(found) = self.walk.next_change()? {
            let main = found.record.change().revision.main;
            if main > self.upto {
                return Ok(None);
            }
            if main >= self.from {
                return Ok(Some((main, event_of(&found.record))));
            }
        }
        Ok(None)
    }

    fn next_events(&mut self) -> Result<Option<Events>, Fault> {
        let mut events = Vec::new();
        events.extend(self.next.take());
        let mut revision = self.next_main;
        loop {
            match self.next_event()? {
                Some((main, event)) if events.is_empty() || main == revision => {
                    revision = main;
                    events.push(event);
                }
                Some((main, event)) => {
                    self.next = Some(event);
                    self.next_main = main;
                    break;
                }
                None => {
                    self.done = true;
                    break;
                }
            }
        }
        Ok((!events.is_empty()).then(|| Events { revision, events: events.into() }))
    }
}

impl<D: Disk> Iterator for History<D> {
    type Item = Result<Events, Fault>;

    fn next(&mut self) -> Option<Result<Events, Fault>> {
        if self.done {
            return None;
        }
        let next = self.next_events();
        self.done |= next.is_err();
        next.transpose()
    }
}

fn event_of(record: &Record) -> Event {
    let change = record.change();
    // The stretch that was read is shared by all that lies in it; an event may be kept long.
    let kv = Bytes::copy_from_slice(change.kv);
    Event {
        kind: if change.tombstone { EventKind::Delete } else { EventKind::Put },
        key: key_of(&kv, change.kv_fields.key.len()),
        kv,
        sub: change.revision.sub,
        created: change.kv_fields.version == 1,
        previous: change.previous.filter(|_| change.kv_fields.version != 1),
    }
}
