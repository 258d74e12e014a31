//! Chance, split into streams: a new fault does not change what clients ask.

use fastrand::Rng;

/// One stream for each subsystem, all from one seed.
#[derive(Debug)]
pub struct Chances {
    /// Delays and losses.
    pub net: Rng,
    /// How long disks take.
    pub disk: Rng,
    /// What clients ask.
    pub load: Rng,
    /// What goes wrong and when.
    pub faults: Rng,
    /// Seeds of members and their disks.
    pub births: Rng,
}

impl Chances {
    /// The streams of a seed.
    pub fn new(seed: u64) -> Chances {
        let stream = |number: u64| Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number << 56));
        Chances { net: stream(1), disk: stream(2), load: stream(3), faults: stream(4), births: stream(5) }
    }
}

/// Whether something with this probability happens now.
pub fn happens(rng: &mut Rng, probability: f64) -> bool {
    rng.f64() < probability
}

/// A time between two, with a long tail now and then.
pub fn between(rng: &mut Rng, least: u64, most: u64) -> u64 {
    let base = rng.u64(least..=most);
    if rng.u8(..) < 4 { base * 8 } else { base }
}
