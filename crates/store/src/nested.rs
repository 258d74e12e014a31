//! Txns in txns, as deep as they come.
//!
//! The protobuf library reads messages in messages a hundred deep, which is fifty txns. etcd has no bound but that each txn
//! in another may have fewer operations (`--max-txn-ops`, 128). So what the library finds too deep is taken apart here, one
//! txn at a time. There is a bound too, because whoever walks a txn does so on the stack, but it lies beyond etcd's.

use bytes::Bytes;
use prost::encoding::{WireType, decode_key, decode_varint, skip_field};
use prost::{DecodeError, Message};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{RequestOp, TxnRequest};

/// So many txns may lie in each other, the outermost one among them.
pub const DEPTH_MAX: usize = 256;

/// Fields of a txn, and the txn among the requests of an operation.
const SUCCESS: u32 = 2;
const FAILURE: u32 = 3;
const NESTED: u32 = 4;

/// Reads a txn.
///
/// # Errors
/// As the protobuf library has them, but for depth.
pub fn decode(bytes: Bytes) -> Result<TxnRequest, DecodeError> {
    TxnRequest::decode(bytes.clone()).or_else(|error| txn(&bytes, &bytes, DEPTH_MAX).ok_or(error))
}

/// A txn that is `part` of all these bytes, with at most so many in each other. None if it is no txn, or is too deep.
fn txn(all: &Bytes, part: &[u8], depth: usize) -> Option<TxnRequest> {
    let deeper = depth.checked_sub(1)?;
    let (mut flat, mut success, mut failure) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = part;
    while !rest.is_empty() {
        let begun = rest;
        match decode_key(&mut rest).ok()? {
            (SUCCESS, WireType::LengthDelimited) => success.push(operation(all, take(&mut rest)?, deeper)?),
            (FAILURE, WireType::LengthDelimited) => failure.push(operation(all, take(&mut rest)?, deeper)?),
            (field, wire_type) => {
                skip_field(wire_type, field, &mut rest, Default::default()).ok()?;
                flat.extend_from_slice(&begun[..begun.len() - rest.len()]);
            }
        }
    }
    Some(TxnRequest { success, failure, ..TxnRequest::decode(&flat[..]).ok()? })
}

fn operation(all: &Bytes, part: &[u8], depth: usize) -> Option<RequestOp> {
    let (mut nested, mut flat) = (None, Vec::new());
    let mut rest = part;
    while !rest.is_empty() {
        let begun = rest;
        match decode_key(&mut rest).ok()? {
            (NESTED, WireType::LengthDelimited) if nested.is_none() => nested = Some(take(&mut rest)?),
            (field, wire_type) => {
                skip_field(wire_type, field, &mut rest, Default::default()).ok()?;
                flat.extend_from_slice(&begun[..begun.len() - rest.len()]);
            }
        }
    }
    let Some(nested) = nested else { return RequestOp::decode(all.slice_ref(part)).ok() };
    // What is unknown may stand beside it; a second request may not.
    if RequestOp::decode(&flat[..]).ok()?.request.is_some() {
        return None;
    }
    Some(RequestOp { request: Some(Request::RequestTxn(txn(all, nested, depth)?)) })
}

/// What stands behind a length.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
    let (body, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::etcdserverpb::{Compare, PutRequest};

    fn operation(request: Request) -> RequestOp {
        RequestOp { request: Some(request) }
    }

    /// So many in each other, with something at each depth.
    fn nested(depth: usize) -> TxnRequest {
        let mut inner = TxnRequest::default();
        for number in 0..depth {
            let put = PutRequest { key: number.to_string().into(), value: "value".into(), ..Default::default() };
            let beside = vec![operation(Request::RequestPut(put)), RequestOp { request: None }];
            let mut ops = vec![operation(Request::RequestTxn(inner))];
            ops.extend(beside);
            let compare = vec![Compare { key: "a".into(), range_end: "b".into(), ..Default::default() }];
            inner = match number % 2 {
                0 => TxnRequest { compare, success: ops, failure: Vec::new() },
                _ => TxnRequest { compare, success: Vec::new(), failure: ops },
            };
        }
        inner
    }

    #[test]
    fn what_is_written_is_read_at_every_depth() {
        for depth in (0..60).chain([100, 127, 128, DEPTH_MAX - 1]) {
            let written = nested(depth);
            assert_eq!(decode(written.encode_to_vec().into()), Ok(written), "{depth}");
        }
        for depth in [DEPTH_MAX, DEPTH_MAX + 1, 1_000] {
            let error = decode(nested(depth).encode_to_vec().into()).expect_err("too deep");
            assert!(error.to_string().contains("recursion"), "{error}");
        }
    }

    #[test]
    fn deep_and_broken_is_broken() {
        let whole = nested(100).encode_to_vec();
        let inner = whole.len() / 2;
        for end in [1, 2, inner, whole.len() - 1] {
            assert!(decode(Bytes::copy_from_slice(&whole[..end])).is_err(), "{end}");
        }
        // The innermost is no txn; it stands beside another request; groups that do not end.
        for innermost in [&b"\x0a\x05x"[..], b"\x12\x06\x0a\x00\x22\x02\x1a\x00", &[0x23; 300], b"\x10\x01"] {
            let mut bytes = innermost.to_vec();
            for _ in 0..100 {
                for key in [0x22, 0x12] {
                    let mut outer = vec![key];
                    prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
                    outer.extend_from_slice(&bytes);
                    bytes = outer;
                }
            }
            assert!(decode(bytes.into()).is_err(), "{innermost:x?}");
        }
    }

    /// Values are not copied.
    #[test]
    fn a_deep_txn_shares_the_bytes_of_its_entry() {
        let bytes: Bytes = nested(80).encode_to_vec().into();
        let mut txn = decode(bytes.clone()).expect("a txn");
        let ops = [txn.success.pop(), txn.failure.pop()].into_iter().flatten().count();
        assert_eq!(ops, 1);
        let put = txn.failure.iter().chain(&txn.success).find_map(|op| match &op.request {
            Some(Request::RequestPut(put)) => Some(put.clone()),
            _ => None,
        });
        assert!(bytes.as_ptr_range().contains(&put.expect("a put").value.as_ptr()));
    }
}
