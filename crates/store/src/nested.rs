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
    TxnRequest::decode(bytes.clone()).or_else(|error| by_hand(&bytes).ok_or(error))
}

/// Reads a txn as the library would if it read so deep.
fn by_hand(bytes: &Bytes) -> Option<TxnRequest> {
    let mut txn = TxnRequest::default();
    merge_txn(&mut txn, bytes, bytes, DEPTH_MAX)?;
    Some(txn)
}

/// Merges this part of all the bytes into a txn, with at most so many in each other, as the library does: fields that come
/// again are added or win. None if it is no txn, or is too deep.
fn merge_txn(txn: &mut TxnRequest, all: &Bytes, part: &[u8], depth: usize) -> Option<()> {
    let deeper = depth.checked_sub(1)?;
    for piece in split(part, &[SUCCESS, FAILURE])? {
        match piece {
            Piece::Flat(fields) => txn.merge(all.slice_ref(fields)).ok()?,
            Piece::Deep(field, body) => {
                let mut operation = RequestOp::default();
                merge_operation(&mut operation, all, body, deeper)?;
                if field == SUCCESS { &mut txn.success } else { &mut txn.failure }.push(operation);
            }
        }
    }
    Some(())
}

/// Of two different requests the last wins; two txns of one operation become one.
fn merge_operation(operation: &mut RequestOp, all: &Bytes, part: &[u8], depth: usize) -> Option<()> {
    for piece in split(part, &[NESTED])? {
        match (piece, &mut operation.request) {
            (Piece::Flat(fields), _) => operation.merge(all.slice_ref(fields)).ok()?,
            (Piece::Deep(_, body), Some(Request::RequestTxn(txn))) => merge_txn(txn, all, body, depth)?,
            (Piece::Deep(_, body), request) => {
                let mut txn = TxnRequest::default();
                merge_txn(&mut txn, all, body, depth)?;
                *request = Some(Request::RequestTxn(txn));
            }
        }
    }
    Some(())
}

enum Piece<'a> {
    /// Fields for the library, one behind the other.
    Flat(&'a [u8]),
    /// The body of a field that may be too deep for it.
    Deep(u32, &'a [u8]),
}

/// The fields of a message in their order.
fn split<'a>(part: &'a [u8], deep: &[u32]) -> Option<Vec<Piece<'a>>> {
    let mut pieces = Vec::new();
    let (mut flat, mut rest) = (part, part);
    while !rest.is_empty() {
        let before = &flat[..flat.len() - rest.len()];
        match decode_key(&mut rest).ok()? {
            (field, WireType::LengthDelimited) if deep.contains(&field) => {
                if !before.is_empty() {
                    pieces.push(Piece::Flat(before));
                }
                pieces.push(Piece::Deep(field, take(&mut rest)?));
                flat = rest;
            }
            (field, wire_type) => skip_field(wire_type, field, &mut rest, Default::default()).ok()?,
        }
    }
    if !flat.is_empty() {
        pieces.push(Piece::Flat(flat));
    }
    Some(pieces)
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
        // The innermost is no txn; groups that do not end.
        for innermost in [&b"\x0a\x05x"[..], &[0x23; 300], b"\x10\x01"] {
            assert!(decode(wrapped(innermost.to_vec(), 100).into()).is_err(), "{innermost:x?}");
        }
    }

    fn field(key: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![key];
        prost::encoding::encode_varint(body.len() as u64, &mut out);
        [&out, body].concat()
    }

    /// The bytes of a txn in so many others.
    fn wrapped(txn: Vec<u8>, depth: usize) -> Vec<u8> {
        (0..depth).fold(txn, |inner, _| field(0x12, &field(0x22, &inner)))
    }

    /// An xorshift: the same oddities in every run.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }
    }

    /// Fields of a txn (or of an operation) as nobody writes them: again, beside each other, unknown, of a wrong kind.
    fn odd(chance: &mut Chance, is_txn: bool, depth: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..chance.below(5) {
            let inner = if depth == 0 { Vec::new() } else { odd(chance, !is_txn, depth - 1) };
            let key = [b'a' + chance.below(26) as u8];
            // A compare, or a range, a put or a deletion: its first field is a key or a result, its second may be bytes.
            let leaf = if is_txn { field(0x1a, &key) } else { [field(0x0a, &key), field(0x12, b"v")].concat() };
            out.extend(match (chance.below(24), is_txn) {
                (0, _) => vec![0x78, 1],
                (1, _) => vec![0x7b, 0x08, 1, 0x7c],
                (2, _) => field(0x7a, b"unknown"),
                (3, _) if chance.below(8) == 0 => vec![0x20, 1],
                (4, _) if chance.below(8) == 0 => vec![0x12, 9, 0x22],
                (5, _) if chance.below(8) == 0 => vec![0x23, 0x24],
                (..12, true) => field(0x0a, &leaf),
                (..18, true) => field(0x12, &inner),
                (_, true) => field(0x1a, &inner),
                (..10, false) => field([0x0a, 0x12, 0x1a][chance.below(3) as usize], &leaf),
                (_, false) => field(0x22, &inner),
            });
        }
        out
    }

    /// However odd the bytes are, they mean at every depth what the library says they mean where it reads.
    #[test]
    fn deep_txns_have_the_rules_of_shallow_ones() {
        let mut chance = Chance(0x5eed);
        let (mut read, mut merged) = (0, 0);
        for _ in 0..2_000 {
            let bytes: Bytes = odd(&mut chance, true, 5).into();
            let library = TxnRequest::decode(bytes.clone()).ok();
            assert_eq!(by_hand(&bytes), library, "{bytes:x?}");
            let mut deep = decode(wrapped(bytes.to_vec(), 60).into()).ok();
            for _ in 0..60 {
                deep = deep.and_then(|mut txn| match txn.success.pop()?.request? {
                    Request::RequestTxn(inner) => Some(inner),
                    other => panic!("a txn was put there, not {other:?}"),
                });
            }
            assert_eq!(deep, library, "{bytes:x?}");
            read += usize::from(library.is_some());
            // Written plainly it is shorter: something came twice.
            merged += usize::from(library.is_some_and(|txn| txn.encoded_len() < bytes.len()));
        }
        assert!((1_000..2_000).contains(&read) && merged > 500, "{read} read, {merged} of them written otherwise");
        // Two txns of one operation are one; of two requests the last wins.
        let twice = field(0x12, &[field(0x22, &[0x0a, 0]), field(0x22, &[0x0a, 0])].concat());
        let txn = by_hand(&twice.into()).expect("a txn");
        let Some(Request::RequestTxn(inner)) = &txn.success[0].request else { panic!("no txn: {txn:?}") };
        assert_eq!(inner.compare.len(), 2);
        let other = field(0x12, &[field(0x22, &[0x0a, 0]), field(0x1a, b"")].concat());
        let txn = by_hand(&other.into()).expect("a txn");
        assert!(matches!(txn.success[0].request, Some(Request::RequestDeleteRange(_))), "{txn:?}");
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
