//! Who can reach whom, how late and how often.

use crate::chance::{between, happens};
use crate::ledger::{Lasting, Ledger, TroubleId};
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
    /// Directed links that carry nothing, and what has cut them first.
    cut: BTreeMap<(usize, usize), TroubleId>,
    /// Directed links that deliver only from then on.
    clogged: BTreeMap<(usize, usize), Lasting>,
    /// Directed links that pass one message after the other: until when, and when the last one gets through.
    trickling: BTreeMap<(usize, usize), (Lasting, Micros)>,
    /// Until then every message may take up to [`SLOW`] more.
    slow: Lasting,
    /// Members whose messages, in both directions, take up to [`SLOW`] more.
    slow_members: BTreeMap<usize, Lasting>,
    /// Until then messages may come again later.
    echoes: Lasting,
    /// Until then three messages in ten are lost.
    lossy: Lasting,
}

/// What of a message a link that trickles takes, at most.
const TRICKLE: Micros = 60_000;
/// What is lost of messages in a lossy network.
const LOSSY: f64 = 0.3;
/// How many messages come again while there are echoes, and how much later at most.
const ECHO: (f64, Micros) = (0.1, 6_000_000);

/// What a slow network adds to a message's way, at most.
const SLOW: Micros = 500_000;

impl Net {
    /// All linked.
    pub fn new(weather: Weather) -> Net {
        Net {
            weather,
            cut: BTreeMap::new(),
            clogged: BTreeMap::new(),
            trickling: BTreeMap::new(),
            slow: Lasting::default(),
            slow_members: BTreeMap::new(),
            echoes: Lasting::default(),
            lossy: Lasting::default(),
        }
    }

    /// When the copies of a message arrive, from now: none, one or a few, the last one at the end.
    pub fn arrivals(&mut self, rng: &mut Rng, ledger: &mut Ledger, now: Micros, from: usize, to: usize) -> Vec<Micros> {
        if let Some(&by) = self.cut.get(&(from, to)) {
            ledger.strikes(by, now);
            return Vec::new();
        }
        if happens(rng, self.weather.loss) {
            return Vec::new();
        }
        if self.lossy.lasts(now) && happens(rng, LOSSY) {
            self.lossy.strikes(ledger, now);
            return Vec::new();
        }
        let copies = if happens(rng, self.weather.double) { 2 } else { 1 };
        let clog = self.clogged.get(&(from, to)).map_or(0, |clogged| {
            clogged.holds_up(ledger, now);
            clogged.until.saturating_sub(now)
        });
        let mut slow = self.slow.strikes(ledger, now);
        for member in [from, to] {
            slow |= self.slow_members.get(&member).is_some_and(|crawls| crawls.strikes(ledger, now));
        }
        let slow = if slow { SLOW } else { 0 };
        let (least, most) = (self.weather.delay_least, self.weather.delay_most + slow);
        let mut arrivals: Vec<Micros> = (0..copies).map(|_| clog + between(rng, least, most)).collect();
        if let Some((trickles, through)) = self.trickling.get_mut(&(from, to))
            && trickles.strikes(ledger, now)
        {
            *through = (*through).max(now) + rng.u64(1_000..TRICKLE);
            let behind = *through - now;
            arrivals.iter_mut().for_each(|wait| *wait += behind);
        }
        let (seldom, later) = ECHO;
        if self.echoes.lasts(now) && happens(rng, seldom) {
            self.echoes.strikes(ledger, now);
            arrivals.push(rng.u64(SLOW..later));
        }
        arrivals
    }

    /// Whether a link is cut.
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains_key(&(from, to))
    }

    /// Whether anything was done to links that [`Net::heal`] would end.
    pub fn is_whole(&self) -> bool {
        let for_now = [self.slow, self.echoes, self.lossy].iter().all(|lasting| lasting.until == 0);
        for_now
            && self.cut.is_empty()
            && self.clogged.is_empty()
            && self.trickling.is_empty()
            && self.slow_members.is_empty()
    }

    /// Cuts one direction.
    pub fn cut(&mut self, from: usize, to: usize, by: TroubleId) {
        self.cut.entry((from, to)).or_insert(by);
    }

    fn cut_all(&mut self, links: impl Iterator<Item = (usize, usize)>, by: TroubleId) {
        links.for_each(|(from, to)| self.cut(from, to, by));
    }

    /// One direction carries again.
    pub fn join(&mut self, from: usize, to: usize) {
        self.cut.remove(&(from, to));
    }

    /// One direction delivers nothing before that ends.
    pub fn clog(&mut self, from: usize, to: usize, clogged: Lasting) {
        self.clogged.insert((from, to), clogged);
    }

    /// One direction passes one message after the other until then.
    pub fn trickle(&mut self, from: usize, to: usize, trickles: Lasting) {
        self.trickling.insert((from, to), (trickles, 0));
    }

    /// All links of a member are slow until then.
    pub fn slow_member(&mut self, member: usize, crawls: Lasting) {
        self.slow_members.insert(member, crawls);
    }

    /// Messages may come again until then.
    pub fn echo(&mut self, echoes: Lasting) {
        self.echoes = echoes;
    }

    /// Many messages are lost until then.
    pub fn lose(&mut self, lossy: Lasting) {
        self.lossy = lossy;
    }

    /// Of `count` members each reaches its two neighbours only.
    pub fn ring(&mut self, count: usize, by: TroubleId) {
        let apart = |a: usize, b: usize| a != b && (a + 1) % count != b && (b + 1) % count != a;
        let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        self.cut_all(pairs.filter(|&(a, b)| apart(a, b)), by);
    }

    /// Two halves of `count` members, and one that reaches both.
    pub fn bridge(&mut self, middle: usize, count: usize, by: TroubleId) {
        let left = |member: usize| (member + count - middle) % count <= count / 2;
        let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        self.cut_all(pairs.filter(|&(a, b)| a != middle && b != middle && left(a) != left(b)), by);
    }

    /// What a member says reaches nobody, or nobody's words reach it.
    pub fn one_way(&mut self, member: usize, mute: bool, count: usize, by: TroubleId) {
        let others = (0..count).filter(|other| *other != member);
        self.cut_all(others.map(|other| if mute { (member, other) } else { (other, member) }), by);
    }

    /// All links are slow until then.
    pub fn slow_down(&mut self, slow: Lasting) {
        self.slow = slow;
    }

    /// Cuts both directions between two sides.
    pub fn split(&mut self, side: &BTreeSet<usize>, count: usize, by: TroubleId) {
        let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        self.cut_all(pairs.filter(|(a, b)| side.contains(a) != side.contains(b)), by);
    }

    /// All links carry again.
    pub fn heal(&mut self) {
        *self = Net::new(self.weather);
    }
}
