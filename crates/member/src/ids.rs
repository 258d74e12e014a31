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
/// The upper 16 bits come from the member's id, the next 40 from the time of
/// birth in milliseconds, the rest counts; it runs over into the time bits,
/// which is safe as long as fewer than 256 ids a millisecond are made on
/// average over the life of the process. This is the layout that etcd uses.
#[derive(Debug)]
pub struct IdMaker {
    prefix: u64,
    suffix: u64,
}

impl IdMaker {
    /// `born_ms`: wall-clock milliseconds since 1970 at start.
    pub fn new(member: MemberId, born_ms: u64) -> IdMaker {
        IdMaker { prefix: (member & 0xffff) << 48, suffix: (born_ms & ((1 << 40) - 1)) << 8 }
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
