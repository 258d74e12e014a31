//! The bytes of a bbolt page: encoding and bounds-checked decoding. Little-endian throughout.
//!
//! ```text
//! page header 16:     id u64 | flags u16 | count u16 | overflow u32 (pages that follow and belong to this one)
//! meta 64:            magic u32 | version u32 | page size u32 | flags u32 | root page u64 | root sequence u64
//!                     | freelist page u64 | high water u64 | transaction u64 | FNV-1a 64 of the 56 bytes before
//! leaf element 16:    flags u32 (1 = bucket) | position u32 | key size u32 | value size u32
//! branch element 16:  position u32 | key size u32 | page u64
//! bucket value 16+:   root page u64 (0 = inline: a leaf page follows) | sequence u64
//! ```
//! A position counts from the first byte of its own element; the value follows the key.

use bytes::Bytes;

use crate::Error;

pub(crate) const PAGE_HEADER_BYTES: usize = 16;
pub(crate) const ELEMENT_BYTES: usize = 16;
pub(crate) const BUCKET_HEADER_BYTES: usize = 16;
pub(crate) const META_BYTES: usize = 64;

pub(crate) const FLAG_BRANCH: u16 = 0x01;
pub(crate) const FLAG_LEAF: u16 = 0x02;
pub(crate) const FLAG_META: u16 = 0x04;
pub(crate) const FLAG_FREELIST: u16 = 0x10;

/// Flag of a leaf element whose value is a bucket.
pub(crate) const ELEMENT_IS_BUCKET: u32 = 0x01;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// The smallest and largest page size bbolt looks for.
pub(crate) const PAGE_BYTES_RANGE: std::ops::RangeInclusive<usize> = 1024..=(1024 << 14);

/// What a meta page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub page_bytes: usize,
    pub root: u64,
    pub sequence: u64,
    pub freelist: u64,
    /// The first page number that was never used: all pages are below.
    pub high_water: u64,
    pub transaction: u64,
}

impl Meta {
    /// The meta page with this number (0 or 1), one page long.
    pub fn encode(&self, number: u64) -> Vec<u8> {
        let mut page = header(number, FLAG_META, 0, 0).to_vec();
        page.extend(MAGIC.to_le_bytes());
        page.extend(VERSION.to_le_bytes());
        page.extend((self.page_bytes as u32).to_le_bytes());
        page.extend(0u32.to_le_bytes());
        for number in [self.root, self.sequence, self.freelist, self.high_water, self.transaction] {
            page.extend(number.to_le_bytes());
        }
        let check = fnv1a(&page[PAGE_HEADER_BYTES..]);
        page.extend(check.to_le_bytes());
        page.resize(self.page_bytes, 0);
        page
    }

    /// Reads what follows the page header of a meta page.
    pub fn decode(bytes: &[u8; META_BYTES]) -> Result<Meta, &'static str> {
        if u32_at(bytes, 0) != MAGIC {
            return Err("wrong magic");
        }
        if u32_at(bytes, 4) != VERSION {
            return Err("unknown version");
        }
        if u64_at(bytes, 56) != fnv1a(&bytes[..56]) {
            return Err("wrong checksum");
        }
        let page_bytes = u32_at(bytes, 8) as usize;
        if !page_bytes.is_power_of_two() || !PAGE_BYTES_RANGE.contains(&page_bytes) {
            return Err("impossible page size");
        }
        Ok(Meta {
            page_bytes,
            root: u64_at(bytes, 16),
            sequence: u64_at(bytes, 24),
            freelist: u64_at(bytes, 32),
            high_water: u64_at(bytes, 40),
            transaction: u64_at(bytes, 48),
        })
    }
}

/// A page header.
pub(crate) fn header(id: u64, flags: u16, count: u16, overflow: u32) -> [u8; PAGE_HEADER_BYTES] {
    let mut bytes = [0; PAGE_HEADER_BYTES];
    bytes[0..8].copy_from_slice(&id.to_le_bytes());
    bytes[8..10].copy_from_slice(&flags.to_le_bytes());
    bytes[10..12].copy_from_slice(&count.to_le_bytes());
    bytes[12..16].copy_from_slice(&overflow.to_le_bytes());
    bytes
}

/// How many pages follow the one with this header and belong to it.
pub(crate) fn overflow(header: &[u8]) -> u32 {
    u32_at(header, 12)
}

/// A branch or leaf page whose header was checked. Elements are checked as they are taken.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The page number for errors; an inline page has that of the page it is in.
    number: u64,
    bytes: Bytes,
    is_leaf: bool,
    count: usize,
}

/// An element of a leaf page.
#[derive(Debug, Clone)]
pub(crate) struct LeafElement {
    pub is_bucket: bool,
    pub key: Bytes,
    pub value: Bytes,
}

impl Page {
    /// Takes the bytes of a page with all its overflow. `id` is what the header must say.
    pub fn new(number: u64, id: u64, bytes: Bytes) -> Result<Page, Error> {
        let malformed = |what: &str| malformed(number, what);
        if bytes.len() < PAGE_HEADER_BYTES {
            return Err(malformed("shorter than a page header"));
        }
        if u64_at(&bytes, 0) != id {
            return Err(malformed("the page says it is another one"));
        }
        let is_leaf = match u16_at(&bytes, 8) {
            FLAG_LEAF => true,
            FLAG_BRANCH => false,
            _ => return Err(malformed("neither a branch nor a leaf")),
        };
        let count = usize::from(u16_at(&bytes, 10));
        if PAGE_HEADER_BYTES + count * ELEMENT_BYTES > bytes.len() {
            return Err(malformed("more elements than there is space"));
        }
        if !is_leaf && count == 0 {
            return Err(malformed("a branch without children"));
        }
        Ok(Page { number, bytes, is_leaf, count })
    }

    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn is_leaf(&self) -> bool {
        self.is_leaf
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Element `index` of a leaf.
    pub fn leaf_element(&self, index: usize) -> Result<LeafElement, Error> {
        assert!(self.is_leaf && index < self.count, "the caller has looked");
        let at = PAGE_HEADER_BYTES + index * ELEMENT_BYTES;
        let key_bytes = u32_at(&self.bytes, at + 8) as usize;
        let value_bytes = u32_at(&self.bytes, at + 12) as usize;
        let start = self.start_of(at, u32_at(&self.bytes, at + 4), key_bytes + value_bytes)?;
        Ok(LeafElement {
            is_bucket: u32_at(&self.bytes, at) & ELEMENT_IS_BUCKET != 0,
            key: self.bytes.slice(start..start + key_bytes),
            value: self.bytes.slice(start + key_bytes..start + key_bytes + value_bytes),
        })
    }

    /// Key and page number of child `index` of a branch.
    pub fn child(&self, index: usize) -> Result<(&[u8], u64), Error> {
        assert!(!self.is_leaf && index < self.count, "the caller has looked");
        let at = PAGE_HEADER_BYTES + index * ELEMENT_BYTES;
        let key_bytes = u32_at(&self.bytes, at + 4) as usize;
        let start = self.start_of(at, u32_at(&self.bytes, at), key_bytes)?;
        Ok((&self.bytes[start..start + key_bytes], u64_at(&self.bytes, at + 8)))
    }

    /// Where the data of the element at `at` begin, if `size` bytes of them are in the page.
    fn start_of(&self, at: usize, position: u32, size: usize) -> Result<usize, Error> {
        let start = at + position as usize;
        let table_end = PAGE_HEADER_BYTES + self.count * ELEMENT_BYTES;
        // Data of no length may be said to lie anywhere up to the end.
        if start < table_end || start + size > self.bytes.len() {
            return Err(malformed(self.number, "an element reaches out of its page"));
        }
        Ok(start)
    }
}

/// Root page and sequence of a bucket, from the value that stands for it.
pub(crate) fn bucket_header(value: &[u8]) -> Option<(u64, u64)> {
    (value.len() >= BUCKET_HEADER_BYTES).then(|| (u64_at(value, 0), u64_at(value, 8)))
}

pub(crate) fn malformed(page: u64, what: impl Into<String>) -> Error {
    Error::Malformed { page, what: what.into() }
}

/// The 64-bit Fowler–Noll–Vo hash, variant 1a.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
