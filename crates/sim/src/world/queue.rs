//! What happens next: by time, and at the same time in the order in which it was put in.

use super::{Event, Micros};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// All that is going to happen.
#[derive(Default)]
pub(super) struct Queue {
    waiting: BinaryHeap<Next>,
    number: u64,
}

struct Next {
    at: Micros,
    number: u64,
    event: Event,
}

impl Queue {
    pub fn push(&mut self, at: Micros, event: Event) {
        self.number += 1;
        self.waiting.push(Next { at, number: self.number, event });
    }

    /// The next that happens before `end`.
    pub fn pop_before(&mut self, end: Micros) -> Option<(Micros, Event)> {
        let next = self.waiting.peek()?;
        if next.at >= end {
            return None;
        }
        self.waiting.pop().map(|next| (next.at, next.event))
    }

    /// What does not stay never happens.
    pub fn retain(&mut self, mut stays: impl FnMut(&mut Event) -> bool) {
        let mut waiting = std::mem::take(&mut self.waiting).into_vec();
        waiting.retain_mut(|next| stays(&mut next.event));
        self.waiting = waiting.into();
    }
}

/// The greatest is the first that happens.
impl Ord for Next {
    fn cmp(&self, other: &Next) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Next) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Next) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Next {}
