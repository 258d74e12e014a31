//! Reads a segment from front to back in bounded memory, verifying every byte, and judges how it ends.

use std::io;

use bytes::{Bytes, BytesMut};

use super::SegmentError;
use super::layout::{
    FRAME_HEADER_BYTES, FrameHeader, HEADER_BYTES, SECTOR_BYTES, SEGMENT_BYTES_MAX, SegmentHeader, zero_sectors,
};
use super::writer::{MARK_KIND, body_zero_sectors};
use crate::{Disk, DiskFile, OpenMode};

/// How much is read from the disk at once. A longer frame is read whole.
const CHUNK_BYTES: usize = 256 << 10;

/// Where a segment stands in its log, which decides what damage at its end means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The one that is written to: a crash may have torn its tail.
    Last,
    /// It has a successor, so it was synced as a whole: every damage is corruption.
    Sealed,
}

/// How a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// After a whole frame, with nothing or only zeros behind it.
    Clean,
    /// A crash came before the sync of what begins here. Whoever writes next cuts it ([`super::SegmentWriter::resume`]).
    Torn {
        /// Where the good part ends, in bytes from the start of the file. Below [`super::HEADER_BYTES`] (so: 0) not even the header
        /// was written: remove the file and create it anew.
        at: u64,
    },
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the writer called it; never 0.
    pub kind: u8,
    /// Where the body begins, in bytes from the start of the file.
    pub offset: u64,
    /// The body. It shares the memory of up to 256 KiB of its neighbours: copy what is kept long.
    pub body: Bytes,
}

/// The end of the good part of a segment: what a writer needs to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The segment's header.
    pub header: SegmentHeader,
    /// Where the next frame goes, in bytes from the start of the file.
    pub offset: u64,
    /// The chain value of the last frame (or the seed).
    pub chain: u32,
    /// Bytes that the frames say were durable.
    pub synced: u64,
}

/// Iterates over the frames of one segment.
#[derive(Debug)]
pub struct SegmentReader<F: DiskFile> {
    file: F,
    path: String,
    standing: Standing,
    salt: u32,
    file_len: u64,
    tail: Tail,
    /// Set once the last frame has been given out.
    ending: Option<Ending>,
    /// Bytes of the file from `tail.offset` on, as far as they were read ahead.
    ahead: BytesMut,
}

impl<F: DiskFile> SegmentReader<F> {
    /// Opens the segment at `path` and verifies its header. A last segment whose header was never written opens as an
    /// empty one that ends `Torn { at: 0 }`; its header is then not to be believed.
    pub fn open<D: Disk<File = F>>(disk: &D, path: &str, standing: Standing) -> Result<SegmentReader<F>, SegmentError> {
        let io = |source| SegmentError::Io { file: path.into(), source };
        let file = disk.open(path, OpenMode::Read).map_err(io)?;
        let file_len = file.len().map_err(io)?;
        let mut bytes = [0; HEADER_BYTES as usize];
        let count = file.read_at(0, &mut bytes).map_err(io)?;
        let unwritten = SegmentHeader { kind: super::LogKind(0), sequence: 0, chain_seed: 0 };
        let mut reader = SegmentReader {
            file,
            path: path.into(),
            standing,
            salt: 0,
            file_len,
            tail: Tail { header: unwritten, offset: 0, chain: 0, synced: 0 },
            ending: None,
            ahead: BytesMut::new(),
        };
        // The header is one write inside one sector, synced before anything else is written: it is there whole, or the
        // file is empty, or (space but no data came through) it is all zeros.
        if count < bytes.len() || bytes == [0; HEADER_BYTES as usize] {
            if standing == Standing::Last && reader.only_zeros_from(0)? {
                reader.ending = Some(Ending::Torn { at: 0 });
                return Ok(reader);
            }
            return Err(reader.corrupt(0, "the segment has no header"));
        }
        if file_len > SEGMENT_BYTES_MAX {
            return Err(reader.corrupt(SEGMENT_BYTES_MAX, "the segment is longer than 4 GiB"));
        }
        let header = SegmentHeader::decode(&bytes).map_err(|what| reader.corrupt(0, what))?;
        reader.salt = header.salt();
        reader.tail = Tail { header, offset: HEADER_BYTES, chain: header.chain_seed, synced: HEADER_BYTES };
        Ok(reader)
    }

    /// The segment's header.
    pub fn header(&self) -> SegmentHeader {
        self.tail.header
    }

    /// The header, if it is the one the log expects at this place; otherwise an error that says what does not fit.
    pub fn expect_header(&self, expected: SegmentHeader) -> Result<(), SegmentError> {
        let header = self.tail.header;
        if header == expected || self.ending == Some(Ending::Torn { at: 0 }) {
            return Ok(());
        }
        let what = if header.kind != expected.kind {
            format!("segment of log kind {} where {} is expected", header.kind.0, expected.kind.0)
        } else if header.sequence != expected.sequence {
            format!("segment number {} where {} is expected", header.sequence, expected.sequence)
        } else {
            format!(
                "the chain of this segment starts from {:08x}, but the segment before it ends with {:08x}",
                header.chain_seed, expected.chain_seed
            )
        };
        Err(self.corrupt(0, what))
    }

    /// The next frame, or `None` at the end, after which [`SegmentReader::ending`] says how it ended.
    #[allow(clippy::should_implement_trait)] // An iterator of results invites going on after an error.
    pub fn next(&mut self) -> Result<Option<Frame>, SegmentError> {
        while self.ending.is_none() {
            let Some(frame) = self.step()? else { break };
            if frame.kind != MARK_KIND {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// How the segment ended; `None` as long as [`SegmentReader::next`] has not returned `None`.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// The end of what was read so far; the end of the good part once [`SegmentReader::ending`] is known.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// The file, for reading bodies again by their offset.
    pub fn into_file(self) -> F {
        self.file
    }

    /// Reads one frame at the tail, of any kind.
    fn step(&mut self) -> Result<Option<Frame>, SegmentError> {
        let at = self.tail.offset;
        if at == self.file_len {
            self.ending = Some(Ending::Clean);
            return Ok(None);
        }
        let header_bytes = FRAME_HEADER_BYTES as usize;
        self.read_ahead(header_bytes)?;
        if self.ahead.len() < header_bytes {
            let torn = true; // The file ends inside the header.
            return self.end_at(at, torn, "the file ends inside a frame header");
        }
        let Some((header, chain)) = FrameHeader::decode(self.salt, at as u32, &self.ahead[..header_bytes]) else {
            if self.ahead[0] == 0 && self.only_zeros_from(at)? {
                self.ending = Some(Ending::Clean);
                return Ok(None);
            }
            let torn = zero_sectors(at, &self.ahead[..header_bytes]) > 0;
            return self.end_at(at, torn, "a frame header does not match its check");
        };
        if header.previous != self.tail.chain {
            // The header is whole, so this is no torn write: something in front of it is gone or was exchanged.
            return Err(self.corrupt(
                at,
                format!(
                    "the frame follows a frame with chain value {:08x}, but the one before it has {:08x}",
                    header.previous, self.tail.chain
                ),
            ));
        }
        let frame_bytes = header_bytes + header.body_bytes as usize;
        if at + frame_bytes as u64 > self.file_len {
            return self.end_at(at, true, "the file ends inside a frame");
        }
        self.read_ahead(frame_bytes)?;
        if self.ahead.len() < frame_bytes {
            return Err(self.corrupt(at, "the file became shorter while it was read"));
        }
        let body = &self.ahead[header_bytes..frame_bytes];
        if crc32c::crc32c(body) != header.body_check {
            let torn = lost_a_sector(at, &self.ahead[..frame_bytes], &header);
            return self.end_at(at, torn, "a frame body does not match its check");
        }
        let mut frame = self.ahead.split_to(frame_bytes).freeze();
        self.tail.offset += frame_bytes as u64;
        self.tail.chain = chain;
        self.tail.synced = self.tail.synced.max(u64::from(header.synced));
        Ok(Some(Frame { kind: header.kind, offset: at + FRAME_HEADER_BYTES, body: frame.split_off(header_bytes) }))
    }

    /// The frame at `at` does not verify. Decides between a torn tail and corruption.
    fn end_at(&mut self, at: u64, torn: bool, what: &'static str) -> Result<Option<Frame>, SegmentError> {
        if self.standing == Standing::Sealed {
            return Err(self.corrupt(at, format!("{what}, and the segment is not the last")));
        }
        if let Some((later, synced)) = self.later_frame_vouching_for(at)? {
            return Err(
                self.corrupt(at, format!("{what}, and the frame at {later} says that {synced} bytes were durable"))
            );
        }
        if !torn {
            return Err(self.corrupt(at, format!("{what}, and no lost sector explains it")));
        }
        self.ending = Some(Ending::Torn { at });
        self.ahead = BytesMut::new();
        Ok(None)
    }

    /// Looks behind a bad frame, byte by byte, for a frame written when more than `at` bytes were durable.
    fn later_frame_vouching_for(&self, at: u64) -> Result<Option<(u64, u32)>, SegmentError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut start = at + 1;
        loop {
            let count = self.read_at(start, &mut chunk)?;
            if count < FRAME_HEADER_BYTES as usize {
                return Ok(None);
            }
            let last = count - FRAME_HEADER_BYTES as usize;
            for index in 0..=last {
                let place = start + index as u64;
                let bytes = &chunk[index..index + FRAME_HEADER_BYTES as usize];
                if let Some((header, _)) = FrameHeader::decode(self.salt, place as u32, bytes)
                    && u64::from(header.synced) > at
                {
                    return Ok(Some((place, header.synced)));
                }
            }
            start += last as u64 + 1;
        }
    }

    fn only_zeros_from(&self, at: u64) -> Result<bool, SegmentError> {
        let (mut chunk, zeros) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
        let mut start = at;
        loop {
            let count = self.read_at(start, &mut chunk)?;
            if count == 0 {
                return Ok(true);
            }
            // Slices are compared by words, also in a build for debugging: a log with room set aside has many zeros.
            if chunk[..count] != zeros[..count] {
                return Ok(false);
            }
            start += count as u64;
        }
    }

    /// Sees to it that `ahead` holds `want` bytes, or all the file has.
    fn read_ahead(&mut self, want: usize) -> Result<(), SegmentError> {
        let have = self.ahead.len();
        if have >= want {
            return Ok(());
        }
        let start = self.tail.offset + have as u64;
        let left = self.file_len - start;
        let size = (CHUNK_BYTES.max(want - have) as u64).min(left) as usize;
        let mut ahead = std::mem::take(&mut self.ahead);
        ahead.resize(have + size, 0);
        let count = self.read_at(start, &mut ahead[have..])?;
        ahead.truncate(have + count);
        self.ahead = ahead;
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, SegmentError> {
        self.file
            .read_at(offset, buffer)
            .map_err(|source: io::Error| SegmentError::Io { file: self.path.clone(), source })
    }

    fn corrupt(&self, offset: u64, what: impl Into<String>) -> SegmentError {
        SegmentError::Corrupt { file: self.path.clone(), offset, what: what.into() }
    }
}

/// Whether a sector that was never written explains why the body of this frame, whose header is whole, does not verify:
/// the frame has more sectors of zeros than it was written with.
fn lost_a_sector(at: u64, frame: &[u8], header: &FrameHeader) -> bool {
    if body_zero_sectors(at, frame) > u64::from(header.zero_sectors) || header.zero_sectors == u16::MAX {
        return true;
    }
    // The sector in which the header ends, if it is not the one in which it begins. All zeros there would mean that the
    // end of the header's check is zero by chance.
    let split = (at + 1).next_multiple_of(SECTOR_BYTES);
    let header_end = at + FRAME_HEADER_BYTES;
    if split >= header_end {
        return false;
    }
    let end = (split + SECTOR_BYTES - at).min(frame.len() as u64);
    frame[(split - at) as usize..end as usize].iter().all(|byte| *byte == 0)
}
