//! Disks that are full or lose their power, and wall clocks that jump.

use super::{Fault, Later, leader, then};
use crate::stage::Stage;
use std::time::Duration;

/// A year, in seconds.
const YEAR: i64 = 365 * 24 * 3600;

pub fn full_one(stage: &mut Stage, fault: &mut Fault) -> Later {
    let victims = vec![stage.any(&mut fault.chance)];
    full(stage, victims, fault, fault.lasts)
}

pub fn full_leader(stage: &mut Stage, fault: &mut Fault) -> Later {
    let victims = vec![leader(stage, fault)];
    full(stage, victims, fault, fault.lasts)
}

pub fn full_all(stage: &mut Stage, fault: &mut Fault) -> Later {
    let victims = (0..stage.members.len()).collect();
    full(stage, victims, fault, fault.lasts / 2)
}

/// Felt by each member of which a write was refused: it says so, once, and once
/// more if it ends of it.
fn full(stage: &mut Stage, victims: Vec<usize>, fault: &Fault, lasts: Duration) -> Later {
    let mut said = Vec::new();
    for &victim in &victims {
        let member = &mut stage.members[victim];
        said.push((victim, member.log_bytes()));
        member.excuse();
        let filled = member.disk.fill();
        stage.must("a disk is filled", filled);
    }
    let felt = fault.felt.clone();
    then(lasts, move |stage| {
        for (victim, before) in said {
            // It may have ended just now, of this.
            let _ = stage.look();
            let member = &mut stage.members[victim];
            felt.note(u64::from(member.lacked_room_since(before)));
            member.disk.free();
            member.no_excuse();
        }
    })
}

pub fn power_of_one(stage: &mut Stage, fault: &mut Fault) -> Later {
    let victims = vec![stage.any(&mut fault.chance)];
    power(stage, victims, fault, fault.lasts)
}

pub fn power_of_all(stage: &mut Stage, fault: &mut Fault) -> Later {
    let victims = (0..stage.members.len()).collect();
    power(stage, victims, fault, fault.lasts / 3)
}

/// Felt by each disk that has less than was written to it.
fn power(stage: &mut Stage, victims: Vec<usize>, fault: &Fault, lasts: Duration) -> Later {
    for &victim in &victims {
        stage.members[victim].hold_down();
    }
    for &victim in &victims {
        match stage.members[victim].disk.lose_power() {
            Ok(lost) => fault.felt.note(u64::from(lost)),
            Err(error) => stage.must("a disk loses its power", Err(error)),
        }
    }
    then(lasts, move |stage| {
        for victim in victims {
            let started = stage.members[victim].let_up();
            stage.must("a member starts", started);
        }
    })
}

pub fn clock_forward(stage: &mut Stage, fault: &mut Fault) -> Later {
    let seconds = [1, 30, 3_600, YEAR][fault.chance.usize(0..4)];
    jump(stage, fault, seconds)
}

pub fn clock_back(stage: &mut Stage, fault: &mut Fault) -> Later {
    let seconds = [-1, -30, -3_600, -YEAR][fault.chance.usize(0..4)];
    jump(stage, fault, seconds)
}

/// The leader's clock one time in two, and back again at the end: two jumps.
/// Felt if its process has looked at the clock in between.
fn jump(stage: &mut Stage, fault: &mut Fault, seconds: i64) -> Later {
    let victim = if fault.chance.bool() { stage.leader() } else { stage.any(&mut fault.chance) };
    let Some(clock) = &mut stage.members[victim].clock else { return Later::new() };
    let moved = clock.jump(seconds, fault.felt.clone());
    stage.must("a clock is moved", moved.map_err(Into::into));
    then(fault.lasts, move |stage| {
        let Some(clock) = &mut stage.members[victim].clock else { return };
        let moved = clock.jump_back();
        stage.must("a clock is moved back", moved.map_err(Into::into));
    })
}
