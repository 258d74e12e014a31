//! Keeper's proposals, and the renewals that wait for them.

use super::{Micros, World};
use crate::check;
use crate::faults::TICK_MOST;
use crate::member::house::{Proposed, Wanted};
use crate::member::{ELECTION_TICKS, TICK};
use crate::mutant::Mutant;
use member::core::Input;

/// An election timeout, by the clock of a member.
const ELECTION: Micros = ELECTION_TICKS as Micros * TICK;

/// The same by the slowest clock: no renewal is answered whose proof is older.
const PROOF_AGE_MAX: Micros = ELECTION_TICKS as Micros * TICK_MOST;

impl World {
    /// Proposes what Keeper of a member wants.
    pub(super) fn keep_house_by(&mut self, slot: usize, (term, what, request): Wanted) {
        let (now, leader) = (self.now, self.slots[slot].id);
        let steady = self.slots[slot].steady(now);
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        let id = member.ids.next_id();
        if let Proposed::Revocation(lease) = what {
            check::ends::proposed(&mut self.record, now, (leader, term), lease, id);
        }
        let only_in = (!member.breaks(Mutant::DeposedExpires)).then_some(term);
        member.house.proposes(id, what, steady);
        member.propose(id, request, only_in);
    }

    /// A member that has proved that it leads renews a lease for a client.
    pub(super) fn renew(&mut self, slot: usize, request: u64, lease: i64) {
        let steady = self.slots[slot].steady(self.now);
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        if let Some(wanted) = member.house.keep_alive(request, lease, steady) {
            self.keep_house_by(slot, wanted);
            // What that makes Core say is handed on with the next that it is told.
        }
        self.tell_renewals(slot);
    }

    /// Answers renewals that have come to an end.
    pub(super) fn tell_renewals(&mut self, slot: usize) {
        let (now, steady) = (self.now, self.slots[slot].steady(self.now));
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        let (renewed, refused) =
            (std::mem::take(&mut member.house.renewed), std::mem::take(&mut member.house.turned_back));
        let counts_old_proofs = member.breaks(Mutant::OldProofs);
        for (request, lease, seconds) in renewed {
            let had_ended = self.record.ended.contains(&lease);
            let Some(renewing) = self.renewing(slot, request) else { continue };
            if steady - renewing.asked.1 > ELECTION && !counts_old_proofs {
                // As in `etcd/src/handle/lease.rs`: it may have stood still since it was proven to lead.
                (renewing.had_ended, renewing.asked) = (had_ended, (now, steady));
                let member = self.slots[slot].alive.as_mut().expect("who has renewed it lives");
                member.core.step(Input::Read(request));
                continue;
            }
            let Some(open) = self.close(slot, request) else { continue };
            let renewing = open.renewal.expect("only renewals are answered so");
            let by_clock =
                if self.slots[slot].stood_still_since(renewing.asked.0) { 0 } else { now - PROOF_AGE_MAX.min(now) };
            let since = renewing.asked.0.max(by_clock);
            match seconds {
                Some(ttl) => check::lease::renewed(&mut self.record, since, lease, ttl, renewing.had_ended),
                None => check::lease::said_to_have_ended(&self.record, now, lease),
            }
        }
        for request in refused {
            self.turned_back(slot, request);
        }
    }
}
