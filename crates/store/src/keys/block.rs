//! Sorted byte strings packed into one immutable buffer.
//!
//! ```text
//!  ┌────────┬─────────────────┬──────────────────────┬──────────┬──────────┬─ ─
//!  │ prefix │ starts: u32 × n │ ends: u16 or u32 × n │ suffix 0 │ suffix 1 │ …
//!  └────────┴─────────────────┴──────────────────────┴──────────┴──────────┴─ ─
//! ```
//!
//! All strings of a block begin with `prefix`, which is stored once; `ends[i]` is where suffix `i` ends, counted from
//! the beginning of suffix 0. The ends are two bytes wide unless the suffixes together exceed what two bytes can count.
//! `starts[i]` is the beginning of suffix `i` as a number that sorts as the suffix does: a search counts the smaller
//! ones in one sweep over neighbouring memory, and seldom needs to look at more than one suffix.
//!
//! A block is shared, never changed: a leaf whose heads change keeps its block, so copying the leaf for a view copies
//! no key. Adding or removing a string makes a new block of exactly the right size. Leaves keep their keys in a
//! block, branches their separators. A block knows nothing of what its strings mean.

use std::{
    cmp::{Ordering, min},
    ops::Range,
    sync::Arc,
};

/// The size of a suffix's start, in bytes.
const START_LEN: usize = 4;

/// Sorted, distinct byte strings. Cloning is one atomic increment.
#[derive(Clone, Debug)]
pub(super) struct Block {
    bytes: Arc<[u8]>,
    prefix_len: u32,
    count: u16,
    /// Whether ends take four bytes rather than two.
    wide: bool,
}

/// A string in two pieces: what a block holds as prefix and suffix, without gluing them together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a>(pub(super) &'a [u8], pub(super) &'a [u8]);

impl Parts<'_> {
    fn len(&self) -> usize {
        self.0.len() + self.1.len()
    }

    fn iter(&self) -> impl Iterator<Item = &u8> {
        self.0.iter().chain(self.1)
    }

    pub(super) fn to_vec(self) -> Vec<u8> {
        [self.0, self.1].concat()
    }

    /// Appends all but the first `skip` bytes to `out`.
    fn append_from(&self, skip: usize, out: &mut Vec<u8>) {
        if let Some(rest) = self.0.get(skip..) {
            out.extend_from_slice(rest);
            out.extend_from_slice(self.1);
        } else {
            out.extend_from_slice(&self.1[skip - self.0.len()..]);
        }
    }

    /// How many bytes the two strings have in common at their beginning.
    fn common(&self, other: &Parts<'_>) -> usize {
        self.iter().zip(other.iter()).take_while(|(a, b)| a == b).count()
    }

    /// The shortest string that is above `below` and not above `self`. `below` must be below `self`.
    pub(super) fn separator_from(&self, below: &Parts<'_>) -> Vec<u8> {
        let len = self.common(below) + 1;
        assert!(len <= self.len(), "keys are in ascending order");
        self.iter().take(len).copied().collect()
    }
}

impl Block {
    pub(super) fn new() -> Block {
        Block { bytes: Arc::from([]), prefix_len: 0, count: 0, wide: false }
    }

    /// Packs strings that are already in ascending order.
    pub(super) fn pack(strings: &[Parts<'_>]) -> Block {
        let (Some(first), Some(last)) = (strings.first(), strings.last()) else {
            return Block::new();
        };
        // In a sorted list, what the first and the last have in common all have in common.
        let prefix_len = first.common(last);
        let suffixes: usize = strings.iter().map(|string| string.len() - prefix_len).sum();
        let wide = suffixes > usize::from(u16::MAX);
        let table_len = strings.len() * (START_LEN + if wide { 4 } else { 2 });
        let mut bytes = Vec::with_capacity(table_len + prefix_len + suffixes);
        for byte in first.iter().take(prefix_len) {
            bytes.push(*byte);
        }
        for string in strings {
            let mut start = [0; START_LEN];
            for (to, from) in start.iter_mut().zip(string.iter().skip(prefix_len)) {
                *to = *from;
            }
            push_start(&mut bytes, &start);
        }
        let mut end = 0;
        for string in strings {
            end += string.len() - prefix_len;
            push_end(&mut bytes, end, wide);
        }
        for string in strings {
            string.append_from(prefix_len, &mut bytes);
        }
        Block::from_bytes(&bytes, prefix_len, strings.len(), wide)
    }

    fn from_bytes(bytes: &[u8], prefix_len: usize, count: usize, wide: bool) -> Block {
        let narrow = |number: usize| u32::try_from(number).expect("a key is shorter than 4 GiB");
        assert!(narrow(bytes.len()) < u32::MAX, "the keys of a leaf fit 4 GiB");
        let count = u16::try_from(count).expect("a block holds few strings");
        Block { bytes: Arc::from(bytes), prefix_len: narrow(prefix_len), count, wide }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Bytes held on the heap, shared with every clone.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What all strings begin with.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.bytes[..self.prefix_len as usize]
    }

    /// String `at` without the prefix.
    pub(super) fn suffix(&self, at: usize) -> &[u8] {
        let span = self.span(at..at + 1);
        &self.suffixes()[span]
    }

    pub(super) fn get(&self, at: usize) -> Parts<'_> {
        Parts(self.prefix(), self.suffix(at))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Parts<'_>> {
        (0..self.len()).map(|at| self.get(at))
    }

    /// Where `string` is (`Ok`), or where it would have to be put (`Err`).
    pub(super) fn search(&self, string: &[u8]) -> Result<usize, usize> {
        let (head, tail) = string.split_at(min(string.len(), self.prefix_len as usize));
        match head.cmp(self.prefix()) {
            Ordering::Less => return Err(0),
            Ordering::Greater => return Err(self.len()),
            Ordering::Equal => {}
        }
        let start = start_of(tail);
        let (mut low, mut high) = (0, 0);
        for other in self.starts().chunks_exact(START_LEN) {
            let other = u32::from_le_bytes([other[0], other[1], other[2], other[3]]);
            low += u32::from(other < start);
            high += u32::from(other <= start);
        }
        // Only those that start alike are left to tell apart.
        let suffixes = self.suffixes();
        let (mut low, mut high) = (low as usize, high as usize);
        while low < high {
            let middle = low.midpoint(high);
            match suffixes[self.span(middle..middle + 1)].cmp(tail) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// How many strings are below `string`.
    pub(super) fn below(&self, string: &[u8]) -> usize {
        self.search(string).unwrap_or_else(|at| at)
    }

    /// How many strings are below or equal to `string`.
    pub(super) fn through(&self, string: &[u8]) -> usize {
        self.search(string).map_or_else(|at| at, |at| at + 1)
    }

    /// A block with `string` put before string `at`.
    pub(super) fn inserted(&self, at: usize, string: &[u8]) -> Block {
        if let Some(suffix) = string.strip_prefix(self.prefix())
            && self.count > 0
            && self.wide == (self.suffixes().len() + suffix.len() > usize::from(u16::MAX))
        {
            return self.spliced(at..at, Some(suffix));
        }
        let mut strings: Vec<Parts<'_>> = self.iter().collect();
        strings.insert(at, Parts(string, b""));
        Block::pack(&strings)
    }

    /// A block without string `at`. The prefix is kept even if the rest have more in common.
    pub(super) fn removed(&self, at: usize) -> Block {
        if self.wide || self.count == 1 {
            let mut strings: Vec<Parts<'_>> = self.iter().collect();
            strings.remove(at);
            return Block::pack(&strings);
        }
        self.spliced(at..at + 1, None)
    }

    /// A block of the strings in `range`, with a prefix of its own.
    pub(super) fn slice(&self, range: Range<usize>) -> Block {
        let strings: Vec<Parts<'_>> = range.map(|at| self.get(at)).collect();
        Block::pack(&strings)
    }

    /// A block of these strings, then `between` if there is one, then those of `other`.
    pub(super) fn joined(&self, between: Option<Parts<'_>>, other: &Block) -> Block {
        let strings: Vec<Parts<'_>> = self.iter().chain(between).chain(other.iter()).collect();
        Block::pack(&strings)
    }

    /// How many bytes of the suffixes belong to strings below `at`.
    pub(super) fn suffix_bytes_before(&self, at: usize) -> usize {
        self.span(0..at).end
    }

    /// The length of all strings together, the prefix counted in each.
    pub(super) fn full_bytes(&self) -> usize {
        self.prefix_len as usize * self.len() + self.suffixes().len()
    }

    /// Replaces the strings in `gone` by at most one with the same prefix; ends keep their width.
    fn spliced(&self, gone: Range<usize>, suffix: Option<&[u8]>) -> Block {
        let span = self.span(gone.clone());
        let (before, after) = (&self.suffixes()[..span.start], &self.suffixes()[span.end..]);
        let count = self.len() - gone.len() + usize::from(suffix.is_some());
        let suffix = suffix.map(|suffix| (suffix, span.start + suffix.len()));
        let shift = suffix.map_or(span.start, |(_, end)| end);

        let mut bytes = Vec::with_capacity(self.bytes.len() + START_LEN + 4 + shift - span.start);
        bytes.extend_from_slice(self.prefix());
        bytes.extend_from_slice(&self.starts()[..gone.start * START_LEN]);
        if let Some((suffix, _)) = suffix {
            push_start(&mut bytes, suffix);
        }
        bytes.extend_from_slice(&self.starts()[gone.end * START_LEN..]);
        bytes.extend_from_slice(&self.ends()[..gone.start * self.end_len()]);
        if let Some((_, end)) = suffix {
            push_end(&mut bytes, end, self.wide);
        }
        for at in gone.end..self.len() {
            push_end(&mut bytes, self.end(at) - span.end + shift, self.wide);
        }
        bytes.extend_from_slice(before);
        bytes.extend_from_slice(suffix.map_or(b"", |(suffix, _)| suffix));
        bytes.extend_from_slice(after);
        Block::from_bytes(&bytes, self.prefix_len as usize, count, self.wide)
    }

    fn end_len(&self) -> usize {
        if self.wide { 4 } else { 2 }
    }

    fn starts(&self) -> &[u8] {
        let from = self.prefix_len as usize;
        &self.bytes[from..from + self.len() * START_LEN]
    }

    fn ends(&self) -> &[u8] {
        let from = self.prefix_len as usize + self.len() * START_LEN;
        &self.bytes[from..from + self.len() * self.end_len()]
    }

    fn suffixes(&self) -> &[u8] {
        let from = self.prefix_len as usize + self.len() * (START_LEN + self.end_len());
        &self.bytes[from..]
    }

    /// The bytes that the strings in `range` take in the suffixes.
    fn span(&self, range: Range<usize>) -> Range<usize> {
        let end_before = |at: usize| if at == 0 { 0 } else { self.end(at - 1) };
        end_before(range.start)..end_before(range.end)
    }

    fn end(&self, at: usize) -> usize {
        let found = if self.wide {
            self.ends()[at * 4..].first_chunk().map(|four| u32::from_le_bytes(*four) as usize)
        } else {
            self.ends()[at * 2..].first_chunk().map(|two| usize::from(u16::from_le_bytes(*two)))
        };
        found.expect("a block has an end for each string")
    }
}

/// The first bytes of a suffix as a number that sorts as they do; a missing byte counts as 0.
fn start_of(suffix: &[u8]) -> u32 {
    match suffix.first_chunk() {
        Some(four) => u32::from_be_bytes(*four),
        None => suffix.iter().chain(&[0; START_LEN]).take(START_LEN).fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
    }
}

fn push_start(bytes: &mut Vec<u8>, suffix: &[u8]) {
    bytes.extend_from_slice(&start_of(suffix).to_le_bytes());
}

fn push_end(bytes: &mut Vec<u8>, end: usize, wide: bool) {
    if wide {
        bytes.extend_from_slice(&(end as u32).to_le_bytes());
    } else {
        bytes.extend_from_slice(&(end as u16).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(block: &Block) -> Vec<Vec<u8>> {
        block.iter().map(|parts| parts.iter().copied().collect()).collect()
    }

    fn pack(strings: &[&[u8]]) -> Block {
        Block::pack(&strings.iter().map(|string| Parts(string, b"")).collect::<Vec<_>>())
    }

    #[test]
    fn the_common_beginning_is_stored_once() {
        let block = pack(&[b"/a/b", b"/a/c", b"/a/cc"]);
        assert_eq!(block.prefix(), b"/a/");
        assert_eq!(block.suffix(2), b"cc");
        assert_eq!(block.memory_bytes(), 3 * (4 + 2) + 3 + 1 + 1 + 2);
    }

    #[test]
    fn search_agrees_with_a_sorted_list() {
        let list: [&[u8]; 6] = [b"", b"/a", b"/a\0", b"/ab", b"/b", b"\xff"];
        for low in 0..list.len() {
            for high in low..=list.len() {
                let block = pack(&list[low..high]);
                for probe in [&b""[..], b"\0", b"/", b"/a", b"/a\0", b"/aa", b"/ab", b"/ab\0", b"/b", b"0", b"\xff"] {
                    assert_eq!(block.search(probe), list[low..high].binary_search(&probe));
                }
            }
        }
    }

    #[test]
    fn insertion_and_removal_at_every_position() {
        let list: [&[u8]; 5] = [b"/k/", b"/k/1", b"/k/1/2", b"/k/3", b"/z"];
        for at in 0..list.len() {
            let mut rest = list.to_vec();
            rest.remove(at);
            let whole = pack(&rest).inserted(at, list[at]);
            assert_eq!(strings(&whole), list);
            assert_eq!(strings(&whole.removed(at)), rest);
            assert_eq!(strings(&whole.slice(0..at).joined(None, &whole.slice(at..5))), list);
        }
        assert_eq!(strings(&Block::new().inserted(0, b"")), [b""]);
        assert_eq!(strings(&pack(&[b"one"]).removed(0)), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn long_strings_need_wide_ends_and_can_lose_them_again() {
        let long = [vec![b'a'; 40_000], vec![b'b'; 40_000], vec![b'c'; 10]];
        let mut block = Block::new();
        for (at, string) in long.iter().enumerate() {
            block = block.inserted(at, string);
        }
        assert!(block.wide);
        assert_eq!(strings(&block), long);
        assert_eq!(block.search(&long[1]), Ok(1));
        assert!(!block.removed(1).wide);
        assert_eq!(strings(&block.removed(1)), [long[0].clone(), long[2].clone()]);
        assert_eq!(strings(&block.removed(1).inserted(1, &long[1])), long);
    }

    #[test]
    fn a_separator_is_the_shortest_that_parts_its_neighbours() {
        let cases: [(&[u8], &[u8], &[u8]); 4] =
            [(b"/apple", b"/banana", b"/b"), (b"a", b"a\0\0", b"a\0"), (b"", b"x", b"x"), (b"ab", b"ac", b"ac")];
        for (below, above, separator) in cases {
            assert_eq!(Parts(above, b"").separator_from(&Parts(b"", below)), separator);
        }
    }
}
