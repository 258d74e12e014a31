//! Ranges of keys, and which of them hold a key.
//!
//! A tree of distinct ranges, in the order of their starts, then of their
//! ends; each node knows how far the ranges below it reach:
//!
//! ```text
//!               [f, k) → z
//!              ╱          ╲
//!     [b, c) → h           [p, z) → z
//!       ╲
//!        [d, h) → h                        [from, end) → reach
//! ```
//!
//! A look-up goes right only where a range may start at or before the key, and
//! nowhere where all end before it: a path for each range that is found. The
//! tree is balanced by heights (AVL), so no order of watches makes it deep.

use super::{End, WatcherId};
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::BTreeSet;

#[derive(Debug, Default)]
pub(super) struct Spans {
    root: Tree,
}

type Tree = Option<Box<Node>>;

#[derive(Debug)]
struct Node {
    from: Bytes,
    end: End,
    ids: BTreeSet<WatcherId>,
    /// The furthest end in this subtree.
    reach: End,
    height: u8,
    left: Tree,
    right: Tree,
}

impl Spans {
    /// False if it is there already.
    pub fn insert(&mut self, id: WatcherId, from: &Bytes, end: &End) -> bool {
        assert!(*end != End::Single, "a single key is no range");
        insert(&mut self.root, id, from, end)
    }

    /// False if it is not there.
    pub fn remove(&mut self, id: WatcherId, from: &Bytes, end: &End) -> bool {
        remove(&mut self.root, id, from, end)
    }

    /// Calls `found` for every watcher whose range holds `key`.
    pub fn find(&self, key: &[u8], mut found: impl FnMut(WatcherId)) {
        find(&self.root, key, &mut found);
    }
}

impl Node {
    fn order(&self, from: &Bytes, end: &End) -> Ordering {
        from.cmp(&self.from).then_with(|| end.cmp(&self.end))
    }

    /// How much higher the left side is.
    fn slant(&self) -> i16 {
        i16::from(height(&self.left)) - i16::from(height(&self.right))
    }

    /// Looks again at what is below.
    fn measure(&mut self) {
        self.height = 1 + height(&self.left).max(height(&self.right));
        let below = self.left.iter().chain(&self.right).map(|node| &node.reach);
        self.reach = below.fold(&self.end, std::cmp::max).clone();
    }
}

fn height(tree: &Tree) -> u8 {
    tree.as_ref().map_or(0, |node| node.height)
}

fn find(tree: &Tree, key: &[u8], found: &mut impl FnMut(WatcherId)) {
    let Some(node) = tree.as_ref().filter(|node| node.reach.is_beyond(key)) else { return };
    find(&node.left, key, found);
    if node.from[..] <= *key {
        if node.end.is_beyond(key) {
            node.ids.iter().copied().for_each(&mut *found);
        }
        find(&node.right, key, found);
    }
}

fn insert(tree: &mut Tree, id: WatcherId, from: &Bytes, end: &End) -> bool {
    let Some(node) = tree else {
        let (from, end) = (from.clone(), end.clone());
        let (reach, ids) = (end.clone(), BTreeSet::from([id]));
        *tree = Some(Box::new(Node { from, end, ids, reach, height: 1, left: None, right: None }));
        return true;
    };
    let new = match node.order(from, end) {
        Ordering::Less => insert(&mut node.left, id, from, end),
        Ordering::Greater => insert(&mut node.right, id, from, end),
        Ordering::Equal => return node.ids.insert(id),
    };
    settle(tree);
    new
}

fn remove(tree: &mut Tree, id: WatcherId, from: &Bytes, end: &End) -> bool {
    let Some(node) = tree else { return false };
    let gone = match node.order(from, end) {
        Ordering::Less => remove(&mut node.left, id, from, end),
        Ordering::Greater => remove(&mut node.right, id, from, end),
        Ordering::Equal => {
            let gone = node.ids.remove(&id);
            if node.ids.is_empty() {
                let right = node.right.take();
                *tree = join(node.left.take(), right);
            }
            gone
        }
    };
    settle(tree);
    gone
}

/// One tree of two whose heights differ by at most one, all of `left` before
/// all of `right`. What is on top is not settled yet.
fn join(left: Tree, mut right: Tree) -> Tree {
    match take_first(&mut right) {
        Some(mut first) => {
            (first.left, first.right) = (left, right);
            Some(first)
        }
        None => left,
    }
}

fn take_first(tree: &mut Tree) -> Tree {
    let node = tree.as_mut()?;
    if node.left.is_some() {
        let first = take_first(&mut node.left);
        settle(tree);
        return first;
    }
    let right = node.right.take();
    std::mem::replace(tree, right)
}

/// Balances the top, of which one side was changed by one, and measures it.
fn settle(tree: &mut Tree) {
    let Some(node) = tree else { return };
    match node.slant() {
        2.. => {
            if node.left.as_ref().is_some_and(|left| left.slant() < 0) {
                turn_left(&mut node.left);
            }
            turn_right(tree);
        }
        ..=-2 => {
            if node.right.as_ref().is_some_and(|right| right.slant() > 0) {
                turn_right(&mut node.right);
            }
            turn_left(tree);
        }
        _ => node.measure(),
    }
}

/// Its left side comes to the top.
fn turn_right(tree: &mut Tree) {
    let Some(mut node) = tree.take() else { return };
    let Some(mut top) = node.left.take() else {
        *tree = Some(node);
        return;
    };
    node.left = top.right.take();
    node.measure();
    top.right = Some(node);
    top.measure();
    *tree = Some(top);
}

/// Its right side comes to the top.
fn turn_left(tree: &mut Tree) {
    let Some(mut node) = tree.take() else { return };
    let Some(mut top) = node.right.take() else {
        *tree = Some(node);
        return;
    };
    node.right = top.left.take();
    node.measure();
    top.left = Some(node);
    top.measure();
    *tree = Some(top);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Short keys of few letters, so that ranges touch, nest and repeat.
    fn key(chance: &mut fastrand::Rng) -> Bytes {
        (0..chance.usize(1..4)).map(|_| chance.u8(b'a'..=b'd')).collect()
    }

    /// The height, if everything in it is as it must be.
    fn checked(tree: &Tree) -> u8 {
        let Some(node) = tree else { return 0 };
        let (left, right) = (checked(&node.left), checked(&node.right));
        assert!(left.abs_diff(right) <= 1, "not balanced");
        assert_eq!(node.height, 1 + left.max(right));
        let below = node.left.iter().chain(&node.right);
        assert_eq!(&node.reach, below.map(|node| &node.reach).fold(&node.end, std::cmp::max));
        assert!(node.left.iter().all(|below| node.order(&below.from, &below.end) == Ordering::Less));
        assert!(node.right.iter().all(|below| node.order(&below.from, &below.end) == Ordering::Greater));
        assert!(!node.ids.is_empty());
        node.height
    }

    #[test]
    fn it_finds_what_a_search_of_all_finds() {
        let chance = &mut fastrand::Rng::with_seed(7);
        for round in 0..60 {
            let mut spans = Spans::default();
            let mut all: BTreeMap<WatcherId, (Bytes, End)> = BTreeMap::new();
            let most = [3, 20, 200][round % 3];
            let mut found_any = 0;
            for step in 0..600 {
                let known = all.keys().nth(chance.usize(..all.len().max(1))).copied();
                if let Some(id) = known.filter(|_| chance.usize(..most) < all.len()) {
                    let (from, end) = all.remove(&id).unwrap();
                    assert!(spans.remove(id, &from, &end));
                    assert!(!spans.remove(id, &from, &end), "it has gone");
                } else {
                    let id = (chance.u64(..4), step);
                    let (from, end) = (key(chance), key(chance));
                    let end = if chance.u8(..8) == 0 {
                        End::Open
                    } else {
                        End::Before(end.max([&from[..], b"\0"].concat().into()))
                    };
                    assert!(spans.insert(id, &from, &end));
                    assert!(!spans.insert(id, &from, &end), "it is there");
                    all.insert(id, (from, end));
                }
                checked(&spans.root);
                let key = key(chance);
                let mut found = Vec::new();
                spans.find(&key, |id| found.push(id));
                found.sort_unstable();
                let holds = |(from, end): &(Bytes, End)| end.covers(from, &key);
                let expected: Vec<WatcherId> = all.iter().filter(|(_, span)| holds(span)).map(|(&id, _)| id).collect();
                assert_eq!(found, expected, "of {key:?}");
                found_any += found.len();
            }
            assert!(found_any > 100, "the stories are about something");
        }
    }

    #[test]
    fn no_order_makes_it_deep() {
        let mut spans = Spans::default();
        let span = |number: u32| {
            let from = Bytes::copy_from_slice(&number.to_be_bytes());
            (from.clone(), End::Before([&from[..], b"/"].concat().into()))
        };
        let count = 1 << 14;
        for number in (0..count / 2).chain((count / 2..count).rev()) {
            let (from, end) = span(number);
            assert!(spans.insert((1, 0), &from, &end));
        }
        assert!(checked(&spans.root) <= 21, "1.44 times the logarithm");
        for number in (0..count).filter(|number| number % 64 != 5) {
            let (from, end) = span(number);
            assert!(spans.remove((1, 0), &from, &end));
        }
        assert!(checked(&spans.root) <= 12);
    }
}
