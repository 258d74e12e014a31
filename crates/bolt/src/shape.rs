//! The shape of a tree that is filled in key order: which pairs share a page, and which number each page gets.
//!
//! Both passes ask the same [`Shape`], so they cannot disagree. It sees sizes only and remembers one open page per level,
//! so memory is the height of the tree, however many pairs there are.

use crate::page::{ELEMENT_BYTES, PAGE_HEADER_BYTES};

/// How full a page is made, in percent: etcd's fill of the key bucket when it defragments.
const FILL_PERCENT: usize = 90;

/// Elements of a page are counted in 16 bits.
const ELEMENTS_MAX: usize = u16::MAX as usize;

/// One tree.
#[derive(Debug)]
pub(crate) struct Shape {
    page_bytes: usize,
    /// From the leaves up.
    levels: Vec<Level>,
    next_page: u64,
}

/// The page being filled on one level.
#[derive(Debug, Default)]
struct Level {
    used_bytes: usize,
    count: usize,
    first_key_bytes: usize,
}

/// A page that is complete. Its number is the next one in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed {
    /// 0 is a leaf.
    pub level: usize,
    pub page: u64,
    /// How many pages long it is, overflow included.
    pub run: u64,
}

impl Shape {
    /// A tree whose first page will be `next_page`.
    pub fn new(page_bytes: usize, next_page: u64) -> Shape {
        Shape { page_bytes, levels: Vec::new(), next_page }
    }

    /// The first page number not given away.
    pub fn next_page(&self) -> u64 {
        self.next_page
    }

    /// Makes room for the next pair and takes it in. Each page that had to be closed *before* that is given to `closed`, parents
    /// first: when a page is closed, its parent has room for it.
    pub fn add(&mut self, key_bytes: usize, value_bytes: usize, closed: &mut Vec<Closed>) {
        let size = ELEMENT_BYTES + key_bytes + value_bytes;
        if self.is_full(0, size) {
            self.close(0, closed);
        }
        self.put(0, size, key_bytes);
    }

    /// Closes all open pages, children first, and returns the number of the root: the last one. `None` for a tree
    /// without a pair.
    pub fn finish(&mut self, closed: &mut Vec<Closed>) -> Option<u64> {
        for level in 0.. {
            if level + 1 >= self.levels.len() {
                break;
            }
            self.close(level, closed);
        }
        let root = self.levels.len().checked_sub(1)?;
        Some(self.number(root, closed))
    }

    fn is_full(&self, level: usize, size: usize) -> bool {
        let limit = self.page_bytes * FILL_PERCENT / 100;
        // A branch has two children at least, however long their keys: else no level would be shorter than the one below.
        let least = if level == 0 { 1 } else { 2 };
        self.levels.get(level).is_some_and(|open| {
            let too_long = PAGE_HEADER_BYTES + open.used_bytes + size > limit;
            open.count >= least && (too_long || open.count == ELEMENTS_MAX)
        })
    }

    fn put(&mut self, level: usize, size: usize, key_bytes: usize) {
        if self.levels.len() == level {
            self.levels.push(Level::default());
        }
        let open = &mut self.levels[level];
        if open.count == 0 {
            open.first_key_bytes = key_bytes;
        }
        open.count += 1;
        open.used_bytes += size;
    }

    fn close(&mut self, level: usize, closed: &mut Vec<Closed>) {
        let key_bytes = self.levels[level].first_key_bytes;
        let size = ELEMENT_BYTES + key_bytes;
        if self.is_full(level + 1, size) {
            self.close(level + 1, closed);
        }
        self.number(level, closed);
        self.put(level + 1, size, key_bytes);
    }

    /// Gives the open page of a level its number and opens the next.
    fn number(&mut self, level: usize, closed: &mut Vec<Closed>) -> u64 {
        let full = std::mem::take(&mut self.levels[level]);
        assert!(full.count > 0, "an empty page is never closed");
        let page = self.next_page;
        let run = (PAGE_HEADER_BYTES + full.used_bytes).div_ceil(self.page_bytes) as u64;
        self.next_page += run;
        closed.push(Closed { level, page, run });
        page
    }
}
