//! Every combination of a range's options, one after the other. The lanes of a
//! run begin at different places, so that together they have asked all.

use super::Grammar;
use crate::request;
use bytes::Bytes;
use proto::etcdserverpb::RangeRequest;

/// Ranges: one key, from a key on, up to a key, all, and none.
const SPANS: [(&[u8], &[u8]); 5] = [(b"a", b""), (b"aa", b"\0"), (b"aa", b"c/2"), (b"\0", b"\0"), (b"c/1", b"a")];
const LIMITS: [i64; 4] = [0, 1, 3, -1];
const FILTERS: usize = 5;
const REVISIONS: usize = 3;
/// Orders, targets, three switches.
const COMBINATIONS: usize = SPANS.len() * LIMITS.len() * FILTERS * REVISIONS * 3 * 5 * 2 * 2 * 2;
/// Without a common divisor, so that neighbours differ in all options.
const STRIDE: usize = 7_919;
/// At least so many are asked by each lane.
const EACH: usize = 1_800;

/// Where the lane of this seed begins.
pub(super) fn first(seed: u64) -> usize {
    (seed as usize).wrapping_mul(EACH) % COMBINATIONS
}

fn combination(number: usize) -> RangeRequest {
    let mut rest = number * STRIDE % COMBINATIONS;
    let mut one_of = |count: usize| {
        let choice = rest % count;
        rest /= count;
        choice
    };
    let (key, range_end) = SPANS[one_of(SPANS.len())];
    let mut range = RangeRequest {
        key: Bytes::from_static(key),
        range_end: Bytes::from_static(range_end),
        limit: LIMITS[one_of(LIMITS.len())],
        sort_order: one_of(3) as i32,
        sort_target: one_of(5) as i32,
        keys_only: one_of(2) == 1,
        count_only: one_of(2) == 1,
        serializable: one_of(2) == 1,
        revision: [0, request::current(-5), request::compacted(0)][one_of(REVISIONS)],
        ..RangeRequest::default()
    };
    let bound = request::current(-10);
    match one_of(FILTERS) {
        0 => {}
        1 => range.min_mod_revision = bound,
        2 => range.max_mod_revision = bound,
        3 => range.min_create_revision = bound,
        _ => range.max_create_revision = bound,
    }
    range
}

impl Grammar {
    /// The next combination.
    pub(super) fn sweep(&mut self) -> RangeRequest {
        self.swept += 1;
        combination(self.swept - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Lane;
    use std::collections::HashSet;

    #[test]
    fn no_combination_is_twice_among_all() {
        let all: HashSet<String> = (0..COMBINATIONS).map(|number| format!("{:?}", combination(number))).collect();
        assert_eq!(all.len(), COMBINATIONS);
    }

    #[test]
    fn the_seeds_of_a_check_ask_them_all() {
        let mut asked = HashSet::new();
        for seed in 0..crate::SEEDS {
            let mut grammar = Grammar::new(Lane::of(seed));
            grammar.write();
            asked.extend((first(seed)..grammar.swept).map(|number| number % COMBINATIONS));
        }
        assert_eq!(asked.len(), COMBINATIONS);
    }
}
