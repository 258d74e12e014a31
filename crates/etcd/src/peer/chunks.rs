//! Bytes as they arrive, taken in pieces of a known length.
//!
//! Nothing is allocated for what a peer announces, only for what it has sent: a piece is handed out once all of it is
//! here. A piece inside one chunk shares it; a piece across chunks is copied once.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// A queue of received chunks.
#[derive(Default)]
pub(super) struct Chunks {
    chunks: VecDeque<Bytes>,
    len: usize,
}

impl Chunks {
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The next `len` bytes, once they have all arrived.
    pub fn take(&mut self, len: usize) -> Option<Bytes> {
        if self.len < len {
            return None;
        }
        self.len -= len;
        let front = match self.chunks.front_mut() {
            Some(front) if len < front.len() => return Some(front.split_to(len)),
            Some(front) if len == front.len() => return self.chunks.pop_front(),
            Some(front) => front,
            None => return Some(Bytes::new()),
        };
        let mut piece = BytesMut::with_capacity(len);
        piece.extend_from_slice(front);
        self.chunks.pop_front();
        while piece.len() < len {
            let Some(front) = self.chunks.front_mut() else { break };
            let part = front.len().min(len - piece.len());
            piece.extend_from_slice(&front[..part]);
            front.advance(part);
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
        assert_eq!(piece.len(), len, "the length of the queue is the sum of its chunks");
        Some(piece.freeze())
    }

    /// A big-endian number of eight bytes.
    pub fn take_u64(&mut self) -> Option<u64> {
        self.take(8).map(|mut bytes| bytes.get_u64())
    }

    /// One byte.
    pub fn take_u8(&mut self) -> Option<u8> {
        self.take(1).map(|mut bytes| bytes.get_u8())
    }

    /// Everything that waits, chunk by chunk.
    pub fn drain(&mut self) -> impl Iterator<Item = Bytes> + '_ {
        self.len = 0;
        self.chunks.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_whole_or_not_at_all() {
        let mut chunks = Chunks::default();
        assert_eq!(chunks.take(1), None);
        assert_eq!(chunks.take(0), Some(Bytes::new()));
        for part in ["ab", "", "cdefg", "h"] {
            chunks.push(Bytes::from_static(part.as_bytes()));
        }
        assert_eq!(chunks.take(9), None);
        assert_eq!(chunks.take(1).unwrap(), "a");
        assert_eq!(chunks.take(3).unwrap(), "bcd", "across two chunks");
        assert_eq!(chunks.take(3).unwrap(), "efg", "exactly the rest of one");
        assert_eq!((chunks.len(), chunks.take_u8()), (1, Some(b'h')));
        assert_eq!(chunks.take_u64(), None);
    }

    #[test]
    fn a_piece_inside_a_chunk_is_not_copied() {
        let whole = Bytes::from(vec![7; 100]);
        let mut chunks = Chunks::default();
        chunks.push(whole.clone());
        let piece = chunks.take(40).unwrap();
        assert_eq!(piece.as_ptr(), whole.as_ptr());
        assert_eq!(chunks.drain().map(|chunk| chunk.len()).sum::<usize>(), 60);
        assert_eq!(chunks.len(), 0);
    }
}
