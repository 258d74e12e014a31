//! Processes that are killed and stopped.

use super::{Later, then};
use crate::stage::Stage;
use fastrand::Rng;
use std::time::Duration;

/// How long a process lives at most that is killed again and again.
const LIVES_MAX: Duration = Duration::from_millis(250);

pub fn kill_one(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let victims = vec![stage.any(chance)];
    kill(stage, victims, lasts)
}

pub fn kill_leader(stage: &mut Stage, _: &mut Rng, lasts: Duration) -> Later {
    kill(stage, vec![stage.leader()], lasts)
}

pub fn kill_majority(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let victims = stage.some(stage.majority(), chance);
    kill(stage, victims, lasts)
}

pub fn kill_all(stage: &mut Stage, _: &mut Rng, lasts: Duration) -> Later {
    let victims = (0..stage.members.len()).collect();
    // Nothing happens meanwhile: not for long.
    kill(stage, victims, lasts / 3)
}

fn kill(stage: &mut Stage, victims: Vec<usize>, lasts: Duration) -> Later {
    victims.iter().for_each(|&victim| stage.members[victim].hold_down());
    then(lasts, move |stage| let_up(stage, &victims))
}

fn let_up(stage: &mut Stage, victims: &[usize]) {
    for &victim in victims {
        let started = stage.members[victim].let_up();
        stage.must("a member starts", started);
    }
}

/// Killed soon after each start: in the middle of recovery, if that takes long.
pub fn crash_loop(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let victim = stage.any(chance);
    let times = chance.u32(2..6);
    stage.members[victim].hold_down();
    let mut later = Later::new();
    for turn in 1..=times {
        let at = lasts * turn / times;
        later.push((at, Box::new(move |stage: &mut Stage| let_up(stage, &[victim]))));
        if turn < times {
            // Dead before the next start, so that each end has its start.
            let lives = (lasts / times).min(LIVES_MAX).mul_f64(chance.f64());
            later.push((at + lives, Box::new(move |stage: &mut Stage| stage.members[victim].hold_down())));
        }
    }
    later
}

pub fn stop_one(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let victims = vec![stage.any(chance)];
    stop(stage, victims, lasts)
}

pub fn stop_leader(stage: &mut Stage, _: &mut Rng, lasts: Duration) -> Later {
    stop(stage, vec![stage.leader()], lasts)
}

pub fn stop_most(stage: &mut Stage, chance: &mut Rng, lasts: Duration) -> Later {
    let victims = stage.some(stage.members.len() - 1, chance);
    stop(stage, victims, lasts / 2)
}

fn stop(stage: &mut Stage, victims: Vec<usize>, lasts: Duration) -> Later {
    let births: Vec<(usize, u32)> =
        victims.into_iter().filter_map(|victim| Some((victim, stage.members[victim].freeze()?))).collect();
    then(lasts, move |stage| births.into_iter().for_each(|(victim, birth)| stage.members[victim].thaw(birth)))
}
