//! Words to the operator about messages that no correct member sends.
//!
//! Whoever sends one may send thousands: a line a second is enough, with the
//! number of those that got none.

use member::core::Strange;
use std::time::{Duration, Instant};

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// When something was said last, and what was not said since.
#[derive(Debug, Default)]
pub struct Remarks {
    last: Option<Instant>,
    untold: u64,
}

impl Remarks {
    /// Says something of these, if it is time, and drops them.
    pub fn on_strange(&mut self, strange: &mut Vec<Strange>, now: Instant) {
        for Strange { from, kind, why } in strange.drain(..) {
            if !self.is_due(now) {
                self.untold += 1;
                continue;
            }
            let (from, untold) = (crate::peer::hex(from), std::mem::take(&mut self.untold));
            tracing::warn!("remote-peer-id" = %from, ?kind, reason = %why, "suppressed-lines" = untold, "refused a Raft message");
        }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.last.is_none_or(|last| now.duration_since(last) >= PAUSE);
        if due {
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_second() {
        let mut remarks = Remarks::default();
        let begun = Instant::now();
        let one = Strange { from: 9, kind: raft::MessageKind::App, why: raft::Refused::Malformed };
        remarks.on_strange(&mut vec![one; 5], begun);
        assert_eq!(remarks.untold, 4);
        remarks.on_strange(&mut vec![one], begun + PAUSE / 2);
        assert_eq!(remarks.untold, 5);
        remarks.on_strange(&mut vec![one], begun + PAUSE);
        assert_eq!(remarks.untold, 0);
    }
}
