//! The numbers that name things across the member.

/// A position in the log.
pub type Index = u64;
/// An election epoch.
pub type Term = u64;
/// A member of the cluster.
pub type MemberId = u64;
/// One proposal of one member; the reply finds its waiter by it.
pub type RequestId = u64;
/// One linearizable read that waits for a read round.
pub type ReadId = u64;

/// Makes ids that this member never makes twice, across restarts too.
///
/// The upper 16 bits come from the member's id, the next 40 from the birth,
/// the rest counts and runs over into the bits of the birth. etcd takes the
/// wall clock in milliseconds as the birth; a clock that reads the same at
/// two starts makes ids twice there, and an answer can reach another request.
/// Drawn by chance, a life of a thousand million ids meets an earlier one of
/// that length once in more than a hundred thousand starts.
#[derive(Debug)]
pub struct IdMaker {
    prefix: u64,
    suffix: u64,
}

impl IdMaker {
    /// `birth`: a number that no earlier life of this member had; its lower
    /// 40 bits count.
    pub fn new(member: MemberId, birth: u64) -> IdMaker {
        IdMaker { prefix: (member & 0xffff) << 48, suffix: (birth & ((1 << 40) - 1)) << 8 }
    }

    /// The next id.
    pub fn next_id(&mut self) -> u64 {
        self.suffix += 1;
        self.prefix | (self.suffix & ((1 << 48) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_between_members_and_lives() {
        let mut first = IdMaker::new(1, 1_000);
        let mut second = IdMaker::new(2, 1_000);
        let mut reborn = IdMaker::new(1, 2_000);
        let made: std::collections::BTreeSet<u64> =
            (0..1_000).flat_map(|_| [first.next_id(), second.next_id(), reborn.next_id()]).collect();
        assert_eq!(made.len(), 3_000);
    }
}
