//! Protobuf by hand, because no library writes what these tests send.

use prost::encoding::{WireType, encode_key, encode_varint};

pub fn varint(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(number, WireType::Varint, &mut out);
    encode_varint(value, &mut out);
    out
}

pub fn bytes(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut out);
    encode_varint(value.len() as u64, &mut out);
    out.extend_from_slice(value);
    out
}

/// A field that says it is `claimed` bytes long.
pub fn claims(number: u32, claimed: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut out);
    encode_varint(claimed, &mut out);
    out.extend_from_slice(value);
    out
}

/// A number of more bytes than numbers have.
pub fn endless_varint(number: u32) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(number, WireType::Varint, &mut out);
    out.extend_from_slice(&[0xff; 12]);
    out
}

/// A key alone, of any of the eight wire types.
pub fn key(number: u64, wire_type: u8) -> Vec<u8> {
    let mut out = Vec::new();
    encode_varint(number << 3 | u64::from(wire_type), &mut out);
    out
}

/// The fields of a well-formed message without groups.
pub fn fields(mut message: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let whole = message;
        let (number, wire_type) = prost::encoding::decode_key(&mut message).expect("a key");
        match wire_type {
            WireType::Varint => drop(prost::encoding::decode_varint(&mut message).expect("a number")),
            WireType::LengthDelimited => {
                let length = prost::encoding::decode_varint(&mut message).expect("a length") as usize;
                message = &message[length..];
            }
            other => panic!("{other:?} is not written here"),
        }
        found.push((number, whole[..whole.len() - message.len()].to_vec()));
    }
    found
}
