//! The bytes of one item of the revision log. Computes only.
//!
//! A frame's body is a prelude and items; an item is a change of a key or of anything else that is replicated.
//!
//! ```text
//!   body     ┌─────────┬──────┬──────────┬───────────┬──────┬──────┬─ ─
//!            │ applied │ term │ revision │ compacted │ item │ item │ …      four varints, then items to the end
//!            └─────────┴──────┴──────────┴───────────┴──────┴──────┴─ ─
//!   item     ┌───────┬──────────────────┬──────┐
//!            │ check │ size ·16 + kind  │ body │                            u32 LE, u32 LE; size is of the whole item,
//!            └───────┴──────────────────┴──────┘                            check is CRC-32C of all that follows it
//!   change   ┌─────┬──────────┬────────────────┬───────────────────────┐
//!   of a key │ sub │ previous │ [previous sub] │ encoded KeyValue      │    varints; previous is 0, or 1 + how far back
//!            └─────┴──────────┴────────────────┴───────────────────────┘    the main revision of the change before is
//! ```
//!
//! The KeyValue of a put is the wire's, with every field; of a deletion it is key and mod_revision, which is what a
//! delete event carries. An item has a check of its own, beside the frame's, so that one record can be read and trusted
//! without its frame.

use bytes::{BufMut, Bytes, BytesMut};

use crate::revision::Revision;

/// Bytes of an item before its body.
pub(crate) const ITEM_HEADER_BYTES: usize = 8;

/// The longest item, in bytes.
const ITEM_BYTES_MAX: usize = (1 << 28) - 1;

/// What an item is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ItemKind {
    /// A key was put.
    Put = 1,
    /// A key was deleted.
    Delete = 2,
    /// A lease came to be: id, ttl, remaining.
    Lease = 3,
    /// A lease ended: id.
    LeaseRevoked = 4,
    /// The whole roster, because something in it changed.
    Roster = 5,
    /// All active alarms, because one changed.
    Alarms = 6,
    /// In a rewritten segment: the chain value the segments before the rewriting ended with.
    Origin = 7,
}

impl ItemKind {
    fn from_number(number: u32) -> Option<ItemKind> {
        use ItemKind::*;
        [Put, Delete, Lease, LeaseRevoked, Roster, Alarms, Origin].into_iter().find(|kind| *kind as u32 == number)
    }

    pub(crate) fn is_change_of_key(self) -> bool {
        matches!(self, ItemKind::Put | ItemKind::Delete)
    }
}

/// What stands at the beginning of every frame: where the store was after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prelude {
    pub(crate) applied: u64,
    pub(crate) term: u64,
    pub(crate) revision: i64,
    pub(crate) compacted: i64,
}

/// The most bytes a prelude takes.
pub(crate) const PRELUDE_BYTES_MAX: usize = 40;

impl Prelude {
    pub(crate) fn encode(&self, out: &mut impl BufMut) {
        put_varint(out, self.applied);
        put_varint(out, self.term);
        put_varint(out, self.revision as u64);
        put_varint(out, self.compacted as u64);
    }

    /// The prelude and how many bytes it took.
    pub(crate) fn decode(body: &[u8]) -> Option<(Prelude, usize)> {
        let mut rest = body;
        let prelude = Prelude {
            applied: take_varint(&mut rest)?,
            term: take_varint(&mut rest)?,
            revision: take_varint(&mut rest)? as i64,
            compacted: take_varint(&mut rest)? as i64,
        };
        Some((prelude, body.len() - rest.len()))
    }
}

/// One item, borrowed from the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    pub(crate) kind: ItemKind,
    /// Bytes of the whole item.
    pub(crate) size: usize,
    pub(crate) body: &'a [u8],
}

/// The size in bytes that the item at the beginning of `bytes` claims, if its header is there and makes sense.
pub(crate) fn item_size(bytes: &[u8]) -> Option<usize> {
    let word = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    let size = (word >> 4) as usize;
    (size >= ITEM_HEADER_BYTES).then_some(size)
}

impl<'a> Item<'a> {
    /// The item at the beginning of `bytes`. `None` when it is cut, unknown, or does not match its check.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Item<'a>> {
        let item = Item::decode_unchecked(bytes)?;
        let check = u32::from_le_bytes(*bytes.first_chunk()?);
        (check == crc32c::crc32c(&bytes[4..item.size])).then_some(item)
    }

    /// The same for bytes that were verified already or never left this process.
    pub(crate) fn decode_unchecked(bytes: &'a [u8]) -> Option<Item<'a>> {
        let size = item_size(bytes)?;
        let word = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
        let kind = ItemKind::from_number(word & 15)?;
        Some(Item { kind, size, body: bytes.get(ITEM_HEADER_BYTES..size)? })
    }

    /// The item as a change of a key.
    pub(crate) fn change(&self) -> Option<Change<'a>> {
        if !self.kind.is_change_of_key() {
            return None;
        }
        let mut rest = self.body;
        let sub = u32::try_from(take_varint(&mut rest)?).ok()?;
        let back = take_varint(&mut rest)?;
        let previous_sub = if back > 0 { u32::try_from(take_varint(&mut rest)?).ok()? } else { 0 };
        let pair = Pair::decode(rest)?;
        let main = pair.modified;
        let previous = (back > 0).then(|| Revision { main: main - (back as i64 - 1), sub: previous_sub });
        Some(Change {
            tombstone: self.kind == ItemKind::Delete,
            revision: Revision { main, sub },
            previous,
            pair,
            kv: rest,
            kv_start: self.size - rest.len(),
        })
    }
}

/// A change of one key, as its item tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) tombstone: bool,
    pub(crate) revision: Revision,
    /// The change of the same key before this one, if there was any (of an earlier life too).
    pub(crate) previous: Option<Revision>,
    pub(crate) pair: Pair<'a>,
    /// The encoded KeyValue.
    pub(crate) kv: &'a [u8],
    /// Where `kv` begins in the item.
    pub(crate) kv_start: usize,
}

/// The fields of an encoded `mvccpb.KeyValue`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The main revision that began this life of the key.
    pub created: i64,
    /// The main revision of this change.
    pub modified: i64,
    /// How many puts this life has seen.
    pub version: i64,
    /// The value.
    pub value: &'a [u8],
    /// The lease the key is attached to; 0 for none.
    pub lease: i64,
}

impl<'a> Pair<'a> {
    /// Reads the fields. `None` when the bytes are not a KeyValue.
    pub fn decode(mut bytes: &'a [u8]) -> Option<Pair<'a>> {
        let mut pair = Pair::default();
        while !bytes.is_empty() {
            match take_varint(&mut bytes)? {
                0x0a => pair.key = take_bytes(&mut bytes)?,
                0x10 => pair.created = take_varint(&mut bytes)? as i64,
                0x18 => pair.modified = take_varint(&mut bytes)? as i64,
                0x20 => pair.version = take_varint(&mut bytes)? as i64,
                0x2a => pair.value = take_bytes(&mut bytes)?,
                0x30 => pair.lease = take_varint(&mut bytes)? as i64,
                _ => return None,
            }
        }
        Some(pair)
    }

    /// Appends the encoded message: the bytes etcd would write, field after field, zeros left out.
    pub fn encode(&self, out: &mut impl BufMut) {
        put_field_bytes(out, 0x0a, self.key);
        put_field(out, 0x10, self.created);
        put_field(out, 0x18, self.modified);
        put_field(out, 0x20, self.version);
        put_field_bytes(out, 0x2a, self.value);
        put_field(out, 0x30, self.lease);
    }
}

/// The beginning of a delete event's encoded KeyValue that holds the key alone, as etcd's key bucket stores deletions.
pub(crate) fn key_alone(kv: &[u8]) -> &[u8] {
    let mut rest = kv;
    if take_varint(&mut rest) == Some(0x0a) && take_bytes(&mut rest).is_some() {
        return &kv[..kv.len() - rest.len()];
    }
    // An empty key leaves no field.
    &[]
}

/// Appends one item; `body` writes what it holds. Returns where the item begins in `out` and its size.
pub(crate) fn encode_item(out: &mut BytesMut, kind: ItemKind, body: impl FnOnce(&mut BytesMut)) -> (usize, usize) {
    let start = out.len();
    out.put_u64_le(0);
    body(out);
    let size = out.len() - start;
    assert!(size <= ITEM_BYTES_MAX, "an item of the revision log is too long");
    let word = (size as u32) << 4 | kind as u32;
    out[start + 4..start + 8].copy_from_slice(&word.to_le_bytes());
    let check = crc32c::crc32c(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&check.to_le_bytes());
    (start, size)
}

/// Appends the item of a change of a key. Returns where it begins in `out`, its size, and where the KeyValue begins.
pub(crate) fn encode_change(
    out: &mut BytesMut,
    tombstone: bool,
    revision: Revision,
    previous: Option<Revision>,
    pair: &Pair<'_>,
) -> (usize, usize, usize) {
    out.reserve(64 + pair.key.len() + pair.value.len());
    let kind = if tombstone { ItemKind::Delete } else { ItemKind::Put };
    let mut kv_start = 0;
    let (start, size) = encode_item(out, kind, |out| {
        put_varint(out, u64::from(revision.sub));
        match previous {
            None => put_varint(out, 0),
            Some(previous) => {
                assert!(previous < revision, "a change comes after the one before it");
                put_varint(out, (revision.main - previous.main) as u64 + 1);
                put_varint(out, u64::from(previous.sub));
            }
        }
        kv_start = out.len();
        pair.encode(out);
    });
    (start, size, kv_start)
}

pub(crate) fn put_varint(out: &mut impl BufMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            // The tenth byte has room for one bit only.
            if at == 9 && *byte > 1 {
                return None;
            }
            *bytes = &bytes[at + 1..];
            return Some(number);
        }
    }
    None
}

pub(crate) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let size = usize::try_from(take_varint(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(size)?;
    *bytes = rest;
    Some(taken)
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(out: &mut impl BufMut, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

fn put_field(out: &mut impl BufMut, tag: u8, number: i64) {
    if number != 0 {
        out.put_u8(tag);
        put_varint(out, number as u64);
    }
}

fn put_field_bytes(out: &mut impl BufMut, tag: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.put_u8(tag);
        put_bytes(out, bytes);
    }
}

/// The part of `whole` that `part` (a slice of it) is, sharing it.
pub(crate) fn share(whole: &Bytes, start: usize, size: usize) -> Bytes {
    whole.slice(start..start + size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use proto::mvccpb::KeyValue;

    #[test]
    fn a_pair_is_what_prost_would_write() {
        for (value, lease) in [(&b""[..], 0), (b"value", 7), (b"\0\xff", -1), (b"", i64::MIN)] {
            let pair = Pair { key: b"key", created: 3, modified: 300, version: 2, value, lease };
            let mut bytes = Vec::new();
            pair.encode(&mut bytes);
            let message = KeyValue {
                key: Bytes::from_static(b"key"),
                create_revision: 3,
                mod_revision: 300,
                version: 2,
                value: Bytes::copy_from_slice(value),
                lease,
            };
            assert_eq!(bytes, message.encode_to_vec());
            assert_eq!(Pair::decode(&bytes), Some(pair));
            for cut in 1..bytes.len() {
                let part = Pair::decode(&bytes[..cut]);
                assert!(part.is_none_or(|part| part != pair), "a part is not the whole");
            }
        }
    }

    #[test]
    fn a_change_comes_back_and_knows_when_it_is_damaged() {
        let revision = Revision { main: 70_000, sub: 3 };
        for previous in [None, Some(Revision { main: 70_000, sub: 1 }), Some(Revision { main: 2, sub: 900 })] {
            let pair = Pair { key: b"k", created: 2, modified: 70_000, version: 4, value: b"v", lease: 0 };
            let mut out = BytesMut::new();
            out.put_slice(b"before");
            let (start, size, kv_start) = encode_change(&mut out, false, revision, previous, &pair);
            assert_eq!((start, start + size), (6, out.len()));
            let item = Item::decode(&out[start..]).expect("an item");
            let change = item.change().expect("a change");
            assert_eq!((change.revision, change.previous, change.tombstone), (revision, previous, false));
            assert_eq!(change.kv, &out[kv_start..]);
            assert_eq!(change.kv_start, kv_start - start);
            assert_eq!(change.pair, pair);
            for at in start..out.len() {
                let mut damaged = out.clone();
                damaged[at] ^= 0x40;
                assert!(Item::decode(&damaged[start..]).is_none(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_deletion_begins_with_its_key_alone() {
        let mut kv = Vec::new();
        Pair { key: b"gone", modified: 9, ..Pair::default() }.encode(&mut kv);
        let alone = KeyValue { key: Bytes::from_static(b"gone"), ..KeyValue::default() }.encode_to_vec();
        assert_eq!(key_alone(&kv), alone);
    }

    #[test]
    fn varints_end_where_they_must() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::MAX >> 1, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            assert_eq!(take_varint(&mut &out[..]), Some(number));
            assert_eq!(take_varint(&mut &out[..out.len() - 1]), None);
        }
        assert_eq!(take_varint(&mut &[0xff; 10][..]), None);
    }
}
