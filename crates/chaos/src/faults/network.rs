//! Links that are cut, one way or both, slow, lossy, or come and go.

use super::{Later, then};
use crate::stage::Stage;
use crate::wire::{Effect, Trouble};
use fastrand::Rng;
use std::time::Duration;

type Links = Vec<(usize, usize)>;

/// Links between members of different groups, both ways.
fn between(left: &[usize], right: &[usize]) -> Links {
    let pairs = left.iter().flat_map(|&from| right.iter().map(move |&to| (from, to)));
    pairs.filter(|(from, to)| from != to).flat_map(|(from, to)| [(from, to), (to, from)]).collect()
}

fn members(stage: &Stage) -> Vec<usize> {
    (0..stage.members.len()).collect()
}

fn without(all: &[usize], some: &[usize]) -> Vec<usize> {
    all.iter().copied().filter(|node| !some.contains(node)).collect()
}

fn harm(stage: &mut Stage, links: Links, effect: Effect, lasts: Duration) -> Later {
    let number = stage.wire.harm(Trouble { links, effect });
    then(lasts, move |stage| stage.wire.lift(number))
}

fn isolate(stage: &mut Stage, group: &[usize], lasts: Duration) -> Later {
    let links = between(group, &without(&members(stage), group));
    harm(stage, links, Effect::Cut, lasts)
}

pub fn isolate_one(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let one = stage.any(chance);
    isolate(stage, &[one], lasts)
}

/// Clients still reach it, and must not believe it.
pub fn isolate_leader(stage: &mut Stage, _: &mut Rng, lasts: Duration) -> Later {
    let leader = stage.leader();
    isolate(stage, &[leader], lasts)
}

pub fn split(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let group = stage.some(stage.majority(), chance);
    isolate(stage, &group, lasts)
}

pub fn all_apart(stage: &mut Stage, _: &mut Rng, lasts: Duration) -> Later {
    let all = members(stage);
    let links = between(&all, &all);
    harm(stage, links, Effect::Cut, lasts / 2)
}

/// With three members: one link is cut, and only one member sees a majority
/// whose members all see each other.
pub fn ring(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let order = stage.some(stage.members.len(), chance);
    let count = order.len();
    let mut links = between(&order, &order);
    links.retain(|(from, to)| {
        let place = |node| order.iter().position(|other| *other == node).expect("each has its place");
        let (from, to) = (place(*from), place(*to));
        let neighbours =
            if count <= 3 { from.abs_diff(to) == 1 } else { (from + 1) % count == to || (to + 1) % count == from };
        !neighbours
    });
    harm(stage, links, Effect::Cut, lasts)
}

pub fn leader_dumb(stage: &mut Stage, _: &mut Rng, lasts: Duration) -> Later {
    let leader = stage.leader();
    let links = members(stage).into_iter().filter(|&to| to != leader).map(|to| (leader, to)).collect();
    harm(stage, links, Effect::Cut, lasts)
}

pub fn leader_deaf(stage: &mut Stage, _: &mut Rng, lasts: Duration) -> Later {
    let leader = stage.leader();
    let links = members(stage).into_iter().filter(|&from| from != leader).map(|from| (from, leader)).collect();
    harm(stage, links, Effect::Cut, lasts)
}

pub fn one_way(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let two = stage.some(2, chance);
    harm(stage, vec![(two[0], two[1])], Effect::Cut, lasts)
}

pub fn flapping(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let two = stage.some(2, chance);
    let links = between(&two[..1], &two[1..]);
    let mut later = Later::new();
    let (mut at, lasts_ms) = (0, lasts.as_millis() as u64);
    while at < lasts_ms {
        let (cut, whole) = (chance.u64(20..600), chance.u64(20..400));
        let trouble = Trouble { links: links.clone(), effect: Effect::Cut };
        // Cut until the next whole time; each cut ends by itself.
        let until = Duration::from_millis(cut.min(lasts_ms - at));
        later.push((Duration::from_millis(at), Box::new(move |stage: &mut Stage| stage.wire.harm_for(trouble, until))));
        at += cut + whole;
    }
    later
}

fn everywhere(stage: &Stage) -> Links {
    let nodes: Vec<usize> = (0..stage.wire.nodes()).collect();
    nodes.iter().flat_map(|&from| nodes.iter().map(move |&to| (from, to))).collect()
}

pub fn slow(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let base = Duration::from_millis(chance.u64(5..150));
    let jitter = Duration::from_millis(chance.u64(1..100));
    let links = everywhere(stage);
    harm(stage, links, Effect::Late { base, jitter }, lasts)
}

pub fn loss(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let links = everywhere(stage);
    harm(stage, links, Effect::Lost(chance.u8(2..30)), lasts)
}

pub fn doubled(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let jitter = Effect::Late { base: Duration::ZERO, jitter: Duration::from_millis(chance.u64(2..60)) };
    let links = everywhere(stage);
    let mut later = harm(stage, links.clone(), Effect::Doubled(chance.u8(10..60)), lasts);
    later.extend(harm(stage, links, jitter, lasts));
    later
}

pub fn clients_cut(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let (one, clients) = (stage.any(chance), stage.members.len());
    harm(stage, between(&[one], &[clients]), Effect::Cut, lasts)
}

/// Requests arrive, answers do not.
pub fn clients_deaf(stage: &mut Stage, _: &mut Rng, lasts: Duration) -> Later {
    let clients = stage.members.len();
    let links = members(stage).into_iter().map(|from| (from, clients)).collect();
    harm(stage, links, Effect::Cut, lasts / 2)
}
