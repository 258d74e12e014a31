//! An ordered map whose clone is O(1): a B-tree of shared pages, copied on write.
//!
//! A page is changed in place while nobody else holds it. After a clone, the
//! first change below a page copies the pages on its path and no others, so a
//! View per batch costs a few small copies however large the map is.
//!
//! ```text
//!            inner [ 3 | 40 | 77 ]          a child holds keys from its own bound
//!             /       |       \             up to the next bound; the first bound
//!         [3 8 9] [40 41 60] [77 90]        is only a hint: smaller keys go there too
//! ```
//!
//! Nothing here knows leases. It must never hand out a reference that allows
//! changing a key.

use std::borrow::Borrow;
use std::sync::Arc;

/// Rows of a leaf, children of an inner page.
const PAGE_ROWS_MAX: usize = 32;
/// A page with fewer is merged into a neighbour that has room.
const PAGE_ROWS_MIN: usize = 8;

#[derive(Clone, Debug)]
enum Page<K, V> {
    Leaf(Vec<(K, V)>),
    Inner(Vec<(K, Arc<Page<K, V>>)>),
}

impl<K, V> Page<K, V> {
    fn rows(&self) -> usize {
        match self {
            Page::Leaf(rows) => rows.len(),
            Page::Inner(children) => children.len(),
        }
    }
}

/// See the module's essay.
#[derive(Clone, Debug)]
pub struct Ordered<K, V> {
    root: Option<Arc<Page<K, V>>>,
    len: usize,
}

impl<K, V> Default for Ordered<K, V> {
    fn default() -> Self {
        Ordered { root: None, len: 0 }
    }
}

impl<K: Ord + Clone, V: Clone> Ordered<K, V> {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut page = self.root.as_ref()?;
        loop {
            match page.as_ref() {
                Page::Leaf(rows) => return find(rows, key).ok().map(|at| &rows[at].1),
                Page::Inner(children) => page = &children[child_of(children, key)].1,
            }
        }
    }

    /// The value of a key, to change. Copies the path when it is shared.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        let mut page = self.root.as_mut()?;
        loop {
            match Arc::make_mut(page) {
                Page::Leaf(rows) => return find(rows, key).ok().map(|at| &mut rows[at].1),
                Page::Inner(children) => {
                    let at = child_of(children, key);
                    page = &mut children[at].1;
                }
            }
        }
    }

    /// Sets the value of a key. Returns the value it replaces.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Some(root) = self.root.as_mut() else {
            self.root = Some(Arc::new(Page::Leaf(vec![(key, value)])));
            self.len = 1;
            return None;
        };
        let (old, split) = insert_below(root, key, value);
        if let Some(right) = split {
            let left = (first_key(root).clone(), Arc::clone(root));
            *root = Arc::new(Page::Inner(vec![left, right]));
        }
        self.len += usize::from(old.is_none());
        old
    }

    /// Takes a key out. Returns its value; without such a key nothing is copied.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.get(key)?;
        let root = self.root.as_mut()?;
        let old = remove_below(root, key);
        while let Page::Inner(children) = root.as_ref()
            && children.len() == 1
        {
            *root = Arc::clone(&children[0].1);
        }
        if root.rows() == 0 {
            self.root = None;
        }
        self.len -= 1;
        assert_eq!(self.len == 0, self.root.is_none());
        old
    }

    /// Every pair, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut path: Vec<(&Page<K, V>, usize)> = Vec::new();
        path.extend(self.root.as_deref().map(|root| (root, 0)));
        std::iter::from_fn(move || {
            loop {
                let (page, at) = path.last_mut()?;
                let (page, row) = (*page, *at);
                *at += 1;
                if row == page.rows() {
                    path.pop();
                    continue;
                }
                match page {
                    Page::Leaf(rows) => return Some((&rows[row].0, &rows[row].1)),
                    Page::Inner(children) => path.push((children[row].1.as_ref(), 0)),
                }
            }
        })
    }
}

fn find<K: Borrow<Q>, V, Q: Ord + ?Sized>(rows: &[(K, V)], key: &Q) -> Result<usize, usize> {
    rows.binary_search_by(|row| row.0.borrow().cmp(key))
}

fn child_of<K: Borrow<Q>, P, Q: Ord + ?Sized>(children: &[(K, P)], key: &Q) -> usize {
    children.partition_point(|child| child.0.borrow() <= key).saturating_sub(1)
}

fn first_key<K, V>(page: &Page<K, V>) -> &K {
    match page {
        Page::Leaf(rows) => &rows[0].0,
        Page::Inner(children) => first_key(&children[0].1),
    }
}

/// The upper half of rows that have become too many.
fn split_off<T>(rows: &mut Vec<T>) -> Option<Vec<T>> {
    (rows.len() > PAGE_ROWS_MAX).then(|| rows.split_off(rows.len() / 2))
}

/// A page that was split off, with the lowest key it may hold.
type Split<K, V> = Option<(K, Arc<Page<K, V>>)>;

fn insert_below<K: Ord + Clone, V: Clone>(page: &mut Arc<Page<K, V>>, key: K, value: V) -> (Option<V>, Split<K, V>) {
    match Arc::make_mut(page) {
        Page::Leaf(rows) => match find(rows, &key) {
            Ok(at) => (Some(std::mem::replace(&mut rows[at].1, value)), None),
            Err(at) => {
                rows.insert(at, (key, value));
                let right = split_off(rows);
                (None, right.map(|rows| (rows[0].0.clone(), Arc::new(Page::Leaf(rows)))))
            }
        },
        Page::Inner(children) => {
            let at = child_of(children, &key);
            let (old, split) = insert_below(&mut children[at].1, key, value);
            let Some(right) = split else { return (old, None) };
            children.insert(at + 1, right);
            let right = split_off(children);
            (old, right.map(|rows| (rows[0].0.clone(), Arc::new(Page::Inner(rows)))))
        }
    }
}

fn remove_below<K: Ord + Clone + Borrow<Q>, V: Clone, Q: Ord + ?Sized>(
    page: &mut Arc<Page<K, V>>,
    key: &Q,
) -> Option<V> {
    match Arc::make_mut(page) {
        Page::Leaf(rows) => find(rows, key).ok().map(|at| rows.remove(at).1),
        Page::Inner(children) => {
            let at = child_of(children, key);
            let old = remove_below(&mut children[at].1, key);
            let rows = children[at].1.rows();
            if rows == 0 {
                children.remove(at);
            } else if rows < PAGE_ROWS_MIN {
                merge_near(children, at);
            }
            old
        }
    }
}

/// Puts a small child together with a neighbour, if one has room for it.
fn merge_near<K: Ord + Clone, V: Clone>(children: &mut Vec<(K, Arc<Page<K, V>>)>, at: usize) {
    let fits = |left: usize| {
        left + 1 < children.len() && children[left].1.rows() + children[left + 1].1.rows() <= PAGE_ROWS_MAX
    };
    let left = match at.checked_sub(1) {
        Some(before) if fits(before) => before,
        _ if fits(at) => at,
        _ => return,
    };
    let (_, right) = children.remove(left + 1);
    match (Arc::make_mut(&mut children[left].1), Arc::unwrap_or_clone(right)) {
        (Page::Leaf(rows), Page::Leaf(more)) => rows.extend(more),
        (Page::Inner(rows), Page::Inner(more)) => rows.extend(more),
        _ => unreachable!("siblings are on one level"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A fixed sequence that looks random.
    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        let mut state = seed;
        std::iter::from_fn(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            Some(state >> 33)
        })
    }

    fn same(map: &Ordered<u64, u64>, model: &BTreeMap<u64, u64>) {
        assert_eq!(map.len(), model.len());
        assert!(map.iter().eq(model.iter()));
    }

    #[test]
    fn agrees_with_a_plain_map_and_clones_stand_still() {
        let mut map = Ordered::default();
        let mut model = BTreeMap::new();
        let mut kept = Vec::new();
        let mut random = numbers(1);
        for step in 0..40_000u64 {
            // Grows for the first half, shrinks in the second.
            let (key, dice) = (random.next().unwrap() % 3000, random.next().unwrap() % 10);
            let grow = if step < 20_000 { 7 } else { 3 };
            if dice < grow {
                assert_eq!(map.insert(key, step), model.insert(key, step));
            } else {
                assert_eq!(map.remove(&key), model.remove(&key));
            }
            assert_eq!(map.get(&key), model.get(&key));
            if step % 4000 == 0 {
                kept.push((map.clone(), model.clone()));
            }
        }
        same(&map, &model);
        for (map, model) in &kept {
            same(map, model);
        }
        for key in 0..3000 {
            assert_eq!(map.remove(&key), model.remove(&key));
        }
        assert!(map.is_empty());
        same(&map, &model);
    }

    #[test]
    fn a_value_changes_in_place_but_not_for_a_clone() {
        let mut map = Ordered::default();
        for key in 0..1000u64 {
            map.insert(key, 0u64);
        }
        let before = map.clone();
        *map.get_mut(&500).unwrap() = 9;
        assert_eq!(map.get_mut(&1000), None);
        assert_eq!((map.get(&500), before.get(&500)), (Some(&9), Some(&0)));
    }

    #[test]
    fn keys_in_order_and_backwards() {
        let mut map = Ordered::default();
        for key in (0..5000u64).rev() {
            map.insert(key, key);
        }
        assert!(map.iter().map(|(key, _)| *key).eq(0..5000));
        for key in 0..5000u64 {
            assert_eq!(map.remove(&key), Some(key));
        }
        assert!(map.is_empty());
    }
}
