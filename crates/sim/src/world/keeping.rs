//! Keeper's proposals, and the renewals that wait for them.

use super::World;
use crate::check;
use crate::member::house::{Proposed, Wanted};
use crate::mutant::Mutant;

impl World {
    /// Proposes what Keeper of a member wants.
    pub(super) fn keep_house_by(&mut self, slot: usize, (term, what, request): Wanted) {
        let (now, leader) = (self.now, self.slots[slot].id);
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        let id = member.ids.next_id();
        if let Proposed::Revocation(lease) = what {
            check::ends::proposed(&mut self.record, now, (leader, term), lease, id);
        }
        let only_in = (!member.breaks(Mutant::DeposedExpires)).then_some(term);
        member.house.proposes(id, what, now);
        member.propose(id, request, only_in);
    }

    /// A member that has proved that it leads renews a lease for a client.
    pub(super) fn renew(&mut self, slot: usize, request: u64, lease: i64) {
        let now = self.now;
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        if let Some(wanted) = member.house.keep_alive(request, lease, now) {
            self.keep_house_by(slot, wanted);
            // What that makes Core say is handed on with the next that it is told.
        }
        self.tell_renewals(slot);
    }

    /// Answers renewals that have come to an end.
    pub(super) fn tell_renewals(&mut self, slot: usize) {
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        let (renewed, refused) =
            (std::mem::take(&mut member.house.renewed), std::mem::take(&mut member.house.turned_back));
        for (request, lease, seconds) in renewed {
            let Some(open) = self.close(slot, request) else { continue };
            let had_ended = open.renewal.is_some_and(|(_, had_ended)| had_ended);
            if let Some(ttl_seconds) = seconds {
                check::lease::renewed(&mut self.record, self.now, lease, ttl_seconds, had_ended);
            }
        }
        for request in refused {
            self.turned_back(slot, request);
        }
    }
}
