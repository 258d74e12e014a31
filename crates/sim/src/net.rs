//! Who can reach whom, how late and how often.

use crate::chance::{between, happens};
use crate::world::Micros;
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};

/// What the network does to messages, drawn once per run.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Shortest delay of a message.
    pub delay_least: Micros,
    /// Longest usual delay.
    pub delay_most: Micros,
    /// A message is lost.
    pub loss: f64,
    /// A message arrives twice.
    pub double: f64,
}

impl Weather {
    /// Weather of a run: from a quiet rack to a bad line.
    pub fn draw(rng: &mut Rng) -> Weather {
        let delay_least = rng.u64(20..500);
        Weather {
            delay_least,
            delay_most: delay_least + rng.u64(100..20_000),
            loss: [0.0, 0.001, 0.02, 0.1][rng.usize(..4)],
            double: [0.0, 0.0, 0.01, 0.2][rng.usize(..4)],
        }
    }

    /// No losses, short delays.
    pub fn fair() -> Weather {
        Weather { delay_least: 50, delay_most: 500, loss: 0.0, double: 0.0 }
    }
}

/// The links between members, by their position.
#[derive(Debug)]
pub struct Net {
    /// The present weather.
    pub weather: Weather,
    /// Directed links that carry nothing.
    cut: BTreeSet<(usize, usize)>,
    /// Directed links that deliver only from then on.
    clogged: BTreeMap<(usize, usize), Micros>,
    /// Until then every message may take up to [`SLOW`] more.
    slow_until: Micros,
}

/// What a slow network adds to a message's way, at most.
const SLOW: Micros = 500_000;

impl Net {
    /// All linked.
    pub fn new(weather: Weather) -> Net {
        Net { weather, cut: BTreeSet::new(), clogged: BTreeMap::new(), slow_until: 0 }
    }

    /// When the copies of a message arrive, from now: none, one or two.
    pub fn arrivals(&self, rng: &mut Rng, now: Micros, from: usize, to: usize) -> Vec<Micros> {
        if self.cut.contains(&(from, to)) || happens(rng, self.weather.loss) {
            return Vec::new();
        }
        let copies = if happens(rng, self.weather.double) { 2 } else { 1 };
        let clog = self.clogged.get(&(from, to)).map_or(0, |until| until.saturating_sub(now));
        let slow = if self.slow_until > now { SLOW } else { 0 };
        let (least, most) = (self.weather.delay_least, self.weather.delay_most + slow);
        (0..copies).map(|_| clog + between(rng, least, most)).collect()
    }

    /// Whether a link is cut.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Cuts one direction.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// One direction carries again.
    pub fn join(&mut self, from: usize, to: usize) {
        self.cut.remove(&(from, to));
    }

    /// One direction delivers nothing before `until`.
    pub fn clog(&mut self, from: usize, to: usize, until: Micros) {
        self.clogged.insert((from, to), until);
    }

    /// All links are slow until then.
    pub fn slow_until(&mut self, until: Micros) {
        self.slow_until = until;
    }

    /// Cuts both directions between two sides.
    pub fn split(&mut self, side: &BTreeSet<usize>, count: usize) {
        for a in 0..count {
            for b in 0..count {
                if side.contains(&a) != side.contains(&b) {
                    self.cut.insert((a, b));
                }
            }
        }
    }

    /// All links carry again.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.clogged.clear();
        self.slow_until = 0;
    }
}
