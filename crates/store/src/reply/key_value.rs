//! `mvccpb.KeyValue` as it is stored: read in place, written once.
//!
//! The bytes are a contract. They go unchanged to clients, into snapshots and into
//! HashKV, which must be equal on every member of a cluster that etcd shares. So
//! they are exactly what gogo-protobuf writes: fields in the order of their
//! numbers, each once, zeros and empty bytes left out. [`KeyValueRef::encode`] is
//! the only writer there should be.

use bytes::{Buf, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint, skip_field};

use super::wire::{delimited_len, put_bytes, put_scalar, scalar_len};

/// The bytes are no KeyValue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bytes are not an encoded mvccpb.KeyValue")]
pub struct Malformed;

/// A key with its history, borrowed from where it is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyValueRef<'a> {
    /// Never empty in the store.
    pub key: &'a [u8],
    /// Main revision of the put that began this life of the key.
    pub create_revision: i64,
    /// Main revision of this put or delete.
    pub mod_revision: i64,
    /// 1 for the first put of a life.
    pub version: i64,
    /// What the client stored.
    pub value: &'a [u8],
    /// The attached lease, 0 for none.
    pub lease: i64,
}

impl<'a> KeyValueRef<'a> {
    /// Reads the fields. Unknown fields are ignored, as everywhere in protobuf.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut rest = bytes;
        let mut kv = KeyValueRef::default();
        while rest.has_remaining() {
            let (field, wire_type) = decode_key(&mut rest).map_err(|_| Malformed)?;
            match (field, wire_type) {
                (1, WireType::LengthDelimited) => kv.key = delimited(&mut rest)?,
                (2, WireType::Varint) => kv.create_revision = varint(&mut rest)?,
                (3, WireType::Varint) => kv.mod_revision = varint(&mut rest)?,
                (4, WireType::Varint) => kv.version = varint(&mut rest)?,
                (5, WireType::LengthDelimited) => kv.value = delimited(&mut rest)?,
                (6, WireType::Varint) => kv.lease = varint(&mut rest)?,
                _ => skip_field(wire_type, field, &mut rest, Default::default()).map_err(|_| Malformed)?,
            }
        }
        Ok(kv)
    }

    /// Length of the encoding.
    pub fn encoded_len(&self) -> usize {
        let bytes = |field, body: &[u8]| match body {
            [] => 0,
            _ => delimited_len(field, body.len()),
        };
        bytes(1, self.key)
            + scalar_len(2, self.create_revision as u64)
            + scalar_len(3, self.mod_revision as u64)
            + scalar_len(4, self.version as u64)
            + bytes(5, self.value)
            + scalar_len(6, self.lease as u64)
    }

    /// Writes the encoding.
    pub fn encode_into(&self, out: &mut impl bytes::BufMut) {
        if !self.key.is_empty() {
            put_bytes(1, self.key, out);
        }
        put_scalar(2, self.create_revision as u64, out);
        put_scalar(3, self.mod_revision as u64, out);
        put_scalar(4, self.version as u64, out);
        if !self.value.is_empty() {
            put_bytes(5, self.value, out);
        }
        put_scalar(6, self.lease as u64, out);
    }

    /// The encoding, in one allocation.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.encoded_len());
        self.encode_into(&mut out);
        out.into()
    }
}

/// What a range with `keys_only` answers for a KeyValue that it had to read: all but the value.
///
/// Without a value the bytes are shared, otherwise copied.
pub fn without_value(kv: &Bytes) -> Result<Bytes, Malformed> {
    let fields = KeyValueRef::decode(kv)?;
    if fields.value.is_empty() {
        return Ok(kv.clone());
    }
    Ok(KeyValueRef { value: &[], ..fields }.encode())
}

fn varint(rest: &mut &[u8]) -> Result<i64, Malformed> {
    Ok(decode_varint(rest).map_err(|_| Malformed)? as i64)
}

fn delimited<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = decode_varint(rest).map_err(|_| Malformed)?;
    let length = usize::try_from(length).map_err(|_| Malformed)?;
    let (body, after) = rest.split_at_checked(length).ok_or(Malformed)?;
    *rest = after;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use proto::mvccpb::KeyValue;

    fn sample() -> KeyValueRef<'static> {
        KeyValueRef { key: b"key", create_revision: 2, mod_revision: 300, version: 17, value: b"value", lease: -9 }
    }

    #[test]
    fn writes_and_reads_what_protobuf_does() {
        let full = sample();
        let bare = KeyValueRef { key: b"k", ..Default::default() };
        for kv in [full, bare, KeyValueRef { value: b"", ..full }, KeyValueRef { lease: 0, ..full }] {
            let message = KeyValue {
                key: Bytes::copy_from_slice(kv.key),
                create_revision: kv.create_revision,
                mod_revision: kv.mod_revision,
                version: kv.version,
                value: Bytes::copy_from_slice(kv.value),
                lease: kv.lease,
            };
            let bytes = kv.encode();
            assert_eq!(bytes, message.encode_to_vec());
            assert_eq!(bytes.len(), kv.encoded_len());
            assert_eq!(KeyValueRef::decode(&bytes), Ok(kv));
        }
    }

    #[test]
    fn keys_only_leaves_the_value_out() {
        let bare = KeyValueRef { value: b"", ..sample() };
        assert_eq!(without_value(&sample().encode()), Ok(bare.encode()));
        assert_eq!(without_value(&bare.encode()), Ok(bare.encode()));
    }

    #[test]
    fn damage_is_said_and_never_a_panic() {
        let bytes = sample().encode();
        for cut in 1..bytes.len() {
            // A cut between two fields reads as a shorter message.
            let _ = KeyValueRef::decode(&bytes[..cut]);
        }
        assert_eq!(KeyValueRef::decode(&bytes[..4]), Err(Malformed));
        assert_eq!(KeyValueRef::decode(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(Malformed));
        assert_eq!(KeyValueRef::decode(&[0xff; 16]), Err(Malformed));
        assert_eq!(without_value(&Bytes::from_static(&[0x0a])), Err(Malformed));
    }
}
