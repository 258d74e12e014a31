//! A world whose story is told from outside: for scenarios.

use super::{Micros, Outcome, Settings, World};
use crate::chance::Chances;
use crate::check;
use crate::faults::Plan;
use crate::load::Mix;
use crate::member::Habits;
use crate::net::Weather;
use crate::record::Counts;
use crate::scenario::Story;
use proto::etcdserverpb::{InternalRaftRequest, LeaseGrantRequest};

impl World {
    /// A cluster of so many members in fair weather, without faults but those
    /// that [`World::befall`] it.
    pub fn directed(story: Story, count: usize) -> World {
        let settings = Settings { mutant: story.mutant, ..Settings::of(story.seed) };
        World::with(settings, Chances::new(story.seed), count, Weather::fair(), Plan::none())
    }

    /// Lets so much time pass.
    pub fn go_on(&mut self, time: Micros) {
        self.storm_ends = self.now + time;
        self.storm();
    }

    /// The member that leads in the highest term, by its place.
    pub fn leader(&self) -> Option<usize> {
        let leads = |place: &usize| {
            let status = self.slots[*place].alive.as_ref()?.core.status();
            (status.role == raft::Role::Leader).then_some(status.term)
        };
        (0..self.slots.len()).filter(|place| leads(place).is_some()).max_by_key(leads)
    }

    /// What has been done so far.
    pub fn counts(&self) -> Counts {
        self.record.counts
    }

    /// What clients ask from now on, how fast, and of whom (`None`: of anyone).
    pub fn clients_ask(&mut self, mix: Mix, rest: Micros, at: Option<usize>) {
        (self.mix, self.client_rest, self.clients_at) = (mix, rest, at);
    }

    /// How long clients wait for an answer from now on.
    pub fn clients_wait(&mut self, patience: Micros) {
        self.patience = patience;
    }

    /// Where watches connect from now on.
    pub fn watches_connect(&mut self, at: Option<usize>) {
        self.watches_at = at;
    }

    /// Asks a member for a lease of this id.
    pub fn grant(&mut self, slot: usize, lease: i64, ttl: i64) {
        let grant = LeaseGrantRequest { id: lease, ttl };
        self.propose(slot, InternalRaftRequest { lease_grant: Some(grant), ..InternalRaftRequest::default() });
    }

    /// Watches take up to so long to read a response.
    pub fn watches_are_slow(&mut self, slow: Micros) {
        self.watchers.iter_mut().for_each(|watcher| watcher.slow = slow);
    }

    /// The disk of a member is lost, whether the others can spare it or not.
    pub fn lose_disk(&mut self, slot: usize) {
        let by = self.ledger.begin(crate::faults::DISK_LOST);
        self.slots[slot].rotten = Some(by);
        if self.slots[slot].alive.is_some() {
            self.crash(slot, true);
        } else {
            self.replace(slot);
        }
    }

    /// The last entry that anybody knows to be committed.
    pub fn committed(&self) -> u64 {
        self.record.committed.last_key_value().map_or(0, |(&index, _)| index)
    }

    /// Ends here, and checks what was said. For a cluster that has lost too much to come to rest.
    ///
    /// # Panics
    /// When something false was said.
    pub fn end(self) -> Outcome {
        check::said(&self.record);
        self.outcome()
    }

    /// What the network is like from now on.
    pub fn weather_is(&mut self, weather: Weather) {
        self.net.weather = weather;
    }

    /// Who stops is back within a twentieth of a second.
    pub fn restarts_are_quick(&mut self) {
        self.quick_restarts = true;
    }

    /// How members keep house.
    pub fn habits(&self) -> Habits {
        self.habits
    }

    /// How members keep house from their next life on.
    pub fn keep_house(&mut self, habits: Habits) {
        // What is broken stays so.
        self.habits = Habits { mutant: self.habits.mutant, ..habits };
    }
}
