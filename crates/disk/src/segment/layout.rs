//! The bytes of a segment: encoding and checking of its two headers. Computes only; see `docs/format.md` for the drawing.

/// Bytes of the segment header; the first frame begins here.
pub const HEADER_BYTES: u64 = 32;

/// Bytes of a frame before its body.
pub const FRAME_HEADER_BYTES: u64 = 24;

/// The longest body, in bytes. Generous: a request is rarely above 1.5 MiB.
pub const BODY_BYTES_MAX: u64 = 512 << 20;

/// The longest segment, in bytes: offsets inside a segment are 32 bits.
pub(super) const SEGMENT_BYTES_MAX: u64 = u32::MAX as u64;

/// What a disk writes as a whole or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;

/// First byte of a frame. Not zero, so that a frame is never taken for space that was not written.
pub(super) const FRAME_MARK: u8 = 0xA7;

const MAGIC: [u8; 8] = *b"QUORSEG\n";
const FORMAT_VERSION: u16 = 1;

/// Which log a segment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogKind(pub u8);

impl LogKind {
    /// The write-ahead log.
    pub const WAL: LogKind = LogKind(1);
    /// The revision log. 2 was one whose items did not say where they lie.
    pub const REVISIONS: LogKind = LogKind(3);
}

/// What a segment says about itself in its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Which log it belongs to.
    pub kind: LogKind,
    /// Its place in the log.
    pub sequence: u64,
    /// What its chain starts from: the last chain value of the segment before it, so that no segment can be missing or
    /// cut unseen. Zero for the first.
    pub chain_seed: u32,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[10] = self.kind.0;
        bytes[12..16].copy_from_slice(&self.chain_seed.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        let check = crc32c::crc32c(&bytes[..28]);
        bytes[28..32].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, or what is wrong with it.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES as usize]) -> Result<SegmentHeader, String> {
        if bytes[0..8] != MAGIC {
            return Err("this is not a segment (wrong magic)".into());
        }
        if u32_at(bytes, 28) != crc32c::crc32c(&bytes[..28]) {
            return Err("the segment header does not match its check".into());
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != FORMAT_VERSION {
            return Err(format!("format version {version} is not known (this program reads {FORMAT_VERSION})"));
        }
        if bytes[11] != 0 || bytes[24..28] != [0; 4] {
            return Err("reserved bytes of the segment header are not zero".into());
        }
        let mut sequence = [0; 8];
        sequence.copy_from_slice(&bytes[16..24]);
        Ok(SegmentHeader {
            kind: LogKind(bytes[10]),
            sequence: u64::from_le_bytes(sequence),
            chain_seed: u32_at(bytes, 12),
        })
    }

    /// Ties every frame to its segment: the header's own check.
    pub fn salt(&self) -> u32 {
        u32_at(&self.encode(), 28)
    }
}

/// The 24 bytes before a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub kind: u8,
    /// How many of the sectors this frame touches hold nothing but zeros of it; `u16::MAX` means "that many or more".
    pub zero_sectors: u16,
    pub body_bytes: u32,
    /// Bytes of the segment known durable when the frame was written.
    pub synced: u32,
    pub body_check: u32,
    /// The chain value of the frame before.
    pub previous: u32,
}

impl FrameHeader {
    /// Writes the header of a frame that begins at `offset` of the segment with this salt; returns its chain value.
    pub(super) fn encode(&self, salt: u32, offset: u32, out: &mut [u8]) -> u32 {
        out[0] = FRAME_MARK;
        out[1] = self.kind;
        out[2..4].copy_from_slice(&self.zero_sectors.to_le_bytes());
        out[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[8..12].copy_from_slice(&self.synced.to_le_bytes());
        out[12..16].copy_from_slice(&self.body_check.to_le_bytes());
        out[16..20].copy_from_slice(&self.previous.to_le_bytes());
        let chain = frame_check(salt, offset, &out[..20]);
        out[20..24].copy_from_slice(&chain.to_le_bytes());
        chain
    }

    /// The header and its chain value, if these bytes verify as a frame at `offset` of the segment with this salt.
    pub(super) fn decode(salt: u32, offset: u32, bytes: &[u8]) -> Option<(FrameHeader, u32)> {
        let chain = u32_at(bytes, 20);
        if bytes[0] != FRAME_MARK || chain != frame_check(salt, offset, &bytes[..20]) {
            return None;
        }
        let header = FrameHeader {
            kind: bytes[1],
            zero_sectors: u16::from_le_bytes([bytes[2], bytes[3]]),
            body_bytes: u32_at(bytes, 4),
            synced: u32_at(bytes, 8),
            body_check: u32_at(bytes, 12),
            previous: u32_at(bytes, 16),
        };
        // What no writer writes is not a frame, whatever its check says.
        let plausible = u64::from(header.body_bytes) <= BODY_BYTES_MAX && header.synced <= offset;
        plausible.then_some((header, chain))
    }
}

/// How long the body is of the frame that begins at `offset` of the segment with this salt, if `bytes` begin with its header.
/// A frame of another place or another segment has none.
pub fn body_bytes_of_frame(salt: u32, offset: u64, bytes: &[u8]) -> Option<u32> {
    let header = bytes.get(..FRAME_HEADER_BYTES as usize)?;
    FrameHeader::decode(salt, u32::try_from(offset).ok()?, header).map(|(header, _)| header.body_bytes)
}

/// The check of a frame header: over the segment, the place, and the fields (which hold the body's check and the chain value
/// of the frame before).
fn frame_check(salt: u32, offset: u32, fields: &[u8]) -> u32 {
    let mut bytes = [0; 28];
    bytes[0..4].copy_from_slice(&salt.to_le_bytes());
    bytes[4..8].copy_from_slice(&offset.to_le_bytes());
    bytes[8..28].copy_from_slice(fields);
    crc32c::crc32c(&bytes)
}

/// How many of the disk's sectors that `bytes`, laid at `offset`, touches hold nothing but zeros of it.
pub(super) fn zero_sectors(offset: u64, bytes: &[u8]) -> u64 {
    let mut count = 0;
    let mut start = 0;
    let mut room = (SECTOR_BYTES - offset % SECTOR_BYTES) as usize;
    while start < bytes.len() {
        let end = (start + room).min(bytes.len());
        count += u64::from(bytes[start..end].iter().all(|byte| *byte == 0));
        start = end;
        room = SECTOR_BYTES as usize;
    }
    count
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
