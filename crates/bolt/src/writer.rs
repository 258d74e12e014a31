//! Writes a bbolt image from its first byte to its last, in two passes over the same pairs.
//!
//! The first page of the file names the root, and the root is known last. So the first pass ([`Planner`]) is told the sizes
//! and only counts pages; then the size of the whole is known, and the second pass ([`Writer`]) is fed the pairs and emits
//! page after page, never going back. Memory: in the first pass a few numbers per level of a tree; in the second one open page per
//! level; in both a few numbers per bucket.

use std::collections::BTreeMap;
use std::io;

use crate::page::{
    BUCKET_HEADER_BYTES, ELEMENT_BYTES, ELEMENT_IS_BUCKET, FLAG_BRANCH, FLAG_FREELIST, FLAG_LEAF, Meta,
    PAGE_BYTES_RANGE, PAGE_HEADER_BYTES, header,
};
use crate::shape::{Closed, Shape};
use crate::{Error, KEY_BYTES_MAX, PAGE_BYTES, VALUE_BYTES_MAX};

/// The page of the (empty) freelist, after the two meta pages.
const FREELIST_PAGE: u64 = 2;

/// Value of a bucket without pairs: its header and an empty leaf page, inline.
const EMPTY_BUCKET_BYTES: usize = BUCKET_HEADER_BYTES + PAGE_HEADER_BYTES;

/// The first pass: is told what will be written and counts pages.
#[derive(Debug)]
pub struct Planner {
    page_bytes: usize,
    next_page: u64,
    open: Option<(Vec<u8>, Shape)>,
    /// Finished buckets and the sizes of the values that stand for them.
    done: BTreeMap<Vec<u8>, usize>,
    pairs: u64,
    closed: Vec<Closed>,
}

/// The layout of an image: what the second pass has to arrive at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    page_bytes: usize,
    root: u64,
    high_water: u64,
    pairs: u64,
}

impl Default for Planner {
    fn default() -> Planner {
        Planner::new()
    }
}

impl Planner {
    /// A plan with etcd's usual pages of 4096 bytes.
    pub fn new() -> Planner {
        Planner::with_page_bytes(PAGE_BYTES)
    }

    /// A plan with another page size: a power of two from 1 KiB to 16 MiB.
    ///
    /// # Panics
    /// With any other size.
    pub fn with_page_bytes(page_bytes: usize) -> Planner {
        assert!(
            page_bytes.is_power_of_two() && PAGE_BYTES_RANGE.contains(&page_bytes),
            "a page cannot have {page_bytes} bytes"
        );
        Planner {
            page_bytes,
            next_page: FREELIST_PAGE + 1,
            open: None,
            done: BTreeMap::new(),
            pairs: 0,
            closed: Vec::new(),
        }
    }

    /// Begins a bucket; the pairs that follow are in it. Buckets may come in any order, but in the same in both passes.
    pub fn bucket(&mut self, name: &[u8]) -> Result<(), Error> {
        self.end_bucket();
        check_name(name, self.done.contains_key(name))?;
        let shape = Shape::new(self.page_bytes, self.next_page);
        self.open = Some((name.to_vec(), shape));
        Ok(())
    }

    /// Announces the next pair of the bucket, in key order, by the sizes of its key and value in bytes.
    pub fn entry(&mut self, key_bytes: usize, value_bytes: usize) -> Result<(), Error> {
        check_sizes(key_bytes, value_bytes)?;
        let (_, shape) = self.open.as_mut().ok_or_else(no_bucket)?;
        self.closed.clear();
        shape.add(key_bytes, value_bytes, &mut self.closed);
        self.pairs += 1;
        Ok(())
    }

    /// The plan, after the last pair.
    pub fn finish(mut self) -> Plan {
        self.end_bucket();
        let mut root = Shape::new(self.page_bytes, self.next_page);
        for (name, value_bytes) in &self.done {
            root.add(name.len(), *value_bytes, &mut self.closed);
        }
        // An image without buckets has an empty leaf for a root.
        let (root, high_water) = match root.finish(&mut self.closed) {
            Some(page) => (page, root.next_page()),
            None => (self.next_page, self.next_page + 1),
        };
        Plan { page_bytes: self.page_bytes, root, high_water, pairs: self.pairs }
    }

    fn end_bucket(&mut self) {
        if let Some((name, mut shape)) = self.open.take() {
            let root = shape.finish(&mut self.closed);
            self.next_page = shape.next_page();
            let value_bytes = root.map_or(EMPTY_BUCKET_BYTES, |_| BUCKET_HEADER_BYTES);
            self.done.insert(name, value_bytes);
        }
    }
}

impl Plan {
    /// Bytes of the whole image.
    pub fn size_bytes(&self) -> u64 {
        self.high_water * self.page_bytes as u64
    }

    /// Begins the second pass. Every byte goes to `sink`, in order, in pieces of whole pages.
    pub fn write<W: FnMut(&[u8]) -> io::Result<()>>(&self, mut sink: W) -> Result<Writer<W>, Error> {
        for number in [0, 1] {
            let meta = Meta {
                page_bytes: self.page_bytes,
                root: self.root,
                sequence: 0,
                freelist: FREELIST_PAGE,
                high_water: self.high_water,
                transaction: number,
            };
            sink(&meta.encode(number))?;
        }
        let mut freelist = header(FREELIST_PAGE, FLAG_FREELIST, 0, 0).to_vec();
        freelist.resize(self.page_bytes, 0);
        sink(&freelist)?;
        Ok(Writer {
            plan: self.clone(),
            sink,
            next_page: FREELIST_PAGE + 1,
            open: None,
            done: BTreeMap::new(),
            pairs: 0,
        })
    }
}

/// The second pass: is fed the pairs and emits pages.
#[derive(Debug)]
pub struct Writer<W> {
    plan: Plan,
    sink: W,
    next_page: u64,
    open: Option<(Vec<u8>, Tree)>,
    /// Finished buckets and the values that stand for them.
    done: BTreeMap<Vec<u8>, Vec<u8>>,
    pairs: u64,
}

impl<W: FnMut(&[u8]) -> io::Result<()>> Writer<W> {
    /// Begins the next bucket of the plan.
    pub fn bucket(&mut self, name: &[u8]) -> Result<(), Error> {
        self.end_bucket()?;
        check_name(name, self.done.contains_key(name))?;
        let tree = Tree::new(self.plan.page_bytes, self.next_page, 0);
        self.open = Some((name.to_vec(), tree));
        Ok(())
    }

    /// Writes the next pair. Keys of a bucket must rise.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        check_sizes(key.len(), value.len())?;
        if self.pairs == self.plan.pairs {
            return Err(Error::Deviates("more pairs than were planned".into()));
        }
        let (_, tree) = self.open.as_mut().ok_or_else(no_bucket)?;
        tree.add(key, value, &mut self.sink)?;
        self.pairs += 1;
        Ok(())
    }

    /// Writes the root. The image is complete when this returns without an error.
    pub fn finish(mut self) -> Result<(), Error> {
        self.end_bucket()?;
        let mut tree = Tree::new(self.plan.page_bytes, self.next_page, ELEMENT_IS_BUCKET);
        for (name, value) in &self.done {
            tree.add(name, value, &mut self.sink)?;
        }
        let (root, high_water) = match tree.finish(&mut self.sink)? {
            Some(page) => (page, tree.shape.next_page()),
            None => {
                let mut page = header(self.next_page, FLAG_LEAF, 0, 0).to_vec();
                page.resize(self.plan.page_bytes, 0);
                (self.sink)(&page)?;
                (self.next_page, self.next_page + 1)
            }
        };
        let arrived = Plan { page_bytes: self.plan.page_bytes, root, high_water, pairs: self.pairs };
        if arrived != self.plan {
            return Err(Error::Deviates(format!(
                "{} pairs in {} pages were planned, {} in {} were written",
                self.plan.pairs, self.plan.high_water, arrived.pairs, arrived.high_water
            )));
        }
        Ok(())
    }

    fn end_bucket(&mut self) -> Result<(), Error> {
        let Some((name, mut tree)) = self.open.take() else {
            return Ok(());
        };
        let root = tree.finish(&mut self.sink)?;
        self.next_page = tree.shape.next_page();
        // Root page and sequence; no root page means that an (empty) leaf page follows.
        let mut value = root.unwrap_or(0).to_le_bytes().to_vec();
        value.extend(0u64.to_le_bytes());
        if root.is_none() {
            value.extend(header(0, FLAG_LEAF, 0, 0));
        }
        self.done.insert(name, value);
        Ok(())
    }
}

/// A tree being written: the shape decides, the open pages hold the bytes.
#[derive(Debug)]
struct Tree {
    page_bytes: usize,
    shape: Shape,
    /// From the leaves up.
    open: Vec<OpenPage>,
    /// Flags of every leaf element.
    flags: u32,
    last_key: Vec<u8>,
    closed: Vec<Closed>,
    page: Vec<u8>,
}

/// Elements waiting for their page to be full.
#[derive(Debug, Default)]
struct OpenPage {
    /// Size of the key, then the size of the value (in a leaf) or the page of the child.
    elements: Vec<(u32, u64)>,
    /// Keys and values, one after the other.
    data: Vec<u8>,
}

impl Tree {
    fn new(page_bytes: usize, next_page: u64, flags: u32) -> Tree {
        Tree {
            page_bytes,
            shape: Shape::new(page_bytes, next_page),
            open: Vec::new(),
            flags,
            last_key: Vec::new(),
            closed: Vec::new(),
            page: Vec::new(),
        }
    }

    fn add(&mut self, key: &[u8], value: &[u8], sink: &mut impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), Error> {
        if key <= &self.last_key[..] {
            return Err(Error::Refused("keys are not in order".into()));
        }
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.shape.add(key.len(), value.len(), &mut self.closed);
        self.emit(sink)?;
        self.put(0, key, value.len() as u64, value);
        Ok(())
    }

    /// Emits what is open and returns the number of the root; `None` if nothing was added.
    fn finish(&mut self, sink: &mut impl FnMut(&[u8]) -> io::Result<()>) -> Result<Option<u64>, Error> {
        let root = self.shape.finish(&mut self.closed);
        self.emit(sink)?;
        Ok(root)
    }

    fn put(&mut self, level: usize, key: &[u8], number: u64, value: &[u8]) {
        if self.open.len() == level {
            self.open.push(OpenPage::default());
        }
        let open = &mut self.open[level];
        open.elements.push((key.len() as u32, number));
        open.data.extend_from_slice(key);
        open.data.extend_from_slice(value);
    }

    /// Emits the pages that the shape has closed, and tells each one's parent (the root's is never emitted).
    fn emit(&mut self, sink: &mut impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), Error> {
        for closed in std::mem::take(&mut self.closed) {
            let mut full = std::mem::take(&mut self.open[closed.level]);
            self.encode(&full, closed);
            sink(&self.page)?;
            let first_key_bytes = full.elements[0].0 as usize;
            full.data.truncate(first_key_bytes);
            self.put(closed.level + 1, &full.data, closed.page, &[]);
        }
        Ok(())
    }

    /// Lays out one page, overflow included, in `self.page`.
    fn encode(&mut self, full: &OpenPage, closed: Closed) {
        let is_leaf = closed.level == 0;
        let flags = if is_leaf { FLAG_LEAF } else { FLAG_BRANCH };
        let count = u16::try_from(full.elements.len()).expect("a page holds fewer elements");
        self.page.clear();
        let overflow = (closed.run - 1) as u32;
        self.page.extend(header(closed.page, flags, count, overflow));
        let mut data_start = PAGE_HEADER_BYTES + full.elements.len() * ELEMENT_BYTES;
        for (key_bytes, number) in &full.elements {
            // Positions count from the element itself.
            let position = (data_start - self.page.len()) as u32;
            if is_leaf {
                self.page.extend(self.flags.to_le_bytes());
                self.page.extend(position.to_le_bytes());
                self.page.extend(key_bytes.to_le_bytes());
                self.page.extend((*number as u32).to_le_bytes());
                data_start += *key_bytes as usize + *number as usize;
            } else {
                self.page.extend(position.to_le_bytes());
                self.page.extend(key_bytes.to_le_bytes());
                self.page.extend(number.to_le_bytes());
                data_start += *key_bytes as usize;
            }
        }
        self.page.extend_from_slice(&full.data);
        let run_bytes = closed.run as usize * self.page_bytes;
        assert!(self.page.len() <= run_bytes, "the shape has measured it");
        self.page.resize(run_bytes, 0);
    }
}

fn check_name(name: &[u8], is_taken: bool) -> Result<(), Error> {
    if is_taken {
        let name = String::from_utf8_lossy(name);
        return Err(Error::Refused(format!("two buckets named {name:?}")));
    }
    check_sizes(name.len(), 0)
}

fn check_sizes(key_bytes: usize, value_bytes: usize) -> Result<(), Error> {
    let refused = |what: &str| Err(Error::Refused(what.into()));
    if key_bytes == 0 {
        return refused("an empty key");
    }
    if key_bytes > KEY_BYTES_MAX {
        return refused("a key of more than 32 KiB");
    }
    if value_bytes > VALUE_BYTES_MAX {
        return refused("a value of 2 GiB or more");
    }
    Ok(())
}

fn no_bucket() -> Error {
    Error::Refused("a pair outside of all buckets".into())
}
