//! Messages and snapshots on their way from one member to another.

use super::{Event, World};
use crate::check;
use crate::check::room::Waiting;
use crate::member::Image;
use crate::mutant::Mutant;
use raft::{Message, MessageKind};
use std::rc::{Rc, Weak};

impl World {
    pub(super) fn send(&mut self, from: usize, mut message: Message) {
        let Some(to) = self.slots.iter().position(|slot| slot.id == message.to) else { return };
        if message.kind == MessageKind::TimeoutNow && self.habits.mutant == Some(Mutant::KeepsOffice) {
            return;
        }
        if message.kind == MessageKind::TimeoutNow {
            self.transfer.strikes(&mut self.ledger, self.now);
        }
        let mut arrivals = self.net.arrivals(&mut self.chances.net, &mut self.ledger, self.now, from, to);
        if message.kind == MessageKind::Prop {
            // A stream delivers at most once, and nobody sends a proposal
            // again: twice in the log would be twice carried out.
            arrivals.truncate(1);
        }
        let mut image = None;
        if message.kind == MessageKind::Snap {
            let member = self.slots[from].alive.as_ref().expect("the sender lives");
            let (meta, bytes) = match member.snapshot() {
                Ok(made) => made,
                Err(fault) => return self.failed(from, &fault.to_string()),
            };
            self.record.counts.snapshots += 1;
            message.snapshot = Some(raft::Snapshot { meta, data: bytes::Bytes::new() });
            let made = Rc::new(bytes);
            self.images.retain(|image| image.strong_count() > 0);
            self.images.push(Rc::downgrade(&made));
            let size = |image: Rc<Image>| image.bytes.len() + image.beside.len();
            let snapshot_bytes = self.images.iter().filter_map(Weak::upgrade).map(size).sum();
            check::room::settled(&mut self.record, &Waiting { snapshot_bytes, ..Waiting::default() });
            let before = self.image_before.replace(made.clone());
            let stale = before.filter(|_| self.habits.mutant == Some(Mutant::SnapshotOfBefore));
            image = Some(stale.unwrap_or(made));
            let (life, at) = (self.slots[from].life, self.now + 30_000);
            self.at(at, Event::SnapshotSent(from, life, message.to, !arrivals.is_empty()));
        }
        let Some(last) = arrivals.pop() else { return };
        for wait in arrivals {
            let event = Event::Deliver(to, Box::new(message.clone()), image.clone());
            self.at(self.now + wait, event);
        }
        self.at(self.now + last, Event::Deliver(to, Box::new(message), image));
    }
}
