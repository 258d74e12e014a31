//! Words to the operator about who leads, and about messages that no correct
//! member sends.
//!
//! Whoever sends one of those may send thousands: a line a second is enough,
//! with the number of those that got none.

use crate::logging::throttle::Throttle;
use member::core::{Status, Strange};
use std::time::{Duration, Instant};

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// What has been said lately.
#[derive(Debug)]
pub struct Remarks(Throttle);

impl Default for Remarks {
    fn default() -> Remarks {
        Remarks(Throttle::new(PAUSE))
    }
}

impl Remarks {
    /// Says something of these, if it is time, and drops them.
    pub fn on_strange(&mut self, strange: &mut Vec<Strange>, now: Instant) {
        for Strange { from, kind, why } in strange.drain(..) {
            let Some(untold) = self.0.due("strange", now) else { continue };
            let from = crate::peer::hex(from);
            tracing::warn!("remote-peer-id" = %from, ?kind, reason = %why, "suppressed-lines" = untold, "refused a Raft message");
        }
    }
}

/// Says it when another member leads than `before`, in etcd's words, which people search for; 0 is nobody.
pub fn on_leader(before: u64, status: &Status) {
    let Some(words) = leader_words(status.id, (before, status.leader), status.term) else { return };
    match status.leader {
        0 => tracing::warn!("{words}"),
        _ => tracing::info!("{words}"),
    }
}

fn leader_words(me: u64, (before, after): (u64, u64), term: u64) -> Option<String> {
    match (before, after) {
        _ if before == after => None,
        (0, _) => Some(format!("raft.node: {me:x} elected leader {after:x} at term {term}")),
        (_, 0) => Some(format!("raft.node: {me:x} lost leader {before:x} at term {term}")),
        _ => Some(format!("raft.node: {me:x} changed leader from {before:x} to {after:x} at term {term}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leads_is_said_once_in_the_words_of_etcd() {
        let words = |before, after| leader_words(0xa1, (before, after), 7);
        assert_eq!(words(0, 0xb2).as_deref(), Some("raft.node: a1 elected leader b2 at term 7"));
        assert_eq!(words(0xb2, 0xa1).as_deref(), Some("raft.node: a1 changed leader from b2 to a1 at term 7"));
        assert_eq!(words(0xa1, 0).as_deref(), Some("raft.node: a1 lost leader a1 at term 7"));
        assert_eq!(words(5, 5), None);
        assert_eq!(words(0, 0), None);
    }
}
