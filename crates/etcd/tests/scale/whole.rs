//! All keys in one answer, looked at as it comes and forgotten.

use crate::edge_client::{Reader, data};
use crate::harness::Member;
use crate::{memory, slow};
use bytes::{Buf, BytesMut};
use prost::Message;
use proto::etcdserverpb::{RangeRequest, RangeResponse, RangeStreamResponse};
use proto::methods::path;
use proto::mvccpb::KeyValue;

const WINDOW_BYTES: u32 = 1 << 20;
/// Of a range's answer: the keys (field 2, with a length).
const KVS: u64 = 2 << 3 | 2;

/// Keys as they come, and what stands beside them.
struct Seen<C> {
    check: C,
    keys: usize,
    beside: BytesMut,
}

impl<C: FnMut(usize, &KeyValue)> Seen<C> {
    /// Takes the next field, if it is there as a whole.
    fn take(&mut self, bytes: &mut BytesMut) -> bool {
        let mut rest = &bytes[..];
        let (Ok(key), whole) = (prost::encoding::decode_varint(&mut rest), rest) else { return false };
        let Ok(number) = prost::encoding::decode_varint(&mut rest) else { return false };
        // Lengths and numbers are all that this message has.
        let length = if key & 7 == 2 { number as usize } else { 0 };
        if rest.len() < length {
            return false;
        }
        if key == KVS {
            (self.check)(self.keys, &KeyValue::decode(&rest[..length]).expect("a key"));
            self.keys += 1;
        } else {
            prost::encoding::encode_varint(key, &mut self.beside);
            self.beside.extend_from_slice(&whole[..whole.len() - rest.len() + length]);
        }
        let taken = bytes.len() - rest.len() + length;
        bytes.advance(taken);
        true
    }
}

/// One range of everything is as long as it is, and holds no more of the member's memory than a short one; the same in
/// parts. `check` looks at each key, by its number.
pub async fn read(member: &Member, all: &RangeRequest, keys: usize, check: impl Fn(usize, &KeyValue)) {
    let mut connection = slow::connect(member, WINDOW_BYTES).await;
    let mut body = slow::ask(&mut connection, path::RANGE, all).body().await;
    let mut bytes = BytesMut::new();
    while bytes.len() < 5 {
        bytes.extend_from_slice(&data(&mut body).await.expect("a message"));
    }
    bytes.advance(1);
    let length = bytes.get_u32() as usize;
    let mut read = bytes.len();
    let mut seen = Seen { check: &check, keys: 0, beside: BytesMut::new() };
    loop {
        while seen.take(&mut bytes) {}
        let Some(piece) = data(&mut body).await else { break };
        read += piece.len();
        bytes.extend_from_slice(&piece);
    }
    assert_eq!((read, bytes.len(), seen.keys), (length, 0, keys), "the message is as long as it says");
    let beside = RangeResponse::decode(seen.beside).expect("what stands beside the keys");
    assert_eq!((beside.count as usize, beside.more, beside.header.is_some()), (keys, false, true));
    println!("a range of {keys} keys has {length} bytes");
    if memory::program().1 {
        return;
    }
    let mut parts = Reader::new(slow::ask(&mut connection, path::RANGE_STREAM, all).body().await);
    let (mut streamed, mut count) = (0, 0);
    while let Some(part) = parts.next::<RangeStreamResponse>().await {
        let part = part.range_response.expect("a part");
        for kv in &part.kvs {
            check(streamed, kv);
            streamed += 1;
        }
        count += part.count as usize;
    }
    assert_eq!((streamed, count), (keys, keys));
}
