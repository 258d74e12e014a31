//! What an operator does at the wrong moment.

use super::Later;
use crate::stage::{Stage, endpoint};
use client::{Client, Config};
use fastrand::Rng;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The leader is asked to hand over, and may be unable to.
pub fn move_leader(stage: &mut Stage, chance: &mut Rng, _: Duration) -> Later {
    let (leader, target, members) = (stage.leader(), stage.any(chance), stage.members.len());
    let led_over = stage.led_over.clone();
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
            led_over.fetch_add(usize::from(moved), Ordering::Relaxed);
        }
    });
    Later::new()
}
