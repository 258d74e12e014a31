//! Reads a bbolt image: finds buckets, walks their trees in key order.
//!
//! Memory is one page (with its overflow) per level of the tree. Whatever a damaged image says, a walk ends: keys must rise,
//! no level is deeper than [`DEPTH_MAX`], and no more pages are read than the image has.

use std::io;

use bytes::Bytes;

use crate::Error;
use crate::page::{
    BUCKET_HEADER_BYTES, LeafElement, META_BYTES, Meta, PAGE_BYTES_RANGE, PAGE_HEADER_BYTES, Page, bucket_header,
    malformed, overflow,
};

/// No real tree is near this: with two children a page it would hold more than any disk.
const DEPTH_MAX: usize = 48;

/// The longest run of pages read at once. bbolt puts two large values into one, etcd's are some MiB at most.
const RUN_BYTES_MAX: u64 = 512 << 20;

/// Bytes that can be read at any offset: a file, or memory.
pub trait ReadAt {
    /// Fills the whole buffer from `offset` on, or fails (`UnexpectedEof` behind the end).
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// How many bytes there are.
    fn len(&self) -> u64;

    /// Whether there is no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }
}

impl<S: ReadAt + ?Sized> ReadAt for &S {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }

    fn len(&self) -> u64 {
        (**self).len()
    }
}

/// A bbolt database as its last transaction left it.
#[derive(Debug)]
pub struct Image<S> {
    source: S,
    meta: Meta,
}

/// A bucket of an image.
#[derive(Debug)]
pub struct Bucket<'a, S> {
    image: &'a Image<S>,
    root: Root,
    sequence: u64,
}

#[derive(Debug, Clone)]
enum Root {
    Page(u64),
    Inline(Page),
}

/// Walks the pairs of a bucket in key order. Ends after an error.
#[derive(Debug)]
pub struct Entries<'a, S> {
    walk: Walk<'a, S>,
}

impl<S: ReadAt> Image<S> {
    /// Opens the image: takes the valid meta page with the highest transaction id.
    pub fn open(source: S) -> Result<Image<S>, Error> {
        let first = read_meta(&source, 0);
        // Without the first meta page nobody says how long a page is; bbolt tries them all, too.
        let second = match &first {
            Ok(meta) => read_meta(&source, meta.page_bytes as u64),
            Err(_) => (0..15)
                .map(|shift| PAGE_BYTES_RANGE.start() << shift)
                .find_map(|size| {
                    let meta = read_meta(&source, size as u64).ok()?;
                    (meta.page_bytes == size).then_some(meta)
                })
                .ok_or_else(|| "no second meta page".into()),
        };
        let meta = match (first, second) {
            (Ok(first), Ok(second)) if second.transaction > first.transaction => second,
            (Ok(first), _) => first,
            (Err(_), Ok(second)) => second,
            (Err(error), Err(_)) => return Err(Error::NotADatabase(error)),
        };
        let pages = source.len() / meta.page_bytes as u64;
        if meta.high_water > pages {
            return Err(Error::NotADatabase(format!(
                "it should have {} pages of {} bytes, but there are {pages}: it was cut off",
                meta.high_water, meta.page_bytes
            )));
        }
        Ok(Image { source, meta })
    }

    /// Bytes of a page.
    pub fn page_bytes(&self) -> usize {
        self.meta.page_bytes
    }

    /// Bytes of the image up to the last page that was ever used; the file may be longer.
    pub fn size_bytes(&self) -> u64 {
        self.meta.high_water * self.meta.page_bytes as u64
    }

    /// Number of the transaction that wrote it.
    pub fn transaction(&self) -> u64 {
        self.meta.transaction
    }

    /// The names of all buckets, in order.
    pub fn bucket_names(&self) -> Result<Vec<Bytes>, Error> {
        let mut walk = Walk::new(self, Root::Page(self.meta.root));
        let mut names = Vec::new();
        while let Some((element, page)) = walk.next()? {
            check_is_bucket(&element, page)?;
            names.push(Bytes::copy_from_slice(&element.key));
        }
        Ok(names)
    }

    /// The bucket with this name, if there is one.
    pub fn bucket(&self, name: &[u8]) -> Result<Option<Bucket<'_, S>>, Error> {
        let mut walk = Walk::new(self, Root::Page(self.meta.root));
        let Some((element, page)) = walk.seek(name)? else {
            return Ok(None);
        };
        check_is_bucket(&element, page)?;
        let (root, sequence) =
            bucket_header(&element.value).ok_or_else(|| malformed(page, "a bucket without a header"))?;
        let root = match root {
            0 => {
                let inline = Page::new(page, 0, element.value.slice(BUCKET_HEADER_BYTES..))?;
                if !inline.is_leaf() {
                    return Err(malformed(page, "an inline bucket that is not a leaf"));
                }
                Root::Inline(inline)
            }
            root => Root::Page(root),
        };
        Ok(Some(Bucket { image: self, root, sequence }))
    }

    /// Reads a page with its overflow.
    fn page(&self, number: u64) -> Result<Page, Error> {
        if number < 2 || number >= self.meta.high_water {
            return Err(malformed(number, "there is no such page"));
        }
        let page_bytes = self.meta.page_bytes as u64;
        let offset = number * page_bytes;
        let mut header = [0; PAGE_HEADER_BYTES];
        self.source.read_at(offset, &mut header)?;
        let run = u64::from(overflow(&header)) + 1;
        if run > self.meta.high_water - number {
            return Err(malformed(number, "it reaches behind the last page"));
        }
        if run * page_bytes > RUN_BYTES_MAX {
            return Err(malformed(number, "it is longer than 512 MiB"));
        }
        let mut bytes = vec![0; (run * page_bytes) as usize];
        self.source.read_at(offset, &mut bytes)?;
        Page::new(number, number, Bytes::from(bytes))
    }
}

impl<'a, S: ReadAt> Bucket<'a, S> {
    /// The bucket's own counter.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// All pairs in key order. Keys and values share the memory of their page: copy what is kept long.
    pub fn entries(&self) -> Entries<'a, S> {
        Entries { walk: Walk::new(self.image, self.root.clone()) }
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let mut walk = Walk::new(self.image, self.root.clone());
        let found = walk.seek(key)?;
        found.map(plain).transpose().map(|it| it.map(|(_, v)| v))
    }
}

impl<S: ReadAt> Iterator for Entries<'_, S> {
    type Item = Result<(Bytes, Bytes), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = match self.walk.next() {
            Ok(found) => found.map(plain)?,
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.walk.stop();
        }
        Some(result)
    }
}

/// A place in a tree.
#[derive(Debug)]
struct Walk<'a, S> {
    image: &'a Image<S>,
    /// Where to begin; gone once begun.
    root: Option<Root>,
    /// From the root down: a page, and the element to take next.
    path: Vec<(Page, usize)>,
    pages_left: u64,
    last_key: Option<Bytes>,
}

impl<'a, S: ReadAt> Walk<'a, S> {
    fn new(image: &'a Image<S>, root: Root) -> Walk<'a, S> {
        Walk { image, root: Some(root), path: Vec::new(), pages_left: image.meta.high_water, last_key: None }
    }

    fn stop(&mut self) {
        self.root = None;
        self.path.clear();
    }

    /// The next element and the number of its page.
    fn next(&mut self) -> Result<Option<(LeafElement, u64)>, Error> {
        if let Some(root) = self.root.take() {
            self.enter_root(root)?;
        }
        while let Some((page, next)) = self.path.last_mut() {
            if *next == page.count() {
                self.path.pop();
                continue;
            }
            let index = *next;
            *next += 1;
            if !page.is_leaf() {
                let (_, child) = page.child(index)?;
                self.enter(child)?;
                continue;
            }
            let element = page.leaf_element(index)?;
            if element.key.is_empty() {
                return Err(malformed(page.number(), "an empty key"));
            }
            let rises = self.last_key.as_ref().is_none_or(|last| *last < element.key);
            if !rises {
                return Err(malformed(page.number(), "keys are out of order"));
            }
            self.last_key = Some(element.key.clone());
            return Ok(Some((element, page.number())));
        }
        Ok(None)
    }

    /// Goes straight down to `key`; the element with it, if there is one.
    fn seek(&mut self, key: &[u8]) -> Result<Option<(LeafElement, u64)>, Error> {
        let root = self.root.take().expect("a walk seeks first");
        self.enter_root(root)?;
        loop {
            let (page, _) = self.path.pop().expect("a page was just entered");
            if page.is_leaf() {
                let index = first_not_below(page.count(), |index| Ok(page.leaf_element(index)?.key[..] < *key))?;
                if index == page.count() {
                    return Ok(None);
                }
                let element = page.leaf_element(index)?;
                return Ok((element.key == key).then_some((element, page.number())));
            }
            // The last child whose key is not above; in front of the first one there is nothing.
            let above = first_not_below(page.count(), |index| Ok(page.child(index)?.0 <= key))?;
            let Some(index) = above.checked_sub(1) else {
                return Ok(None);
            };
            let child = page.child(index)?.1;
            self.path.push((page, index));
            self.enter(child)?;
        }
    }

    fn enter_root(&mut self, root: Root) -> Result<(), Error> {
        match root {
            Root::Page(number) => self.enter(number),
            Root::Inline(page) => {
                self.path.push((page, 0));
                Ok(())
            }
        }
    }

    fn enter(&mut self, number: u64) -> Result<(), Error> {
        if self.path.len() == DEPTH_MAX || self.pages_left == 0 {
            return Err(malformed(number, "the tree goes round in circles"));
        }
        self.pages_left -= 1;
        let page = self.image.page(number)?;
        if page.count() == 0 && !self.path.is_empty() {
            return Err(malformed(number, "an empty leaf below a branch"));
        }
        self.path.push((page, 0));
        Ok(())
    }
}

/// The first of `count` places, sorted by it, for which `below` does not hold.
fn first_not_below(count: usize, below: impl Fn(usize) -> Result<bool, Error>) -> Result<usize, Error> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        match below(middle)? {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    Ok(low)
}

fn check_is_bucket(element: &LeafElement, page: u64) -> Result<(), Error> {
    match element.is_bucket {
        true => Ok(()),
        false => Err(malformed(page, "a pair outside of all buckets")),
    }
}

/// Key and value of an element that is no bucket: etcd does not nest them.
fn plain((element, page): (LeafElement, u64)) -> Result<(Bytes, Bytes), Error> {
    match element.is_bucket {
        false => Ok((element.key, element.value)),
        true => Err(malformed(page, "a bucket inside a bucket")),
    }
}

/// The meta page at `offset`, or why it is none.
fn read_meta(source: &impl ReadAt, offset: u64) -> Result<Meta, String> {
    let mut bytes = [0; META_BYTES];
    source
        .read_at(offset + PAGE_HEADER_BYTES as u64, &mut bytes)
        .map_err(|error| format!("its meta page cannot be read: {error}"))?;
    Meta::decode(&bytes).map_err(|what| format!("its meta page has a {what}"))
}
