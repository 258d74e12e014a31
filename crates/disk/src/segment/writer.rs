//! Appends frames to a segment.
//!
//! One batch is one write. Who need not have it on the disk at once stages several, which have their places, and writes
//! them together. The writer keeps the rule that makes crashes readable: before it writes behind something that may be
//! torn, it has cut it and synced the cut, so that whatever stands behind the durable part was either written whole, or
//! reads as zeros sector by sector.
//!
//! It never retries a failed sync and never goes on after a failed write, except when the disk was full and what was
//! half written could be taken back durably.

use std::io;
use std::sync::Arc;

use super::layout::{
    BODY_BYTES_MAX, FRAME_HEADER_BYTES, FrameHeader, HEADER_BYTES, SEGMENT_BYTES_MAX, SegmentHeader, zero_sectors,
};
use super::reader::Tail;
use crate::{Disk, DiskFile, OpenMode, parent};

/// Kind of the frames the writer makes for itself; readers do not show them.
pub(super) const MARK_KIND: u8 = 0;

/// A buffer larger than this is given back after use.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

/// How much of an un-synced tail is copied at once when it is written again.
const REWRITE_BYTES: usize = 1 << 20;

/// The end of a segment that is being written. One owner.
#[derive(Debug)]
pub struct SegmentWriter<F: DiskFile> {
    file: Arc<F>,
    header: SegmentHeader,
    salt: u32,
    /// Of what was appended or staged.
    len: u64,
    chain: u32,
    synced: u64,
    /// Why nothing more may be written.
    broken: Option<&'static str>,
    /// What is staged: the bytes of the segment from [`SegmentWriter::written`] on.
    staged: Vec<u8>,
}

impl<F: DiskFile> SegmentWriter<F> {
    /// Makes a new segment at `path` (which must not exist), durable with its name when this returns. Sync the segment
    /// before it first: a reader takes every damage in a segment that has a successor for corruption.
    pub fn create<D: Disk<File = F>>(disk: &D, path: &str, header: SegmentHeader) -> io::Result<SegmentWriter<F>> {
        let file = disk.open(path, OpenMode::Create)?;
        file.write_at(0, &[&header.encode()])?;
        file.sync()?;
        disk.sync_dir(parent(path))?;
        Ok(SegmentWriter {
            file: Arc::new(file),
            header,
            salt: header.salt(),
            len: HEADER_BYTES,
            chain: header.chain_seed,
            synced: HEADER_BYTES,
            broken: None,
            staged: Vec::new(),
        })
    }

    /// Goes on where a reader of this segment ended. Cuts what stands behind the last good frame, writes the frames that
    /// are not known durable once more (after a sync that failed in an earlier life they may be in the operating
    /// system's cache only, and it believes them clean) and syncs.
    pub fn resume<D: Disk<File = F>>(disk: &D, path: &str, tail: &Tail) -> io::Result<SegmentWriter<F>> {
        assert!(tail.offset >= HEADER_BYTES, "a segment without a header cannot be resumed, only replaced");
        assert!(tail.synced <= tail.offset, "durable, but not there");
        let file = disk.open(path, OpenMode::ReadWrite)?;
        file.truncate(tail.offset)?;
        let mut buffer = vec![0; REWRITE_BYTES.min((tail.offset - tail.synced) as usize)];
        let mut at = tail.synced;
        while at < tail.offset {
            let want = buffer.len().min((tail.offset - at) as usize);
            if file.read_at(at, &mut buffer[..want])? != want {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.write_at(at, &[&buffer[..want]])?;
            at += want as u64;
        }
        file.sync()?;
        Ok(SegmentWriter {
            file: Arc::new(file),
            header: tail.header,
            salt: tail.header.salt(),
            len: tail.offset,
            chain: tail.chain,
            synced: tail.offset,
            broken: None,
            staged: Vec::new(),
        })
    }

    /// Appends frames (kind, parts of the body) with one write; returns where each body begins. Kind 0 is reserved.
    ///
    /// When the disk is full ([`crate::is_full`]) nothing was appended and the writer can go on; after any other error it
    /// refuses everything.
    ///
    /// # Panics
    /// When a body is longer than [`BODY_BYTES_MAX`], a kind is 0, or the segment would pass 4 GiB: start a new one in time.
    pub fn append(&mut self, frames: &[(u8, &[&[u8]])]) -> io::Result<Vec<u64>> {
        for (kind, _) in frames {
            assert!(*kind != MARK_KIND, "frame kind 0 is reserved");
        }
        self.append_any(frames)
    }

    /// Appends frames in memory only, and like [`SegmentWriter::append`] tells where each body begins: they have their
    /// place in the file and in the chain, and [`SegmentWriter::flush`] or anything else that writes or syncs the segment
    /// writes them.
    ///
    /// # Panics
    /// As [`SegmentWriter::append`].
    pub fn stage(&mut self, frames: &[(u8, &[&[u8]])]) -> Vec<u64> {
        for (kind, _) in frames {
            assert!(*kind != MARK_KIND, "frame kind 0 is reserved");
        }
        self.stage_any(frames)
    }

    /// Writes what is staged. When the disk is full ([`crate::is_full`]) it stays staged and this may be called again; after
    /// any other error the writer refuses everything.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.staged.is_empty() {
            return Ok(());
        }
        self.check_whole()?;
        if let Err(error) = self.file.write_at(self.written(), &[&self.staged]) {
            self.broken = Some("an earlier write to this segment failed");
            if crate::is_full(&error) {
                // A disk that cannot even take back is not only full: there is nothing to wait for.
                self.take_back()?;
                self.broken = None;
            }
            return Err(error);
        }
        if self.staged.capacity() > BUFFER_BYTES_KEPT {
            self.staged = Vec::new();
        }
        self.staged.clear();
        Ok(())
    }

    /// Sets room aside for `bytes` in all; what is not used is cut off by [`SegmentWriter::seal`] or when the segment is
    /// resumed. Only a help: where it cannot be had, the segment grows as it is written.
    pub fn allocate(&mut self, bytes: u64) {
        // A full disk is met, and reported, by the append that finds no room.
        let _ = self.file.allocate(bytes.min(SEGMENT_BYTES_MAX));
    }

    /// Cuts off what was set aside and makes everything durable: a successor may be made.
    pub fn seal(&mut self) -> io::Result<()> {
        self.flush()?;
        self.check_whole()?;
        self.file.truncate(self.len)?;
        self.sync_file()
    }

    /// Makes everything appended durable.
    pub fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.check_whole()?;
        if self.synced == self.len {
            return Ok(());
        }
        self.sync_file()
    }

    fn sync_file(&mut self) -> io::Result<()> {
        if let Err(error) = self.file.sync() {
            self.broken = Some("an earlier sync of this segment failed");
            return Err(error);
        }
        self.synced = self.len;
        Ok(())
    }

    /// Takes note that the first `len` bytes were made durable by a sync of [`SegmentWriter::file`] elsewhere.
    pub fn note_synced(&mut self, len: u64) {
        assert!(len <= self.written(), "durable, but not written");
        self.synced = self.synced.max(len);
    }

    /// Syncs, and writes an empty frame that says so, and syncs that: from now on damage anywhere in front of it is known
    /// as damage. For an orderly stop; a segment that gets a successor does not need it.
    pub fn mark_durable(&mut self) -> io::Result<()> {
        self.sync()?;
        self.append_any(&[(MARK_KIND, &[])])?;
        self.sync()
    }

    /// Bytes in the segment, header and what is staged included.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes in the file.
    pub fn written(&self) -> u64 {
        self.len - self.staged.len() as u64
    }

    /// Whether the segment has no frame.
    pub fn is_empty(&self) -> bool {
        self.len == HEADER_BYTES
    }

    /// The bytes known durable.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// The chain value of the last frame: the seed of the segment that follows this one.
    pub fn chain(&self) -> u32 {
        self.chain
    }

    /// What the segment says about itself.
    pub fn header(&self) -> SegmentHeader {
        self.header
    }

    /// The file, for readers.
    pub fn file(&self) -> Arc<F> {
        self.file.clone()
    }

    fn append_any(&mut self, frames: &[(u8, &[&[u8]])]) -> io::Result<Vec<u64>> {
        self.flush()?;
        self.check_whole()?;
        let (len, chain) = (self.len, self.chain);
        let offsets = self.stage_any(frames);
        if let Err(error) = self.flush() {
            (self.len, self.chain) = (len, chain);
            self.staged.clear();
            return Err(error);
        }
        Ok(offsets)
    }

    fn stage_any(&mut self, frames: &[(u8, &[&[u8]])]) -> Vec<u64> {
        let mut buffer = std::mem::take(&mut self.staged);
        let mut offsets = Vec::with_capacity(frames.len());
        for (kind, parts) in frames {
            let (at, before) = (self.len, buffer.len());
            self.chain = self.encode_frame(self.chain, at, *kind, parts, &mut buffer);
            self.len += (buffer.len() - before) as u64;
            offsets.push(at + FRAME_HEADER_BYTES);
        }
        self.staged = buffer;
        offsets
    }

    /// Adds one frame to `buffer`; returns its chain value.
    fn encode_frame(&self, previous: u32, at: u64, kind: u8, parts: &[&[u8]], buffer: &mut Vec<u8>) -> u32 {
        let start = buffer.len();
        let body_start = start + FRAME_HEADER_BYTES as usize;
        buffer.resize(body_start, 0);
        let mut body_check = 0;
        for part in parts {
            body_check = crc32c::crc32c_append(body_check, part);
            buffer.extend_from_slice(part);
        }
        let body_bytes = (buffer.len() - body_start) as u64;
        let end = at + FRAME_HEADER_BYTES + body_bytes;
        assert!(body_bytes <= BODY_BYTES_MAX, "a frame body is too long");
        assert!(end <= SEGMENT_BYTES_MAX, "a segment is too long");
        let mut header = FrameHeader {
            kind,
            zero_sectors: 0,
            body_bytes: body_bytes as u32,
            synced: self.synced as u32,
            body_check,
            previous,
        };
        // The number of zero sectors depends on the header's own bytes where a sector ends inside the header, and the
        // header on the number. So the sectors that the header touches count as "not zero" (their first byte, the
        // mark or the check, is not), and only whole sectors of the body are counted.
        header.zero_sectors = clamp(body_zero_sectors(at, &buffer[start..]));
        header.encode(self.salt, at as u32, &mut buffer[start..body_start])
    }

    /// Takes back what a failed write may have left behind the end.
    fn take_back(&self) -> io::Result<()> {
        self.file.truncate(self.written())?;
        self.file.sync()
    }

    fn check_whole(&self) -> io::Result<()> {
        match self.broken {
            None => Ok(()),
            Some(why) => Err(io::Error::other(why)),
        }
    }
}

/// Zero sectors among those of a frame's sectors that its header does not touch.
pub(super) fn body_zero_sectors(at: u64, frame: &[u8]) -> u64 {
    let header_end = at + FRAME_HEADER_BYTES;
    let first = header_end.next_multiple_of(super::layout::SECTOR_BYTES);
    let skip = (first - at) as usize;
    frame.get(skip..).map_or(0, |rest| zero_sectors(first, rest))
}

fn clamp(count: u64) -> u16 {
    count.min(u64::from(u16::MAX)) as u16
}
