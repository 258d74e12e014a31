//! The newest part of the revision log, kept in memory as it was written.
//!
//! Each body of a frame is one buffer, shared by whoever reads it: replies, events, views. What falls out at the old end
//! stays alive for the views that hold it, and is read from the disk by all others.

use bytes::Bytes;

use super::growing::Growing;

/// The body of one frame.
#[derive(Clone, Debug)]
struct Body {
    segment: u32,
    offset: u64,
    bytes: Bytes,
}

/// Bodies in the order they were written. Cloning is cheap.
#[derive(Clone, Debug)]
pub(crate) struct Resident {
    bodies: Growing<Body>,
    size_bytes: usize,
}

impl Resident {
    pub(crate) fn new() -> Resident {
        Resident { bodies: Growing::new(), size_bytes: 0 }
    }

    /// Adds the newest body and lets the oldest go as long as `size_bytes_max` are left without them.
    pub(crate) fn push(&mut self, segment: u32, offset: u64, bytes: Bytes, size_bytes_max: usize) {
        self.size_bytes += bytes.len();
        self.bodies.push(Body { segment, offset, bytes });
        let mut left = self.size_bytes;
        if left > size_bytes_max {
            self.bodies.drop_front(|bodies| {
                let size: usize = bodies.iter().map(|body| body.bytes.len()).sum();
                let enough = left - size >= size_bytes_max;
                left -= if enough { size } else { 0 };
                enough
            });
            self.size_bytes = left;
        }
    }

    /// What is in memory from `offset` of a segment on, to the end of its frame.
    pub(crate) fn from(&self, segment: u32, offset: u64) -> Option<Bytes> {
        let behind = self.bodies.partition_point(|body| (body.segment, body.offset) <= (segment, offset));
        let body = self.bodies.get(behind.checked_sub(1)?);
        let start = usize::try_from(offset - body.offset.min(offset)).ok()?;
        (body.segment == segment && start < body.bytes.len()).then(|| body.bytes.slice(start..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bodies_stay_and_are_found_by_place() {
        let mut resident = Resident::new();
        for number in 0..1000u64 {
            let body = Bytes::from(vec![number as u8; 100]);
            resident.push((number / 400) as u32, 32 + (number % 400) * 124, body, 20_000);
        }
        assert_eq!(resident.from(2, 32 + 199 * 124 + 99).as_deref(), Some(&[231][..]));
        assert_eq!(resident.from(2, 32 + 199 * 124).map(|bytes| bytes.len()), Some(100));
        assert_eq!(resident.from(2, 32 + 199 * 124 + 100), None, "between two bodies");
        assert_eq!(resident.from(2, 0), None);
        assert_eq!(resident.from(0, 32), None, "fallen out");
        assert_eq!(resident.from(3, 32), None);
        assert!((20_000..30_000).contains(&resident.size_bytes));
    }
}
