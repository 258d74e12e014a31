//! Messages and snapshots on their way from one member to another.

use super::{Event, World};
use crate::check;
use crate::check::room::Waiting;
use crate::member::Image;
use crate::mutant::Mutant;
use member::core::Input;
use raft::{Message, MessageKind};
use std::rc::{Rc, Weak};

impl World {
    pub(super) fn send(&mut self, from: usize, mut message: Message) {
        check::raft::says(&self.record, self.slots[from].id, &message);
        let Some(to) = self.slots.iter().position(|slot| slot.id == message.to) else { return };
        if message.kind == MessageKind::TimeoutNow && self.habits.mutant == Some(Mutant::KeepsOffice) {
            return;
        }
        if message.kind == MessageKind::Heartbeat && !message.context.is_empty() {
            self.newest_heartbeats.insert(from, message.context.clone());
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
            match self.make_snapshot(from, &mut message) {
                Some(made) => image = Some(made),
                None => return,
            }
        }
        let Some(last) = arrivals.pop() else { return };
        for wait in arrivals {
            let event = Event::Deliver(to, Box::new(message.clone()), image.clone());
            self.at(self.now + wait, event);
        }
        self.at(self.now + last, Event::Deliver(to, Box::new(message), image));
    }

    /// A snapshot for a message that leaves now. As between processes (`etcd/src/peer/snapshot.rs`) there is one under way to a
    /// member: while it is, another is not made, and raft is told that it was not sent.
    fn make_snapshot(&mut self, from: usize, message: &mut Message) -> Option<Rc<Image>> {
        let life = self.slots[from].life;
        let member = self.slots[from].alive.as_mut().expect("the sender lives");
        if member.under_way.get(&message.to).is_some_and(|image| image.strong_count() > 0) {
            self.at(self.now + 1, Event::SnapshotSent(from, life, message.to, None));
            return None;
        }
        let (meta, content) = match member.snapshot() {
            Ok(made) => made,
            Err(fault) => {
                self.failed(from, &fault.to_string());
                return None;
            }
        };
        self.record.counts.snapshots += 1;
        message.snapshot = Some(raft::Snapshot { meta, data: bytes::Bytes::new() });
        let mut image = Image { number: self.record.counts.snapshots, sender: (from, life), content };
        if self.habits.mutant == Some(Mutant::SnapshotOfBefore) {
            let present = image.content.clone();
            image.content = self.content_before.replace(present.clone()).unwrap_or(present);
        }
        let image = Rc::new(image);
        self.images.retain(|image| image.strong_count() > 0);
        self.images.push(Rc::downgrade(&image));
        let size = |image: Rc<Image>| image.content.bytes.len() + image.content.beside.len();
        let snapshot_bytes = self.images.iter().filter_map(Weak::upgrade).map(size).sum();
        let member = self.slots[from].alive.as_mut().expect("the sender lives");
        member.under_way.insert(message.to, Rc::downgrade(&image));
        let snapshots = member.under_way.values().filter(|image| image.strong_count() > 0).count();
        let bounds = member.bounds();
        let waiting = Waiting { snapshots, snapshot_bytes, ..Waiting::default() };
        check::room::settled(&mut self.record, &bounds, &waiting);
        Some(image)
    }

    /// A snapshot has arrived and is stored, or was not made (`None`): its sender hears of that.
    pub(super) fn snapshot_sent(&mut self, slot: usize, life: u32, to: u64, arrived: Option<u64>) {
        let Some(member) = self.life(slot, life) else { return };
        if arrived.is_some_and(|number| !member.has_arrived(to, number)) {
            return; // The second copy of one that came twice.
        }
        member.core.step(Input::SnapshotSent(to, arrived.is_some()));
        self.settle(slot);
    }
}
