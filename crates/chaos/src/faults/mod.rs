//! The kinds of faults: a row each, what they do beside them by what is harmed.

mod disk;
mod network;
mod operator;
mod process;

use crate::felt::Felt;
use crate::stage::Stage;
use fastrand::Rng;
use std::time::Duration;

/// What a kind needs beyond namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Only those.
    Nothing,
    /// A disk whose power can go.
    Power,
    /// A wall clock that can be moved.
    Clock,
}

/// What is done later, and when, counted from the beginning of the fault. The
/// last of it ends the fault.
pub type Later = Vec<(Duration, Box<dyn FnOnce(&mut Stage) + Send>)>;

/// A fault that begins.
pub struct Fault {
    /// On whom, and whatever else is left to chance.
    pub chance: Rng,
    /// How long.
    pub lasts: Duration,
    /// What shows that it had an effect.
    pub felt: Felt,
}

/// One kind of fault.
pub struct Kind {
    /// As the summary has it.
    pub name: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// Whether a minute of it is worth trying.
    pub may_be_long: bool,
    /// Begins it. Whoever is harmed is drawn here.
    pub begin: fn(&mut Stage, &mut Fault) -> Later,
}

const fn kind(name: &'static str, begin: fn(&mut Stage, &mut Fault) -> Later) -> Kind {
    Kind { name, needs: Needs::Nothing, may_be_long: false, begin }
}

const fn long(name: &'static str, begin: fn(&mut Stage, &mut Fault) -> Later) -> Kind {
    Kind { name, needs: Needs::Nothing, may_be_long: true, begin }
}

const fn needing(needs: Needs, name: &'static str, begin: fn(&mut Stage, &mut Fault) -> Later) -> Kind {
    Kind { name, needs, may_be_long: false, begin }
}

/// All kinds.
pub const KINDS: [Kind; 31] = [
    long("one killed", process::kill_one),
    long("leader killed", process::kill_leader),
    kind("majority killed", process::kill_majority),
    kind("all killed", process::kill_all),
    kind("killed again and again", process::crash_loop),
    long("one stopped (SIGSTOP)", process::stop_one),
    long("leader stopped (SIGSTOP)", process::stop_leader),
    kind("all but one stopped (SIGSTOP)", process::stop_most),
    long("one isolated", network::isolate_one),
    long("leader isolated", network::isolate_leader),
    long("majority and minority split", network::split),
    kind("all apart", network::all_apart),
    kind("ring: each hears only its neighbours", network::ring),
    long("leader cannot speak", network::leader_dumb),
    long("leader cannot hear", network::leader_deaf),
    kind("one link, one way", network::one_way),
    kind("one link comes and goes", network::flapping),
    kind("delay and jitter", network::slow),
    kind("loss", network::loss),
    kind("packets doubled and out of order", network::doubled),
    kind("connections reset within a message", network::resets),
    kind("clients cut off from one", network::clients_cut),
    kind("clients hear nothing", network::clients_deaf),
    long("one disk full", disk::full_one),
    kind("leader's disk full", disk::full_leader),
    kind("all disks full", disk::full_all),
    needing(Needs::Power, "power of one lost", disk::power_of_one),
    needing(Needs::Power, "power of all lost", disk::power_of_all),
    needing(Needs::Clock, "wall clock jumps forward", disk::clock_forward),
    needing(Needs::Clock, "wall clock jumps back", disk::clock_back),
    kind("leadership moved", operator::move_leader),
];

/// One thing later.
fn then(after: Duration, act: impl FnOnce(&mut Stage) + Send + 'static) -> Later {
    vec![(after, Box::new(act))]
}

/// Who leads. Where nobody says so just now the last one known is harmed, and
/// that does not count: no leader was.
fn leader(stage: &Stage, fault: &mut Fault) -> usize {
    stage.who_leads().unwrap_or_else(|| {
        fault.felt = Felt::default();
        stage.leader()
    })
}

/// Who leads is taken away from the others by this, until the last of it: who asks there is told.
fn away(stage: &Stage, leader: usize, mut later: Later) -> Later {
    stage.away.set(leader, true);
    let last = later.iter().map(|(after, _)| *after).max().unwrap_or_default();
    later.extend(then(last, move |stage| stage.away.set(leader, false)));
    later
}
