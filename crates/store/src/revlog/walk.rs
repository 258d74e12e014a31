//! Walking over the records of the revision log in order.
//!
//! A walk owns its moment of the log, so nothing that happens later disturbs it: not an append, not a sweep. It reads a
//! stretch at a time and holds no more than that and the longest record.

use bytes::{Buf, Bytes};
use disk::DiskFile;
use disk::segment::{FRAME_HEADER_BYTES, HEADER_BYTES, body_bytes_of_frame};

use super::item::{ITEM_HEADER_BYTES, Item, PRELUDE_BYTES, Prelude, item_size, revision_of};
use super::log::{Log, Record};
use crate::fault::Fault;
use crate::revision::Revision;

/// A change of a key and where it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: Record,
    /// Position of the segment in the log.
    pub(crate) segment: usize,
}

/// See the module's essay.
#[derive(Debug)]
pub(crate) struct Walk<F> {
    log: Log<F>,
    /// Position of the present segment in the log.
    segment: usize,
    /// Where the next item or frame begins.
    at: u64,
    /// Where the present frame ends.
    frame_end: u64,
    /// Bytes of the present segment from `at` on, as far as they were read.
    ahead: Bytes,
    /// Whether `ahead` comes from memory and need not be verified.
    trusted: bool,
    read_bytes: usize,
}

impl<F: DiskFile> Walk<F> {
    /// Starts in the segment at this position, at a record that is not behind `revision`.
    pub(super) fn new(log: Log<F>, segment: usize, revision: Revision, read_bytes: usize) -> Walk<F> {
        let (at, frame_end) = match log.segment(segment).and_then(|segment| segment.mark_before(revision)) {
            Some(mark) => (u64::from(mark.at), u64::from(mark.frame_end)),
            None => (HEADER_BYTES, HEADER_BYTES),
        };
        Walk { log, segment, at, frame_end, ahead: Bytes::new(), trusted: false, read_bytes }
    }

    /// The next change of a key, in the order of revisions.
    pub(crate) fn next_change(&mut self) -> Result<Option<Found>, Fault> {
        self.next_from(Revision::default())
    }

    /// The next change of a key that is not before `revision`. Those before it are verified and not made records of.
    pub(crate) fn next_from(&mut self, revision: Revision) -> Result<Option<Found>, Fault> {
        loop {
            if self.at < self.frame_end {
                let (size, is_change) = self.see_item()?;
                let at = self.at;
                let is_before =
                    |item: &[u8]| revision > Revision::default() && revision_of(item).is_some_and(|at| at < revision);
                if !is_change || is_before(&self.ahead[..size]) {
                    self.skip_to(at + size as u64);
                    continue;
                }
                let item = self.ahead.split_to(size);
                self.at += size as u64;
                let record = Record::new(item).ok_or_else(|| self.corrupt(at, "an item is no change of a key"))?;
                return Ok(Some(Found { record, segment: self.segment }));
            } else if !self.enter_frame()? {
                return Ok(None);
            }
        }
    }

    /// Goes to the first item of the next frame. `false` at the end of the log.
    fn enter_frame(&mut self) -> Result<bool, Fault> {
        loop {
            let Some(segment) = self.log.segment(self.segment) else { return Ok(false) };
            let (begin, body) = (self.frame_end, self.frame_end + FRAME_HEADER_BYTES);
            let salt = segment.salt;
            if body >= segment.len {
                self.segment += 1;
                self.frame_end = HEADER_BYTES;
                self.at = HEADER_BYTES;
                self.ahead = Bytes::new();
                continue;
            }
            let size = match self.size_in_memory(body) {
                Some(size) => size,
                None => {
                    self.skip_to(begin);
                    self.fill(FRAME_HEADER_BYTES as usize + PRELUDE_BYTES)?;
                    let Some(size) = body_bytes_of_frame(salt, begin, &self.ahead) else {
                        return Err(self.corrupt(begin, "this is not the frame that was written here"));
                    };
                    u64::from(size)
                }
            };
            self.frame_end = body + size;
            self.skip_to(body + PRELUDE_BYTES as u64);
            if self.log.segment(self.segment).is_none_or(|segment| self.frame_end > segment.len) {
                return Err(self.corrupt(body, "a frame does not end in its segment"));
            }
            return Ok(true);
        }
    }

    /// How long a body that is in memory is; its frame's header is not there.
    fn size_in_memory(&mut self, body: u64) -> Option<u64> {
        let segment = self.log.segment(self.segment)?;
        let bytes = self.log.resident.from(segment.id, body)?;
        let (_, size) = Prelude::decode(&bytes)?;
        self.skip_to(body);
        (self.ahead, self.trusted) = (bytes, true);
        Some(size as u64)
    }

    /// Verifies the next item of the frame. Its size, and whether it changes a key.
    fn see_item(&mut self) -> Result<(usize, bool), Fault> {
        self.fill(ITEM_HEADER_BYTES)?;
        let size = item_size(&self.ahead).filter(|size| self.at + *size as u64 <= self.frame_end);
        let Some(size) = size else {
            return Err(self.corrupt(self.at, "an item does not end in its frame"));
        };
        self.fill(size)?;
        let salt = self.log.segment(self.segment).map_or(0, |segment| segment.salt);
        let item = match self.trusted {
            true => Item::decode_unchecked(&self.ahead),
            false => Item::decode(&self.ahead, salt, self.at),
        };
        let Some(item) = item else {
            return Err(self.corrupt(self.at, "an item does not match its check, or belongs elsewhere"));
        };
        Ok((size, item.kind.is_change_of_key()))
    }

    fn skip_to(&mut self, at: u64) {
        let skip = (at - self.at) as usize;
        match skip <= self.ahead.len() {
            true => self.ahead.advance(skip),
            false => self.ahead = Bytes::new(),
        }
        self.at = at;
    }

    /// Sees to it that `ahead` holds at least `want` bytes.
    fn fill(&mut self, want: usize) -> Result<(), Fault> {
        if self.ahead.len() >= want {
            return Ok(());
        }
        let Some(segment) = self.log.segment(self.segment) else {
            unreachable!("only a segment of the log is read");
        };
        if let Some(bytes) = self.log.resident.from(segment.id, self.at)
            && bytes.len() >= want
        {
            self.ahead = bytes;
            self.trusted = true;
            return Ok(());
        }
        let left = segment.written.saturating_sub(self.at);
        let size = (want.max(self.read_bytes) as u64).min(left) as usize;
        let mut bytes = vec![0; size];
        let count = segment.file.read_at(self.at, &mut bytes).map_err(|error| Fault::disk(&segment.path, error))?;
        bytes.truncate(count);
        if count < want {
            return Err(self.corrupt(self.at, "the segment ends in a record"));
        }
        self.ahead = bytes.into();
        self.trusted = false;
        Ok(())
    }

    fn corrupt(&self, offset: u64, what: &str) -> Fault {
        let path = self.log.segment(self.segment).map_or("", |segment| &segment.path);
        Fault::corrupt(path, offset, what)
    }
}
