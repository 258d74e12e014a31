//! Clients: one request at a time each, through any member.

use super::{CLUSTER, Event, Micros, SECOND, World};
use crate::check;
use crate::load::{self, Ask};
use crate::mutant::Mutant;
use crate::record::{Answer, Read};
use member::core::Input;
use member::corruption;
use proto::etcdserverpb::{InternalRaftRequest, RangeRequest};
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
    /// The request's id.
    id: u64,
    /// What is written, for a client that asks again.
    write: Option<Box<InternalRaftRequest>>,
    known_before: u64,
    read: Option<RangeRequest>,
    /// What it renews.
    pub renewal: Option<Renewing>,
}

/// A renewal under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Renewing {
    pub lease: i64,
    /// Whether it had ended when the member last set out to prove that it leads.
    pub had_ended: bool,
    /// When that was, and what the member's steady clock showed.
    pub asked: (Micros, Micros),
}

/// After this a client gives up, not knowing what came of its request.
pub(super) const PATIENCE: Micros = 5 * SECOND;

impl World {
    pub(super) fn ask(&mut self, client: usize) {
        if self.calm || self.clients[client].open.is_some() {
            return;
        }
        let anyone = self.chances.load.usize(..self.slots.len());
        let slot = self.clients_at.unwrap_or(anyone);
        let again = self.now + 1 + self.chances.load.u64(..self.client_rest);
        let place = &self.slots[slot];
        if place.clients_cut.strikes(&mut self.ledger, self.now) || place.paused.lasts(self.now) {
            return self.at(again, Event::Ask(client));
        }
        self.record.counts.asked += 1;
        let number = self.record.counts.asked;
        // The newest, or some of those before them, which may have ended.
        let older = if self.chances.load.bool() { 0 } else { self.chances.load.usize(..60) };
        let leases: Vec<i64> = self.record.leases.keys().rev().skip(older).take(4).copied().collect();
        let revision = self.record.counts.answered as i64 / 2;
        let (steady, id_here) = (self.slots[slot].steady(self.now), self.slots[slot].id);
        let Some(member) = self.slots[slot].alive.as_mut() else { return self.at(again, Event::Ask(client)) };
        let view = member.view();
        if corruption::concerns(view.alarms(), id_here) {
            // As the edge does (`etcd/src/rpc/admission.rs`).
            self.record.counts.refused_as_corrupt += 1;
            return self.at(again, Event::Ask(client));
        }
        let revision = view.revision().max(revision.min(1));
        let asked = load::ask(&mut self.chances.load, &self.mix, number, revision, &leases);
        let id = member.ids.next_id();
        let hasty = self.habits.mutant == Some(Mutant::ReadsWithoutRound);
        let known_before = self.record.known;
        let (mut renewal, mut write) = (None, None);
        let retries = self.habits.mutant == Some(Mutant::RetriesBlindly);
        self.trace.note(self.now, [6, slot as u64, id], || format!("client {client} asks m{slot} {id:x}: {asked:?}"));
        let read = match asked {
            Ask::Write(request) => {
                write = retries.then(|| request.clone());
                if request.lease_revoke.is_some() {
                    self.record.revocations.insert(id);
                }
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
                let had_ended = self.record.ended.contains(&lease);
                renewal = Some(Renewing { lease, had_ended, asked: (self.now, steady) });
                None
            }
        };
        let at_once = read.as_ref().is_some_and(|request| request.serializable || hasty);
        self.clients[client].open = Some(Open { number, id, write, known_before, read, renewal });
        self.pending.insert((slot, id), client);
        self.at(self.now + self.patience, Event::GiveUp(client, number));
        if at_once {
            self.answered_read(slot, id);
        }
        self.settle(slot);
    }

    pub(super) fn give_up(&mut self, client: usize, number: u64) {
        if self.clients[client].open.as_ref().is_none_or(|open| open.number != number) {
            return;
        }
        let open = self.clients[client].open.take();
        self.pending.retain(|_, waiting| *waiting != client);
        if let Some(open) = open.filter(|open| open.write.is_some() && !self.calm) {
            return self.ask_again(client, open);
        }
        self.at(self.now + 1, Event::Ask(client));
    }

    /// A mutant's: the same again under another id, and the answer counts for the first.
    fn ask_again(&mut self, client: usize, open: Open) {
        let slot = self.chances.load.usize(..self.slots.len());
        let Some(member) = self.slots[slot].alive.as_mut() else {
            return self.at(self.now + 1, Event::Ask(client));
        };
        let id = member.ids.next_id();
        let write = open.write.clone().expect("only writes are asked again");
        if write.lease_revoke.is_some() {
            self.record.revocations.insert(id);
        }
        member.propose(id, *write, None);
        self.asked_before.insert(id, open.id);
        self.pending.insert((slot, id), client);
        self.at(self.now + self.patience, Event::GiveUp(client, open.number));
        self.clients[client].open = Some(open);
        self.settle(slot);
    }

    pub(super) fn answered_write(&mut self, slot: usize, id: u64, outcome: Result<Reply, Refusal>) {
        check::ends::decided(&mut self.record, id, outcome.is_ok());
        let Some(open) = self.close(slot, id) else { return };
        let id = self.asked_before.remove(&id).unwrap_or(id);
        let index = self.record.index_of.get(&id).copied().unwrap_or_default();
        self.trace.note(self.now, [7, id, index], || format!("m{slot} answers {id:x} at index {index}: {outcome:?}"));
        self.record.known = self.record.known.max(index);
        let header = self.header(slot);
        self.record.counts.revoked += u64::from(matches!(outcome, Ok(Reply::LeaseRevoke(_))));
        let outcome = outcome.map(|reply| reply.encode(&header).into());
        self.record.answers.insert(id, Answer { known_before: open.known_before, header, outcome });
    }

    pub(super) fn answered_read(&mut self, slot: usize, id: u64) {
        if let Some(client) = self.pending.get(&(slot, id))
            && let Some(Open { renewal: Some(renewing), .. }) = self.clients[*client].open
        {
            return self.renew(slot, id, renewing.lease);
        }
        let Some(open) = self.close(slot, id) else { return };
        let Some(request) = open.read else { return };
        let header = self.header(slot);
        let member = self.slots[slot].alive.as_ref().expect("who answers lives");
        let view = member.view();
        let outcome = match view.range(&request) {
            Ok(reply) => Ok(reply.encode(&header).into()),
            Err(ReadError::Refusal(refusal)) => Err(refusal),
            Err(ReadError::Fault(fault)) => return self.failed(slot, &fault.to_string()),
        };
        let applied = view.applied();
        self.trace.note(self.now, [8, id, applied], || format!("m{slot} answers read {id:x} at index {applied}"));
        let known_before = if request.serializable { 0 } else { open.known_before };
        if !request.serializable {
            self.record.known = self.record.known.max(applied);
        }
        self.record.reads.push(Read { request, known_before, applied, header, outcome });
    }

    /// What the edge puts in front of an answer; the revision is the answer's own.
    fn header(&self, slot: usize) -> Header {
        let raft_term = self.slots[slot].alive.as_ref().map_or(0, |member| member.core.status().term);
        Header { cluster_id: CLUSTER, member_id: self.slots[slot].id, revision: 0, raft_term }
    }

    pub(super) fn turned_back(&mut self, slot: usize, id: u64) {
        if let Some(member) = self.slots[slot].alive.as_mut()
            && member.house.not_proposed(id)
        {
            check::ends::not_proposed(&mut self.record, id);
            return;
        }
        // The client is told to try again; what it asked may not happen.
        if let Some(client) = self.pending.remove(&(slot, id)) {
            self.clients[client].open = None;
            let again = self.now + 1 + self.chances.load.u64(..self.client_rest);
            self.at(again, Event::Ask(client));
        }
    }

    /// Who waits for a renewal.
    pub(super) fn renewing(&mut self, slot: usize, id: u64) -> Option<&mut Renewing> {
        let client = *self.pending.get(&(slot, id))?;
        self.clients[client].open.as_mut()?.renewal.as_mut()
    }

    /// Ends a request that has an answer; the client asks again soon.
    pub(super) fn close(&mut self, slot: usize, id: u64) -> Option<Open> {
        let client = self.pending.get(&(slot, id)).copied()?;
        let place = &self.slots[slot];
        if place.clients_cut.strikes(&mut self.ledger, self.now)
            | place.answers_lost.strikes(&mut self.ledger, self.now)
        {
            // The answer is lost; the client gives up by and by.
            return None;
        }
        self.pending.remove(&(slot, id));
        let open = self.clients[client].open.take()?;
        self.record.counts.answered += 1;
        let again = self.now + 1 + self.chances.load.u64(..self.client_rest);
        self.at(again, Event::Ask(client));
        Some(open)
    }
}
