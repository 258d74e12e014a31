//! What a majority agrees on. Only computes; knows members by id and nothing about roles or time.

use crate::{Index, MemberId};

/// How a vote stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tally {
    /// A majority said yes.
    Won,
    /// A majority said no, or can no longer say yes.
    Lost,
    /// Open.
    Pending,
}

/// The highest index that a majority of `voters` holds; `None` when there are no voters, which holds nothing back.
pub(crate) fn majority_index(voters: &[MemberId], held: impl Fn(MemberId) -> Index) -> Option<Index> {
    const ON_STACK: usize = 9;
    let count = voters.len();
    if count == 0 {
        return None;
    }
    let mut stack = [0; ON_STACK];
    let mut heap = Vec::new();
    let found = if count <= ON_STACK {
        &mut stack[..count]
    } else {
        heap.resize(count, 0);
        &mut heap[..]
    };
    for (slot, id) in found.iter_mut().zip(voters) {
        *slot = held(*id);
    }
    found.sort_unstable();
    Some(found[(count - 1) / 2])
}

/// How `voters` decide, where `vote` tells what is known of each. No voters agree to everything.
pub(crate) fn majority_vote(voters: &[MemberId], vote: impl Fn(MemberId) -> Option<bool>) -> Tally {
    let needed = voters.len() / 2 + 1;
    let mut yes = 0;
    let mut open = 0;
    for id in voters {
        match vote(*id) {
            Some(true) => yes += 1,
            Some(false) => {}
            None => open += 1,
        }
    }
    if voters.is_empty() || yes >= needed {
        Tally::Won
    } else if yes + open >= needed {
        Tally::Pending
    } else {
        Tally::Lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_is_what_more_than_half_hold() {
        let held = |id| id * 10;
        assert_eq!(majority_index(&[], held), None);
        assert_eq!(majority_index(&[4], held), Some(40));
        assert_eq!(majority_index(&[1, 2], held), Some(10));
        assert_eq!(majority_index(&[1, 2, 3], held), Some(20));
        assert_eq!(majority_index(&[1, 2, 3, 4], held), Some(20));
        assert_eq!(majority_index(&[5, 1, 4, 2, 3], held), Some(30));
        let many: Vec<u64> = (1..=21).collect();
        assert_eq!(majority_index(&many, held), Some(110));
    }

    #[test]
    fn votes() {
        let none = |_| None;
        assert_eq!(majority_vote(&[], none), Tally::Won);
        assert_eq!(majority_vote(&[1], none), Tally::Pending);
        let two_yes = |id| (id <= 2).then_some(true);
        assert_eq!(majority_vote(&[1, 2, 3], two_yes), Tally::Won);
        assert_eq!(majority_vote(&[1, 2, 3, 4], two_yes), Tally::Pending);
        let two_no = |id| (id <= 2).then_some(false);
        assert_eq!(majority_vote(&[1, 2, 3], two_no), Tally::Lost);
        assert_eq!(majority_vote(&[1, 2, 3, 4], two_no), Tally::Lost);
        assert_eq!(majority_vote(&[1, 2, 3, 4, 5], two_no), Tally::Pending);
    }
}
