//! What happened, folded into one number, and told in words when replayed.

use crate::world::Micros;

/// Two runs of one seed have the same trace hash, or the simulator is broken.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    lines: u64,
    tell: bool,
}

impl Trace {
    /// `tell`: print every line.
    pub fn new(tell: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, lines: 0, tell }
    }

    /// Notes one happening. The words are made only when they are told, so
    /// `numbers` must name what distinguishes this line from others.
    pub fn note(&mut self, now: Micros, numbers: [u64; 3], words: impl FnOnce() -> String) {
        self.lines += 1;
        for number in [now, numbers[0], numbers[1], numbers[2]] {
            self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
        }
        if self.tell {
            println!("{:>10}.{:03} ms  {}", now / 1_000, now % 1_000, words());
        }
    }

    /// The hash so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Happenings so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }
}
