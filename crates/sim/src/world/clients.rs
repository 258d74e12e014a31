//! Clients: one request at a time each, through any member.

use super::{Event, Micros, SECOND, World};
use crate::check;
use crate::load::{self, Ask};
use crate::mutant::Mutant;
use crate::record::{Answer, Read};
use member::core::Input;
use proto::etcdserverpb::RangeRequest;
use store::{Header, ReadError, Refusal, Reply};

/// Who asks.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// What it waits for.
    pub open: Option<Open>,
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Open {
    number: u64,
    known_before: u64,
    read: Option<RangeRequest>,
    /// The lease it renews, and whether that had ended when it was asked.
    renewal: Option<(i64, bool)>,
}

/// After this a client gives up, not knowing what came of its request.
const PATIENCE: Micros = 5 * SECOND;

impl World {
    pub(super) fn ask(&mut self, client: usize) {
        if self.calm || self.clients[client].open.is_some() {
            return;
        }
        let anyone = self.chances.load.usize(..self.slots.len());
        let slot = self.clients_at.unwrap_or(anyone);
        let again = self.now + 1 + self.chances.load.u64(..self.client_rest);
        if self.slots[slot].paused_until.max(self.slots[slot].clients_cut_until) > self.now {
            return self.at(again, Event::Ask(client));
        }
        self.record.counts.asked += 1;
        let number = self.record.counts.asked;
        // The newest, or some of those before them, which may have ended.
        let older = if self.chances.load.bool() { 0 } else { self.chances.load.usize(..60) };
        let leases: Vec<i64> = self.record.leases.keys().rev().skip(older).take(4).copied().collect();
        let revision = self.record.counts.answered as i64 / 2;
        let Some(member) = self.slots[slot].alive.as_mut() else { return self.at(again, Event::Ask(client)) };
        let revision = member.view().revision().max(revision.min(1));
        let asked = load::ask(&mut self.chances.load, &self.mix, number, revision, &leases);
        let id = member.ids.next_id();
        let hasty = self.habits.mutant == Some(Mutant::ReadsWithoutRound);
        let known_before = self.record.known;
        let mut renewal = None;
        self.trace.note(self.now, [6, slot as u64, id], || format!("client {client} asks m{slot} {id:x}: {asked:?}"));
        let read = match asked {
            Ask::Write(request) => {
                member.propose(id, *request, None);
                None
            }
            Ask::Read(request) => {
                if !request.serializable && !hasty {
                    member.core.step(Input::Read(id));
                }
                Some(request)
            }
            Ask::KeepAlive(lease) => {
                if !member.leads() {
                    self.record.counts.answered += 1;
                    return self.at(again, Event::Ask(client));
                }
                // As in `etcd/src/handle/lease.rs`: a read round proves that this member still leads.
                member.core.step(Input::Read(id));
                renewal = Some((lease, self.record.ended.contains(&lease)));
                None
            }
        };
        let at_once = read.as_ref().is_some_and(|request| request.serializable || hasty);
        self.clients[client].open = Some(Open { number, known_before, read, renewal });
        self.pending.insert((slot, id), client);
        self.at(self.now + PATIENCE, Event::GiveUp(client, number));
        if at_once {
            self.answered_read(slot, id);
        }
        self.settle(slot);
    }

    pub(super) fn give_up(&mut self, client: usize, number: u64) {
        if self.clients[client].open.as_ref().is_none_or(|open| open.number != number) {
            return;
        }
        self.clients[client].open = None;
        self.pending.retain(|_, waiting| *waiting != client);
        self.at(self.now + 1, Event::Ask(client));
    }

    pub(super) fn answered_write(&mut self, slot: usize, id: u64, outcome: Result<Reply, Refusal>) {
        if let Some(member) = self.slots[slot].alive.as_mut() {
            member.revokes.remove(&id);
        }
        let Some(open) = self.close(slot, id) else { return };
        let index = self.record.index_of[&id];
        self.trace.note(self.now, [7, id, index], || format!("m{slot} answers {id:x} at index {index}: {outcome:?}"));
        self.record.known = self.record.known.max(index);
        self.record.answers.insert(id, Answer { known_before: open.known_before, outcome });
    }

    pub(super) fn answered_read(&mut self, slot: usize, id: u64) {
        let Some(open) = self.close(slot, id) else { return };
        if let Some((lease, had_ended)) = open.renewal {
            return self.renewed(slot, lease, had_ended);
        }
        let Some(request) = open.read else { return };
        let member = self.slots[slot].alive.as_ref().expect("who answers lives");
        let view = member.view();
        let outcome = match view.range(&request) {
            Ok(reply) => Ok(reply.encode(&Header::default()).into()),
            Err(ReadError::Refusal(refusal)) => Err(refusal),
            Err(ReadError::Fault(fault)) => return self.failed(slot, &fault.to_string()),
        };
        let applied = view.applied();
        self.trace.note(self.now, [8, id, applied], || format!("m{slot} answers read {id:x} at index {applied}"));
        let known_before = if request.serializable { 0 } else { open.known_before };
        if !request.serializable {
            self.record.known = self.record.known.max(applied);
        }
        self.record.reads.push(Read { request, known_before, applied, outcome });
    }

    /// A member that has proved that it leads renews a lease.
    fn renewed(&mut self, slot: usize, lease: i64, had_ended: bool) {
        let now = self.now;
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        if let Some(ttl_seconds) = member.keep_alive(lease, now) {
            check::lease::renewed(&mut self.record, now, lease, ttl_seconds, had_ended);
        }
    }

    pub(super) fn turned_back(&mut self, slot: usize, id: u64) {
        if let Some(member) = self.slots[slot].alive.as_mut()
            && let Some((lease, _)) = member.revokes.remove(&id)
        {
            member.keeper.retry(lease);
            return;
        }
        // The client is told to try again; what it asked may not happen.
        if let Some(client) = self.pending.remove(&(slot, id)) {
            self.clients[client].open = None;
            let again = self.now + 1 + self.chances.load.u64(..self.client_rest);
            self.at(again, Event::Ask(client));
        }
    }

    /// Ends a request that has an answer; the client asks again soon.
    fn close(&mut self, slot: usize, id: u64) -> Option<Open> {
        let lost = self.slots[slot].clients_cut_until.max(self.slots[slot].answers_lost_until);
        if lost > self.now {
            // The answer is lost; the client gives up by and by.
            return None;
        }
        let client = self.pending.remove(&(slot, id))?;
        let open = self.clients[client].open.take()?;
        self.record.counts.answered += 1;
        let again = self.now + 1 + self.chances.load.u64(..self.client_rest);
        self.at(again, Event::Ask(client));
        Some(open)
    }
}
