//! Keeper's proposals, and the renewals that wait for them.

use super::World;
use crate::check;
use crate::member::house::{Proposed, Wanted};
use crate::mutant::Mutant;

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
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        let (renewed, refused) =
            (std::mem::take(&mut member.house.renewed), std::mem::take(&mut member.house.turned_back));
        for (request, lease, seconds) in renewed {
            let Some(open) = self.close(slot, request) else { continue };
            let (_, had_ended, asked) = open.renewal.expect("only renewals are answered so");
            if let Some(ttl_seconds) = seconds {
                check::lease::renewed(&mut self.record, asked, lease, ttl_seconds, had_ended);
            }
        }
        for request in refused {
            self.turned_back(slot, request);
        }
    }
}
