//! Frames: nine bytes of head, then a payload (RFC 9113, section 4.1).
//!
//! Numbers and layout only. What a frame means is the connection's business.

/// Bytes of a frame's head.
pub const HEAD_BYTES: usize = 9;

/// The largest payload a side may send before it is told otherwise.
pub const PAYLOAD_MAX: usize = 16_384;

/// Frame types.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags; which type they belong to is in the RFC's tables.
pub mod flag {
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
    pub const PRIORITY: u8 = 0x20;
}

/// Identifiers in a SETTINGS frame.
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of payload that follow.
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    /// 0 is the connection itself.
    pub stream: u32,
}

impl Head {
    /// Reads a head; the reserved bit of the stream is ignored, as the RFC asks.
    pub fn parse(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [a, b, c, kind, flags, s @ ..] = *bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes(s) & 0x7fff_ffff,
        }
    }

    /// Appends the head to `out`.
    pub fn write(self, out: &mut Vec<u8>) {
        assert!(self.length <= PAYLOAD_MAX, "a payload that was never allowed");
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        out.extend_from_slice(&[a, b, c, self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
    }

    /// Whether this flag is set.
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_as_it_was_written() {
        let head = Head { length: 0x1234, kind: kind::HEADERS, flags: flag::END_HEADERS, stream: 0x0102_0305 };
        let mut bytes = Vec::new();
        head.write(&mut bytes);
        assert_eq!(bytes, [0, 0x12, 0x34, 1, 4, 1, 2, 3, 5]);
        assert_eq!(Head::parse(bytes.as_slice().try_into().unwrap()), head);
        bytes[5] |= 0x80;
        assert_eq!(Head::parse(bytes.as_slice().try_into().unwrap()), head, "the reserved bit means nothing");
    }
}
