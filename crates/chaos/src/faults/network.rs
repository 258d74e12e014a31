//! Links that are cut, one way or both, slow, lossy, or come and go. Felt is
//! each packet that a fault has dropped, held back or doubled.

use super::{Fault, Later, away, leader, then};
use crate::felt::Felt;
use crate::stage::Stage;
use crate::wire::{Effect, Trouble};
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

fn harm(stage: &mut Stage, links: Links, effect: Effect, felt: &Felt, lasts: Duration) -> Later {
    let number = stage.wire.harm(Trouble { links, effect, felt: felt.clone() });
    then(lasts, move |stage| stage.wire.lift(number))
}

fn cut(stage: &mut Stage, links: Links, fault: &Fault, lasts: Duration) -> Later {
    harm(stage, links, Effect::Cut, &fault.felt, lasts)
}

fn isolate(stage: &mut Stage, group: &[usize], fault: &Fault) -> Later {
    let links = between(group, &without(&members(stage), group));
    cut(stage, links, fault, fault.lasts)
}

pub fn isolate_one(stage: &mut Stage, fault: &mut Fault) -> Later {
    let one = stage.any(&mut fault.chance);
    isolate(stage, &[one], fault)
}

/// Clients still reach it, and must not believe it.
pub fn isolate_leader(stage: &mut Stage, fault: &mut Fault) -> Later {
    let leader = leader(stage, fault);
    let later = isolate(stage, &[leader], fault);
    away(stage, leader, later)
}

pub fn split(stage: &mut Stage, fault: &mut Fault) -> Later {
    let group = stage.some(stage.majority(), &mut fault.chance);
    isolate(stage, &group, fault)
}

pub fn all_apart(stage: &mut Stage, fault: &mut Fault) -> Later {
    let all = members(stage);
    let links = between(&all, &all);
    cut(stage, links, fault, fault.lasts / 2)
}

/// With three members: one link is cut, and only one member sees a majority
/// whose members all see each other.
pub fn ring(stage: &mut Stage, fault: &mut Fault) -> Later {
    let order = stage.some(stage.members.len(), &mut fault.chance);
    let count = order.len();
    let mut links = between(&order, &order);
    links.retain(|(from, to)| {
        let place = |node| order.iter().position(|other| *other == node).expect("each has its place");
        let (from, to) = (place(*from), place(*to));
        let neighbours =
            if count <= 3 { from.abs_diff(to) == 1 } else { (from + 1) % count == to || (to + 1) % count == from };
        !neighbours
    });
    cut(stage, links, fault, fault.lasts)
}

pub fn leader_dumb(stage: &mut Stage, fault: &mut Fault) -> Later {
    let leader = leader(stage, fault);
    let links = members(stage).into_iter().filter(|&to| to != leader).map(|to| (leader, to)).collect();
    let later = cut(stage, links, fault, fault.lasts);
    away(stage, leader, later)
}

pub fn leader_deaf(stage: &mut Stage, fault: &mut Fault) -> Later {
    let leader = leader(stage, fault);
    let links = members(stage).into_iter().filter(|&from| from != leader).map(|from| (from, leader)).collect();
    let later = cut(stage, links, fault, fault.lasts);
    away(stage, leader, later)
}

pub fn one_way(stage: &mut Stage, fault: &mut Fault) -> Later {
    let two = stage.some(2, &mut fault.chance);
    cut(stage, vec![(two[0], two[1])], fault, fault.lasts)
}

pub fn flapping(stage: &mut Stage, fault: &mut Fault) -> Later {
    let two = stage.some(2, &mut fault.chance);
    let links = between(&two[..1], &two[1..]);
    let mut later = Later::new();
    let (mut at, lasts_ms) = (0, fault.lasts.as_millis() as u64);
    while at < lasts_ms {
        let (cut, whole) = (fault.chance.u64(20..600), fault.chance.u64(20..400));
        let trouble = Trouble { links: links.clone(), effect: Effect::Cut, felt: fault.felt.clone() };
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

pub fn slow(stage: &mut Stage, fault: &mut Fault) -> Later {
    let base = Duration::from_millis(fault.chance.u64(5..150));
    let jitter = Duration::from_millis(fault.chance.u64(1..100));
    let links = everywhere(stage);
    harm(stage, links, Effect::Late { base, jitter }, &fault.felt, fault.lasts)
}

pub fn loss(stage: &mut Stage, fault: &mut Fault) -> Later {
    let (links, percent) = (everywhere(stage), fault.chance.u8(2..30));
    harm(stage, links, Effect::Lost(percent), &fault.felt, fault.lasts)
}

/// Felt only if there were packets of both kinds.
pub fn doubled(stage: &mut Stage, fault: &mut Fault) -> Later {
    let jitter = Effect::Late { base: Duration::ZERO, jitter: Duration::from_millis(fault.chance.u64(2..60)) };
    let (links, percent) = (everywhere(stage), fault.chance.u8(10..60));
    let (twice, late) = (Felt::default(), Felt::default());
    let mut later = harm(stage, links.clone(), Effect::Doubled(percent), &twice, fault.lasts);
    later.extend(harm(stage, links, jitter, &late, fault.lasts));
    let felt = fault.felt.clone();
    later.extend(then(fault.lasts, move |_| felt.note(twice.times().min(late.times()))));
    later
}

/// Felt is each connection that was reset.
pub fn resets(stage: &mut Stage, fault: &mut Fault) -> Later {
    let (links, percent) = (everywhere(stage), fault.chance.u8(1..6));
    harm(stage, links, Effect::Reset(percent), &fault.felt, fault.lasts)
}

pub fn clients_cut(stage: &mut Stage, fault: &mut Fault) -> Later {
    let (one, clients) = (stage.any(&mut fault.chance), stage.members.len());
    cut(stage, between(&[one], &[clients]), fault, fault.lasts)
}

/// Requests arrive, answers do not.
pub fn clients_deaf(stage: &mut Stage, fault: &mut Fault) -> Later {
    let clients = stage.members.len();
    let links = members(stage).into_iter().map(|from| (from, clients)).collect();
    cut(stage, links, fault, fault.lasts / 2)
}
