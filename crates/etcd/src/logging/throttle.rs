//! Not the same line again and again: one now, the next after a while, with the number of those that were kept back.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Kinds of lines that are told apart at a time. While more come, none is told of the others: nobody can flood the log.
const KINDS_MAX: usize = 64;

/// Remembers what has been said lately.
#[derive(Debug)]
pub struct Throttle {
    pause: Duration,
    said: HashMap<String, (Instant, u64)>,
}

impl Throttle {
    /// Lines of one kind come at least `pause` apart.
    pub fn new(pause: Duration) -> Throttle {
        Throttle { pause, said: HashMap::new() }
    }

    /// Whether a line of this kind may be said now, and how many were not said since the last.
    pub fn due(&mut self, kind: &str, now: Instant) -> Option<u64> {
        if let Some((last, untold)) = self.said.get_mut(kind) {
            if now.duration_since(*last) < self.pause {
                *untold += 1;
                return None;
            }
            *last = now;
            return Some(std::mem::take(untold));
        }
        if self.said.len() >= KINDS_MAX {
            let pause = self.pause;
            self.said.retain(|_, (last, _)| now.duration_since(*last) < pause);
        }
        if self.said.len() >= KINDS_MAX {
            return None;
        }
        self.said.insert(kind.to_owned(), (now, 0));
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(60);

    #[test]
    fn each_kind_is_said_once_a_pause_and_the_rest_is_counted() {
        let (mut throttle, begun) = (Throttle::new(PAUSE), Instant::now());
        assert_eq!(throttle.due("a", begun), Some(0));
        assert_eq!((1..5).filter_map(|_| throttle.due("a", begun + PAUSE / 2)).count(), 0);
        assert_eq!(throttle.due("b", begun + PAUSE / 2), Some(0), "another kind");
        assert_eq!(throttle.due("a", begun + PAUSE), Some(4));
        assert_eq!(throttle.due("a", begun + 2 * PAUSE), Some(0));
    }

    #[test]
    fn many_kinds_do_not_flood_the_log_and_are_forgotten() {
        let (mut throttle, begun) = (Throttle::new(PAUSE), Instant::now());
        let said = |throttle: &mut Throttle, now| (0..1_000).filter_map(|n| throttle.due(&n.to_string(), now)).count();
        assert_eq!(said(&mut throttle, begun), KINDS_MAX);
        assert_eq!(said(&mut throttle, begun + PAUSE / 2), 0);
        assert_eq!(said(&mut throttle, begun + PAUSE), KINDS_MAX);
        assert!(throttle.said.len() <= KINDS_MAX);
    }
}
