//! Processes that are killed and stopped. Felt is each process that ran until
//! then.

use super::{Fault, Later, away, leader, then};
use crate::felt::Felt;
use crate::stage::Stage;
use std::time::Duration;

/// How long a process lives at most that is killed again and again.
const LIVES_MAX: Duration = Duration::from_millis(250);

pub fn kill_one(stage: &mut Stage, fault: &mut Fault) -> Later {
    let victims = vec![stage.any(&mut fault.chance)];
    kill(stage, victims, fault, fault.lasts)
}

pub fn kill_leader(stage: &mut Stage, fault: &mut Fault) -> Later {
    let victims = vec![leader(stage, fault)];
    kill(stage, victims, fault, fault.lasts)
}

pub fn kill_majority(stage: &mut Stage, fault: &mut Fault) -> Later {
    let victims = stage.some(stage.majority(), &mut fault.chance);
    kill(stage, victims, fault, fault.lasts)
}

pub fn kill_all(stage: &mut Stage, fault: &mut Fault) -> Later {
    let victims = (0..stage.members.len()).collect();
    // Nothing happens meanwhile: not for long.
    kill(stage, victims, fault, fault.lasts / 3)
}

fn kill(stage: &mut Stage, victims: Vec<usize>, fault: &Fault, lasts: Duration) -> Later {
    victims.iter().for_each(|&victim| hold_down(stage, victim, &fault.felt));
    then(lasts, move |stage| let_up(stage, &victims))
}

fn hold_down(stage: &mut Stage, victim: usize, felt: &Felt) {
    let ran = stage.members[victim].hold_down();
    felt.note(u64::from(ran));
}

fn let_up(stage: &mut Stage, victims: &[usize]) {
    for &victim in victims {
        let started = stage.members[victim].let_up();
        stage.must("a member starts", started);
    }
}

/// Killed soon after each start: in the middle of recovery, if that takes long.
/// The first time is like any other kill; felt are those that come after it.
pub fn crash_loop(stage: &mut Stage, fault: &mut Fault) -> Later {
    let (chance, lasts) = (&mut fault.chance, fault.lasts);
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
            let felt = fault.felt.clone();
            later.push((at + lives, Box::new(move |stage: &mut Stage| hold_down(stage, victim, &felt))));
        }
    }
    later
}

pub fn stop_one(stage: &mut Stage, fault: &mut Fault) -> Later {
    let victims = vec![stage.any(&mut fault.chance)];
    stop(stage, victims, fault, fault.lasts)
}

pub fn stop_leader(stage: &mut Stage, fault: &mut Fault) -> Later {
    let leader = leader(stage, fault);
    let later = stop(stage, vec![leader], fault, fault.lasts);
    away(stage, leader, later)
}

pub fn stop_most(stage: &mut Stage, fault: &mut Fault) -> Later {
    let victims = stage.some(stage.members.len() - 1, &mut fault.chance);
    stop(stage, victims, fault, fault.lasts / 2)
}

fn stop(stage: &mut Stage, victims: Vec<usize>, fault: &Fault, lasts: Duration) -> Later {
    let mut births = Vec::new();
    for victim in victims {
        let member = &mut stage.members[victim];
        let ran = !member.is_frozen();
        let Some(birth) = member.freeze() else { continue };
        fault.felt.note(u64::from(ran));
        births.push((victim, birth));
    }
    then(lasts, move |stage| births.into_iter().for_each(|(victim, birth)| stage.members[victim].thaw(birth)))
}
