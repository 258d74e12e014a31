//! The few pieces of protobuf that replies are written with.
//!
//! Every function comes as a pair, length and writing, so that a whole reply is
//! measured first and written into one allocation. Scalars that are zero are left
//! out, as proto3 has it; a message that is present is written also when empty.

use bytes::BufMut;
use prost::encoding::{encode_varint, encoded_len_varint};

/// Wire type of varints.
const VARINT: u64 = 0;
/// Wire type of bytes, strings and messages.
const DELIMITED: u64 = 2;

fn tag(field: u32, wire_type: u64) -> u64 {
    u64::from(field) << 3 | wire_type
}

/// Length of a scalar field.
pub(crate) fn scalar_len(field: u32, value: u64) -> usize {
    match value {
        0 => 0,
        _ => encoded_len_varint(tag(field, VARINT)) + encoded_len_varint(value),
    }
}

/// Writes a scalar field. Negative `int64` values go in as their two's complement.
pub(crate) fn put_scalar(field: u32, value: u64, out: &mut impl BufMut) {
    if value != 0 {
        encode_varint(tag(field, VARINT), out);
        encode_varint(value, out);
    }
}

/// Length of a field of bytes or of a message whose body has this length.
pub(crate) fn delimited_len(field: u32, body: usize) -> usize {
    encoded_len_varint(tag(field, DELIMITED)) + encoded_len_varint(body as u64) + body
}

/// Writes all of such a field but its body, which the caller writes next.
pub(crate) fn put_delimited(field: u32, body: usize, out: &mut impl BufMut) {
    encode_varint(tag(field, DELIMITED), out);
    encode_varint(body as u64, out);
}

/// Writes such a field whose body is at hand.
pub(crate) fn put_bytes(field: u32, body: &[u8], out: &mut impl BufMut) {
    put_delimited(field, body.len(), out);
    out.put_slice(body);
}
