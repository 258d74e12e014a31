//! What an operator does at the wrong moment.

use super::{Fault, Later, leader};
use crate::stage::{Stage, endpoint};
use client::{Client, Config};
use std::time::Duration;

/// The leader is asked to hand over to another, and may be unable to. Felt if it
/// says that it has.
pub fn move_leader(stage: &mut Stage, fault: &mut Fault) -> Later {
    let (leader, members) = (leader(stage, fault), stage.members.len());
    let target = (leader + fault.chance.usize(1..members)) % members;
    let felt = fault.felt.clone();
    stage.runtime.spawn(async move {
        let at = |number| {
            let mut config = Config::to([endpoint(number, members)]);
            config.timeout = Some(Duration::from_secs(2));
            Client::new(config)
        };
        let (Ok(leader), Ok(target)) = (at(leader), at(target)) else { return };
        // Either may be down just now, or be no leader any more: then nothing moves.
        if let Ok(status) = target.status().await
            && let Some(header) = status.header
        {
            let moved = leader.move_leader(header.member_id).await.is_ok();
            felt.note(u64::from(moved));
        }
    });
    Later::new()
}
