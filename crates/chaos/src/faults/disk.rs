//! Disks that are full or lose their power, and wall clocks that jump.

use super::{Later, then};
use crate::clock::Clock;
use crate::stage::Stage;
use fastrand::Rng;
use std::time::Duration;

/// A year, in seconds.
const YEAR: i64 = 365 * 24 * 3600;

pub fn full_one(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let victims = vec![stage.any(chance)];
    full(stage, victims, lasts)
}

pub fn full_leader(stage: &mut Stage, _: &mut Rng, lasts: Duration) -> Later {
    full(stage, vec![stage.leader()], lasts)
}

pub fn full_all(stage: &mut Stage, _: &mut Rng, lasts: Duration) -> Later {
    let victims = (0..stage.members.len()).collect();
    full(stage, victims, lasts / 2)
}

fn full(stage: &mut Stage, victims: Vec<usize>, lasts: Duration) -> Later {
    for &victim in &victims {
        stage.members[victim].excuse();
        let filled = stage.members[victim].disk.fill();
        stage.must("a disk is filled", filled);
    }
    then(lasts, move |stage| {
        for victim in victims {
            // It may have ended just now, of this.
            let _ = stage.look();
            stage.members[victim].disk.free();
            stage.members[victim].no_excuse();
        }
    })
}

pub fn power_of_one(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let victims = vec![stage.any(chance)];
    power(stage, victims, lasts)
}

pub fn power_of_all(stage: &mut Stage, _: &mut Rng, lasts: Duration) -> Later {
    let victims = (0..stage.members.len()).collect();
    power(stage, victims, lasts / 3)
}

fn power(stage: &mut Stage, victims: Vec<usize>, lasts: Duration) -> Later {
    victims.iter().for_each(|&victim| stage.members[victim].hold_down());
    for &victim in &victims {
        let lost = stage.members[victim].disk.lose_power();
        stage.must("a disk loses its power", lost);
    }
    then(lasts, move |stage| {
        for victim in victims {
            let started = stage.members[victim].let_up();
            stage.must("a member starts", started);
        }
    })
}

pub fn clock_forward(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let seconds = [1, 30, 3_600, YEAR][chance.usize(0..4)];
    jump(stage, chance, seconds, lasts)
}

pub fn clock_back(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let seconds = [-1, -30, -3_600, -YEAR][chance.usize(0..4)];
    jump(stage, chance, seconds, lasts)
}

/// The leader's clock one time in two, and back again at the end: two jumps.
fn jump(stage: &mut Stage, chance: &mut Rng, seconds: i64, lasts: Duration) -> Later {
    let victim = if chance.bool() { stage.leader() } else { stage.any(chance) };
    with_clock(stage, victim, |clock| clock.jump(seconds));
    then(lasts, move |stage| with_clock(stage, victim, Clock::jump_back))
}

fn with_clock(stage: &mut Stage, victim: usize, act: impl FnOnce(&mut Clock) -> std::io::Result<()>) {
    if let Some(clock) = &mut stage.members[victim].clock {
        let moved = act(clock).map_err(Into::into);
        stage.must("a clock is moved", moved);
    }
}
