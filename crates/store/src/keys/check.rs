//! What must hold of the tree at any time. For tests: it reads everything.

use super::{
    Keys,
    block::Parts,
    leaf::{LEAF_KEYS_MAX, Leaf},
    tally::Tally,
    tree::{BRANCH_CHILDREN_MAX, Branch, Child},
};

impl Keys {
    /// Asserts that the tree is well formed.
    #[doc(hidden)]
    pub fn check(&self) {
        if let Child::Branch(root) = &self.root {
            assert!(root.edges.len() >= 2, "a root with one child is its child");
        }
        let mut last = None;
        let (_, tally) = check(&self.root, &mut last);
        assert_eq!(tally, self.root.tally());
    }
}

/// Checks a subtree; `last` is the greatest key so far. Returns the depth and the numbers, counted anew.
fn check(child: &Child, last: &mut Option<Vec<u8>>) -> (usize, Tally) {
    match child {
        Child::Leaf(leaf) => (0, check_leaf(leaf, last)),
        Child::Branch(branch) => check_branch(branch, last),
    }
}

fn check_leaf(leaf: &Leaf, last: &mut Option<Vec<u8>>) -> Tally {
    assert!(leaf.keys.len() <= LEAF_KEYS_MAX, "a leaf is split in time");
    assert!(leaf.heads.count().is_none_or(|count| count == leaf.keys.len()), "each key has one head");
    for key in leaf.keys.iter().map(Parts::to_vec) {
        assert!(last.as_ref().is_none_or(|last| *last < key), "keys ascend");
        *last = Some(key);
    }
    let live = (0..leaf.keys.len()).filter(|at| !leaf.heads.get(*at).is_tombstone()).count();
    assert_eq!(leaf.tally().live, live);
    assert_eq!(leaf.tally().keys, leaf.keys.len());
    leaf.tally()
}

fn check_branch(branch: &Branch, last: &mut Option<Vec<u8>>) -> (usize, Tally) {
    assert!(!branch.edges.is_empty(), "a branch has a child");
    assert!(branch.edges.len() <= BRANCH_CHILDREN_MAX, "a branch is split in time");
    assert_eq!(branch.separators.len() + 1, branch.edges.len());
    let mut depths = Vec::new();
    let mut sum = Tally::default();
    for (at, edge) in branch.edges.iter().enumerate() {
        let low = at.checked_sub(1).map(|at| branch.separators.get(at).to_vec());
        let high = branch.separators.iter().nth(at).map(Parts::to_vec);
        assert!(edge.tally.keys > 0, "no child is empty");
        if let (Some(low), Some(last)) = (&low, &last) {
            assert!(last < low, "a separator is above the keys before it");
        }
        let (depth, tally) = check(&edge.child, last);
        assert_eq!(edge.tally, tally, "an edge knows what is below");
        assert!(low.is_none_or(|low| branch.first_key(at) >= low), "a separator is not above the keys after it");
        assert!(high.is_none_or(|high| last.as_ref().is_some_and(|last| *last < high)));
        depths.push(depth);
        sum += tally;
    }
    assert!(depths.iter().all(|depth| *depth == depths[0]), "all leaves lie at the same depth");
    assert_eq!(branch.sum, sum);
    (depths[0] + 1, Child::Branch(branch.clone().into()).tally())
}

impl Branch {
    fn first_key(&self, at: usize) -> Vec<u8> {
        match &self.edges[at].child {
            Child::Leaf(leaf) => leaf.keys.get(0).to_vec(),
            Child::Branch(branch) => branch.first_key(0),
        }
    }
}
