//! The bytes of one item of the revision log. Computes only.
//!
//! A frame's body is a prelude and items; an item is a change of a key or of anything else that is replicated.
//!
//! ```text
//!   body     ┌──────┬─────────┬──────┬──────────┬───────────┬──────┬──────┬─ ─
//!            │ size │ applied │ term │ revision │ compacted │ item │ item │ …   u32 LE, four u64 LE, then items to the end;
//!            └──────┴─────────┴──────┴──────────┴───────────┴──────┴──────┴─ ─  size is of the whole body
//!   item     ┌───────┬──────────────────┬──────┐
//!            │ check │ size ·16 + kind  │ body │                            u32 LE, u32 LE; size is of the whole item,
//!            └───────┴──────────────────┴──────┘                            check is CRC-32C of all that follows it, tied
//!                                                                           to the place where it lies
//!   change   ┌─────┬──────────┬────────────────┬───────────────────────┐
//!   of a key │ sub │ previous │ [previous sub] │ encoded KeyValue      │    varints; previous is 0, or 1 + how far back
//!            └─────┴──────────┴────────────────┴───────────────────────┘    the main revision of the change before is
//! ```
//!
//! The KeyValue of a put is the wire's, with every field; of a deletion it is key and mod_revision, which is what a
//! delete event carries. An item has a check of its own, beside the frame's, so that one record can be read and trusted
//! without its frame. The check holds at one place of one segment only: a disk may read what lies elsewhere, which is whole
//! and not what was asked for. While a body is made its items are not tied to a place; whoever seals it does that.

use bytes::{BufMut, BytesMut};

use crate::reply::key_value::KeyValueRef;
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
    /// In a checkpoint: the first segment that counts; what is older was replaced by a snapshot.
    Base = 8,
    /// What the records that a sweep has left out of this segment add to the hash chain.
    Dropped = 9,
    /// Where the hash chain starts: version, base, offset.
    Chain = 10,
}

impl ItemKind {
    fn from_number(number: u32) -> Option<ItemKind> {
        use ItemKind::*;
        [Put, Delete, Lease, LeaseRevoked, Roster, Alarms, Origin, Base, Dropped, Chain]
            .into_iter()
            .find(|kind| *kind as u32 == number)
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

/// Bytes of a prelude.
pub(crate) const PRELUDE_BYTES: usize = 36;

impl Prelude {
    /// The prelude of a body of `body_bytes`, itself included.
    pub(crate) fn encode(&self, body_bytes: usize) -> [u8; PRELUDE_BYTES] {
        let mut out = [0; PRELUDE_BYTES];
        let numbers = [self.applied, self.term, self.revision as u64, self.compacted as u64];
        out[..4].copy_from_slice(&(body_bytes as u32).to_le_bytes());
        for (place, number) in out[4..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        out
    }

    /// The prelude at the beginning of `bytes` and the size of the body it begins.
    pub(crate) fn decode(bytes: &[u8]) -> Option<(Prelude, usize)> {
        let bytes: &[u8; PRELUDE_BYTES] = bytes.first_chunk()?;
        let size = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
        let mut numbers = [0; 4];
        for (number, place) in numbers.iter_mut().zip(bytes[4..].chunks_exact(8)) {
            *number = u64::from_le_bytes(*place.first_chunk()?);
        }
        let [applied, term, revision, compacted] = numbers;
        let prelude = Prelude { applied, term, revision: revision as i64, compacted: compacted as i64 };
        (size >= PRELUDE_BYTES).then_some((prelude, size))
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

/// Where an item lies, as a number that its check is tied to. Two places of one segment never have the same.
fn place_number(salt: u32, offset: u64) -> u32 {
    salt ^ (offset as u32).wrapping_mul(0x9e37_79b1)
}

/// Ties the items of a body that will lie at `offset` of the segment with this salt to their places. Once.
pub(crate) fn tie_items(body: &mut [u8], salt: u32, offset: u64) {
    let mut at = PRELUDE_BYTES;
    while at < body.len() {
        let Some(size) = item_size(&body[at..]) else { unreachable!("a body of our own consists of items") };
        for (byte, number) in body[at..at + 4].iter_mut().zip(place_number(salt, offset + at as u64).to_le_bytes()) {
            *byte ^= number;
        }
        at += size;
    }
}

/// Makes the check of an item that lay somewhere one that is not tied to a place yet.
pub(crate) fn untie_item(item: &mut [u8]) {
    let check = crc32c::crc32c(&item[4..]);
    item[..4].copy_from_slice(&check.to_le_bytes());
}

impl<'a> Item<'a> {
    /// The item at the beginning of `bytes`, which were read at `offset` of the segment with this salt. `None` when it is
    /// cut, unknown, does not match its check, or belongs elsewhere.
    pub(crate) fn decode(bytes: &'a [u8], salt: u32, offset: u64) -> Option<Item<'a>> {
        let item = Item::decode_unchecked(bytes)?;
        let check = u32::from_le_bytes(*bytes.first_chunk()?) ^ place_number(salt, offset);
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
        let pair = KeyValueRef::decode(rest).ok()?;
        let main = pair.mod_revision;
        let previous = (back > 0).then(|| Revision { main: main - (back as i64 - 1), sub: previous_sub });
        Some(Change {
            tombstone: self.kind == ItemKind::Delete,
            revision: Revision { main, sub },
            previous,
            kv_fields: pair,
            kv: rest,
            kv_start: self.size - rest.len(),
        })
    }
}

/// The most bytes before the KeyValue of a change: the header and three varints.
pub(crate) const CHANGE_START_BYTES_MAX: usize = ITEM_HEADER_BYTES + 5 + 10 + 5;

/// Where the KeyValue begins in a change of a key, from the beginning of its item alone.
pub(crate) fn kv_start(item: &[u8]) -> Option<usize> {
    let mut rest = item.get(ITEM_HEADER_BYTES..)?;
    take_varint(&mut rest)?;
    if take_varint(&mut rest)? > 0 {
        take_varint(&mut rest)?;
    }
    Some(item.len() - rest.len())
}

/// The revision of a change of a key, without looking at the rest of it. `None` where that is not told as a writer tells it.
pub(crate) fn revision_of(item: &[u8]) -> Option<Revision> {
    let mut rest = item.get(ITEM_HEADER_BYTES..)?;
    let sub = u32::try_from(take_varint(&mut rest)?).ok()?;
    if take_varint(&mut rest)? > 0 {
        take_varint(&mut rest)?;
    }
    // In the KeyValue: the key, the revision of creation, the revision of the change; each is left out where it is nothing.
    if rest.first() == Some(&0x0a) {
        rest = &rest[1..];
        take_bytes(&mut rest)?;
    }
    if rest.first() == Some(&0x10) {
        rest = &rest[1..];
        take_varint(&mut rest)?;
    }
    let (0x18, mut rest) = rest.split_first().map(|(tag, rest)| (*tag, rest))? else { return None };
    Some(Revision { main: take_varint(&mut rest)? as i64, sub })
}

/// A change of one key, as its item tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) tombstone: bool,
    pub(crate) revision: Revision,
    /// The change of the same key before this one, if there was any (of an earlier life too).
    pub(crate) previous: Option<Revision>,
    pub(crate) kv_fields: KeyValueRef<'a>,
    /// The encoded KeyValue.
    pub(crate) kv: &'a [u8],
    /// Where `kv` begins in the item.
    pub(crate) kv_start: usize,
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
    pair: &KeyValueRef<'_>,
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
        pair.encode_into(out);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_comes_back_and_knows_when_it_is_damaged() {
        let revision = Revision { main: 70_000, sub: 3 };
        for previous in [None, Some(Revision { main: 70_000, sub: 1 }), Some(Revision { main: 2, sub: 900 })] {
            let pair =
                KeyValueRef { key: b"k", create_revision: 2, mod_revision: 70_000, version: 4, value: b"v", lease: 0 };
            let mut out = BytesMut::new();
            out.put_slice(b"before");
            let (start, size, kv_start) = encode_change(&mut out, false, revision, previous, &pair);
            assert_eq!((start, start + size), (6, out.len()));
            let (offset, body_at) = (4_000 + start as u64, 4_000 + start as u64 - PRELUDE_BYTES as u64);
            let mut body = vec![0; PRELUDE_BYTES];
            body.extend_from_slice(&out[start..]);
            tie_items(&mut body, 7, body_at);
            out.truncate(start);
            out.extend_from_slice(&body[PRELUDE_BYTES..]);
            let item = Item::decode(&out[start..], 7, offset).expect("an item");
            assert!(Item::decode(&out[start..], 7, offset + 512).is_none(), "it does not lie there");
            assert!(Item::decode(&out[start..], 8, offset).is_none(), "nor in that segment");
            let change = item.change().expect("a change");
            assert_eq!((change.revision, change.previous, change.tombstone), (revision, previous, false));
            assert_eq!(revision_of(&out[start..]), Some(revision));
            assert_eq!(change.kv, &out[kv_start..]);
            assert_eq!(change.kv_start, kv_start - start);
            let beginning = &out[start..out.len().min(start + CHANGE_START_BYTES_MAX)];
            assert_eq!(super::kv_start(beginning), Some(change.kv_start));
            assert_eq!(change.kv_fields, pair);
            for at in start..out.len() {
                let mut damaged = out.clone();
                damaged[at] ^= 0x40;
                assert!(Item::decode(&damaged[start..], 7, offset).is_none(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_deletion_begins_with_its_key_alone() {
        let kv = KeyValueRef { key: b"gone", mod_revision: 9, ..KeyValueRef::default() }.encode();
        let alone = KeyValueRef { key: b"gone", ..KeyValueRef::default() }.encode();
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
