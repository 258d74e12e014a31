//! Which keys a request speaks of: etcd's `key` and `range_end` conventions, resolved once.
//!
//! Everything behind the wire uses [`KeyRange`], so no other place may interpret an empty or a `"\0"` range end.

/// A set of neighbouring keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyRange<'a> {
    /// Exactly this key.
    One(&'a [u8]),
    /// Every key in `[from, end)`. Holds nothing when `end <= from`; that is no error.
    Span {
        /// The lowest key that belongs to the range.
        from: &'a [u8],
        /// The lowest key above the range.
        end: &'a [u8],
    },
    /// Every key at or above this one. `From(b"")` is every key.
    From(&'a [u8]),
}

impl<'a> KeyRange<'a> {
    /// Every key there is.
    pub const ALL: KeyRange<'static> = KeyRange::From(b"");

    /// Resolves the wire form (`RangeRequest`, `DeleteRangeRequest`, `Compare`, `WatchCreateRequest`):
    /// an empty `range_end` means the single key, one NUL byte means every key at or above `key`.
    pub fn from_wire(key: &'a [u8], range_end: &'a [u8]) -> KeyRange<'a> {
        match range_end {
            b"" => KeyRange::One(key),
            b"\0" => KeyRange::From(key),
            end => KeyRange::Span { from: key, end },
        }
    }

    /// Whether `key` belongs to the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match *self {
            KeyRange::One(one) => key == one,
            KeyRange::Span { from, end } => from <= key && key < end,
            KeyRange::From(from) => from <= key,
        }
    }

    /// Whether no key at all can belong to the range.
    pub fn is_empty(&self) -> bool {
        matches!(*self, KeyRange::Span { from, end } if end <= from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_conventions() {
        assert_eq!(KeyRange::from_wire(b"a", b""), KeyRange::One(b"a"));
        assert_eq!(KeyRange::from_wire(b"a", b"\0"), KeyRange::From(b"a"));
        assert_eq!(KeyRange::from_wire(b"\0", b"\0"), KeyRange::From(b"\0"));
        assert_eq!(KeyRange::from_wire(b"a", b"\0\0"), KeyRange::Span { from: b"a", end: b"\0\0" });
        assert_eq!(KeyRange::from_wire(b"a", b"b"), KeyRange::Span { from: b"a", end: b"b" });
    }

    #[test]
    fn an_end_at_or_below_the_start_holds_nothing() {
        for end in [&b"a"[..], b"m", b"\0\0"] {
            let range = KeyRange::from_wire(b"m", end);
            assert!(range.is_empty());
            assert!(!range.contains(b"a"));
            assert!(!range.contains(b"m"));
            assert!(!range.contains(b"z"));
        }
    }

    #[test]
    fn membership() {
        let span = KeyRange::from_wire(b"b", b"d");
        assert!(!span.is_empty());
        assert!(span.contains(b"b") && span.contains(b"c\xff") && !span.contains(b"d") && !span.contains(b"a"));
        assert!(KeyRange::One(b"k").contains(b"k") && !KeyRange::One(b"k").contains(b"k\0"));
        assert!(KeyRange::ALL.contains(b"") && KeyRange::ALL.contains(b"\xff\xff"));
        assert!(!KeyRange::From(b"b").contains(b"a\xff"));
    }
}
