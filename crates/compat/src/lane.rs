//! A lane is one seed's world: which clusters stand against each other, how
//! many steps are sent, and which corners of the grammar are in it. All of it
//! follows from the seed, so `--seed N` is the same world again.

/// Which cluster is compared with the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One member against one member.
    One,
    /// Three of ours against three of the real one.
    Three,
    /// Ours among two of the real one, against one of the real one.
    MixedOne,
    /// Two of ours and one of the real one, against one of the real one.
    MixedTwo,
}

/// One seed's world.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// Where all its chance comes from.
    pub seed: u64,
    /// Who stands against whom.
    pub kind: Kind,
    /// How many steps it has.
    pub steps: usize,
    /// Whether leases that the server named are attached to keys. Their ids are
    /// part of what HashKV hashes, so such a lane has no HashKV of keys.
    pub named_leases: bool,
    /// What the members are told to refuse.
    pub limits: Limits,
}

/// Bounds that members are started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `--max-request-bytes`.
    pub request_bytes: usize,
    /// `--max-txn-ops`.
    pub txn_ops: usize,
    /// Whether they are far below the defaults, so that the grammar meets them.
    pub tight: bool,
}

/// etcd's defaults.
const USUAL: Limits = Limits { request_bytes: 1_572_864, txn_ops: 128, tight: false };
/// Near enough to be met all the time.
const TIGHT: Limits = Limits { request_bytes: 60_000, txn_ops: 7, tight: true };

/// Seeds in turn are of these kinds.
const TURN: [(Kind, Limits); 8] = [
    (Kind::Three, USUAL),
    (Kind::One, USUAL),
    (Kind::MixedOne, USUAL),
    (Kind::One, TIGHT),
    (Kind::MixedTwo, USUAL),
    (Kind::One, USUAL),
    (Kind::Three, TIGHT),
    (Kind::One, USUAL),
];

impl Lane {
    /// The world of a seed.
    pub fn of(seed: u64) -> Lane {
        let (kind, limits) = TURN[(seed % TURN.len() as u64) as usize];
        let steps = match kind {
            _ if limits.tight => 8_000,
            Kind::One => 20_000,
            Kind::Three => 10_000,
            Kind::MixedOne | Kind::MixedTwo => 5_000,
        };
        // Mixed clusters are about HashKV; of the others each third goes without.
        let named_leases =
            matches!(kind, Kind::One | Kind::Three) && (seed / TURN.len() as u64 + seed).is_multiple_of(3);
        Lane { seed, kind, steps, named_leases, limits }
    }

    /// Whether members are killed and leadership moves.
    pub fn is_mixed(&self) -> bool {
        matches!(self.kind, Kind::MixedOne | Kind::MixedTwo)
    }
}
