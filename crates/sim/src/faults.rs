//! What goes wrong, and when: drawn per run, so that each seed has its own mix.

use crate::chance::between;
use crate::world::Micros;
use fastrand::Rng;

/// One thing going wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The machine of a member loses power now.
    PowerLoss(usize),
    /// The machine of a member loses power at one of its next disk operations.
    PowerLossSoon(usize, u64),
    /// The process of a member is killed; its machine lives.
    Kill(usize),
    /// All machines lose power at once.
    AllPowerLoss,
    /// The network falls into two.
    Split(Vec<usize>),
    /// One direction between two members carries nothing.
    OneWay(usize, usize),
    /// The network is whole again.
    Heal,
    /// A member does nothing for a while, as a stopped process.
    Pause(usize, Micros),
    /// The log of a member takes much longer for a while.
    SlowDisk(usize, Micros),
    /// Applying takes much longer for a while: what is committed piles up.
    SlowStore(usize, Micros),
    /// A member hears nobody and nobody hears it.
    Isolate(usize),
    /// The next syncs or writes of a member's disk fail; its process must end.
    BadDisk(usize),
    /// A member is asked to lead.
    Transfer(usize),
    /// The process dies before or after one of the next things it gives out.
    KillSoon(usize, u32),
    /// The link between two members comes and goes so many times.
    Flap(usize, usize, u32),
    /// What one member sends another arrives only after so long.
    Clog(usize, usize, Micros),
    /// Connections between two members break: what is on its way is lost.
    Reset(usize, usize),
    /// Everything the disk is asked takes until then.
    Stall(usize, Micros),
    /// No room for another byte for so long.
    FullDisk(usize, Micros),
    /// Reads of the disk fail now and then; the process must end.
    BadReads(usize),
    /// Clients reach a member no more for so long; answers are lost.
    ClientsCut(usize, Micros),
    /// A process is asked to end, and does so in order.
    Stop(usize),
    /// From now on a tick takes so long.
    ClockDrift(usize, Micros),
    /// A member's clock stands still for so long; messages still come.
    ClockFrozen(usize, Micros),
    /// The disk is lost with all that is on it; the member is replaced.
    DiskLost(usize),
    /// Bits turn in what is written, until the member is replaced.
    BitFlips(usize),
    /// Writes land elsewhere, until the member is replaced.
    Misdirected(usize),
    /// The NOSPACE alarm is raised, or taken back.
    Alarm(usize, bool),
    /// The machine loses power right after the member has given its next vote.
    PowerLossAtVote(usize),
    /// All links are slow for so long: a message takes up to half a second.
    SlowNetwork(Micros),
    /// A member answers its clients, but no answer arrives for so long.
    AnswersLost(usize, Micros),
    /// A process ends again so many times, each soon after its start.
    CrashLoop(usize, u32),
    /// All members but one stand still for so long.
    PauseOthers(usize, Micros),
    /// The machine of whoever leads loses power.
    LeaderPowerLoss,
    /// Sectors are read as they once were, until the member is replaced.
    StaleReads(usize),
    /// Reads bring what lies elsewhere, until the member is replaced.
    MisdirectedReads(usize),
    /// Each member reaches its two neighbours only.
    Ring,
    /// Two halves, and one member that reaches both.
    Bridge(usize),
    /// What one member sends another trickles, one message after the other, for so long.
    SlowDrain(usize, usize, Micros),
    /// Messages come again, seconds later, for so long.
    Echoes(Micros),
    /// Three messages in ten are lost for so long.
    LossyNetwork(Micros),
    /// All links of one member are slow for so long, and nothing of it is lost.
    SlowMember(usize, Micros),
    /// Whoever leads hears all and is heard by nobody.
    LeaderMuted,
    /// Whoever leads is heard by all and hears nobody.
    LeaderDeaf,
    /// Whoever leads stands still for so long.
    LeaderPaused(Micros),
    /// The machines of all but the leader lose power at once.
    FollowersPowerLoss,
    /// All processes are asked to end, and do so in order.
    StopAll,
    /// The links of all members to their clients break.
    AllClientsCut(Micros),
    /// Of one member nothing is done in time: log, store and disk are slow together.
    SlowMachine(usize, Micros),
}

/// Kinds of faults.
pub const KINDS: usize = 49;

/// Their names, in the order of the enum.
pub const NAMES: [&str; KINDS] = [
    "PowerLoss",
    "PowerLossSoon",
    "Kill",
    "AllPowerLoss",
    "Split",
    "OneWay",
    "Heal",
    "Pause",
    "SlowDisk",
    "SlowStore",
    "Isolate",
    "BadDisk",
    "Transfer",
    "KillSoon",
    "Flap",
    "Clog",
    "Reset",
    "Stall",
    "FullDisk",
    "BadReads",
    "ClientsCut",
    "Stop",
    "ClockDrift",
    "ClockFrozen",
    "DiskLost",
    "BitFlips",
    "Misdirected",
    "Alarm",
    "PowerLossAtVote",
    "SlowNetwork",
    "AnswersLost",
    "CrashLoop",
    "PauseOthers",
    "LeaderPowerLoss",
    "StaleReads",
    "MisdirectedReads",
    "Ring",
    "Bridge",
    "SlowDrain",
    "Echoes",
    "LossyNetwork",
    "SlowMember",
    "LeaderMuted",
    "LeaderDeaf",
    "LeaderPaused",
    "FollowersPowerLoss",
    "StopAll",
    "AllClientsCut",
    "SlowMachine",
];

/// Those that cut links, by their place in the enum.
pub const PARTITIONS: [usize; 8] = [4, 5, 10, 14, 36, 37, 42, 43];

/// The place in the enum of a disk that is lost.
pub const DISK_LOST: usize = 24;

/// Its place in the enum: the end of other faults, which does not count as one itself.
pub const HEAL: usize = 6;

impl Fault {
    /// Its kind: its place in the enum.
    pub fn kind(&self) -> usize {
        let words = format!("{self:?}");
        let name = words.split('(').next().unwrap_or_default();
        NAMES.iter().position(|known| *known == name).expect("every kind has a name")
    }
}

/// Whether faults of two kinds can overlap in a run: [`Fault::Heal`] ends others, and one disk at a time is not to be
/// believed but in runs beyond what is promised.
pub fn can_meet(one: usize, other: usize, beyond: bool) -> bool {
    one != other && one != HEAL && other != HEAL && (beyond || !(ROT.contains(&one) && ROT.contains(&other)))
}

/// Those that leave a disk which is not to be believed any more, by their place in the enum.
const ROT: [usize; 5] = [24, 25, 26, 34, 35];

/// A tick of the slowest clock.
pub const TICK_MOST: Micros = 110_000;

/// From a fault to one on its heels, at most.
pub const SOON: Micros = 300_000;

/// How often faults come in a run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Mean time between two faults.
    pub every: Micros,
    /// Weights of the kinds, in the order of the enum.
    weights: [u32; KINDS],
    /// Two kinds that are to meet: when one has had an effect, the other comes on its heels.
    pair: Option<(usize, usize)>,
}

impl Plan {
    /// The mix of a run: each kind may be absent, and two come more often than the others and together, so that any two meet in
    /// some run.
    pub fn draw(rng: &mut Rng) -> Plan {
        Plan::draw_for(rng, false)
    }

    fn draw_for(rng: &mut Rng, beyond: bool) -> Plan {
        let mut weights = std::array::from_fn(|_| if rng.bool() { rng.u32(1..10) } else { 0 });
        let pair = (rng.usize(..KINDS), rng.usize(..KINDS));
        (weights[pair.0], weights[pair.1]) = (40, 40);
        let pair = can_meet(pair.0, pair.1, beyond).then_some(pair);
        Plan { every: rng.u64(300_000..4_000_000), weights, pair }
    }

    /// The mix of a run in which disks may rot on any number of members: every way of it is there.
    pub fn draw_beyond(rng: &mut Rng) -> Plan {
        let mut plan = Plan::draw_for(rng, true);
        plan.every = rng.u64(200_000..1_500_000);
        ROT.into_iter().for_each(|kind| plan.weights[kind] = rng.u32(2..6));
        plan
    }

    /// No faults at all.
    pub fn none() -> Plan {
        Plan { every: 1 << 44, weights: [0; KINDS], pair: None }
    }

    /// Whether nothing goes wrong by itself.
    pub fn is_none(&self) -> bool {
        self.weights == [0; KINDS]
    }

    /// Whether a member loses power while it installs the snapshot that has
    /// just come.
    pub fn strikes_snapshots(&self, rng: &mut Rng) -> bool {
        self.weights[1] > 0 && rng.u8(..3) == 0
    }

    /// Time to the next fault; one in four comes on the heels of the one before.
    pub fn wait(&self, rng: &mut Rng) -> Micros {
        if !self.is_none() && rng.u8(..4) == 0 {
            return rng.u64(1_000..SOON);
        }
        between(rng, self.every / 4, self.every)
    }

    /// The kind that is to meet this one in this run.
    pub fn partner(&self, kind: usize) -> Option<usize> {
        let (one, other) = self.pair?;
        (kind == one).then_some(other).or((kind == other).then_some(one))
    }

    /// The next fault in a cluster of `count`.
    pub fn next(&self, rng: &mut Rng, count: usize) -> Fault {
        let total: u32 = self.weights.iter().sum();
        if total == 0 {
            return Fault::Heal;
        }
        let mut at = rng.u32(..total);
        let kind = self.weights.iter().position(|&weight| {
            let here = at < weight;
            at = at.saturating_sub(weight);
            here
        });
        Fault::of(kind.expect("some weight holds it"), rng, count)
    }
}

impl Fault {
    /// One of a kind, in a cluster of `count`.
    pub fn of(kind: usize, rng: &mut Rng, count: usize) -> Fault {
        let one = rng.usize(..count);
        let other = |rng: &mut Rng| (one + rng.usize(1..count.max(2))) % count;
        match kind {
            0 => Fault::PowerLoss(one),
            1 => Fault::PowerLossSoon(one, rng.u64(1..30)),
            2 => Fault::Kill(one),
            3 => Fault::AllPowerLoss,
            4 => Fault::Split((0..count).filter(|_| rng.bool()).collect()),
            5 => Fault::OneWay(one, (one + rng.usize(1..count.max(2))) % count),
            6 => Fault::Heal,
            7 if rng.u8(..12) == 0 => Fault::Pause(one, rng.u64(8_000_000..60_000_000)),
            7 => Fault::Pause(one, rng.u64(200_000..8_000_000)),
            8 => Fault::SlowDisk(one, rng.u64(10_000..2_000_000)),
            9 => Fault::SlowStore(one, rng.u64(100_000..4_000_000)),
            10 => Fault::Isolate(one),
            11 => Fault::BadDisk(one),
            12 => Fault::Transfer(one),
            13 => Fault::KillSoon(one, rng.u32(1..40)),
            14 => Fault::Flap(one, other(rng), rng.u32(2..20)),
            15 => Fault::Clog(one, other(rng), rng.u64(100_000..5_000_000)),
            16 => Fault::Reset(one, other(rng)),
            17 if rng.u8(..8) == 0 => Fault::Stall(one, rng.u64(5_000_000..30_000_000)),
            17 => Fault::Stall(one, rng.u64(100_000..5_000_000)),
            18 => Fault::FullDisk(one, rng.u64(50_000..5_000_000)),
            19 => Fault::BadReads(one),
            20 => Fault::ClientsCut(one, rng.u64(50_000..6_000_000)),
            21 => Fault::Stop(one),
            22 => Fault::ClockDrift(one, rng.u64(90_000..TICK_MOST)),
            23 => Fault::ClockFrozen(one, rng.u64(200_000..6_000_000)),
            24 => Fault::DiskLost(one),
            25 => Fault::BitFlips(one),
            26 => Fault::Misdirected(one),
            27 => Fault::Alarm(one, rng.u8(..3) == 0),
            28 => Fault::PowerLossAtVote(one),
            29 => Fault::SlowNetwork(rng.u64(200_000..6_000_000)),
            30 => Fault::AnswersLost(one, rng.u64(50_000..4_000_000)),
            31 => Fault::CrashLoop(one, rng.u32(2..6)),
            32 => Fault::PauseOthers(one, rng.u64(100_000..3_000_000)),
            33 => Fault::LeaderPowerLoss,
            34 => Fault::StaleReads(one),
            35 => Fault::MisdirectedReads(one),
            36 => Fault::Ring,
            37 => Fault::Bridge(one),
            38 => Fault::SlowDrain(one, other(rng), rng.u64(200_000..5_000_000)),
            39 => Fault::Echoes(rng.u64(200_000..4_000_000)),
            40 => Fault::LossyNetwork(rng.u64(200_000..4_000_000)),
            41 => Fault::SlowMember(one, rng.u64(200_000..6_000_000)),
            42 => Fault::LeaderMuted,
            43 => Fault::LeaderDeaf,
            44 => Fault::LeaderPaused(rng.u64(200_000..5_000_000)),
            45 => Fault::FollowersPowerLoss,
            46 => Fault::StopAll,
            47 => Fault::AllClientsCut(rng.u64(50_000..3_000_000)),
            _ => Fault::SlowMachine(one, rng.u64(200_000..4_000_000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_drawn_by_its_weight() {
        let mut rng = Rng::with_seed(1);
        for kind in 0..KINDS {
            let mut weights = [0; KINDS];
            weights[kind] = 1;
            let plan = Plan { every: 1, weights, pair: None };
            assert_eq!(plan.next(&mut rng, 5).kind(), kind, "{}", NAMES[kind]);
        }
    }
}
