//! `etcdserverpb.KV.RangeStream` (3.7): the answer of a range in parts, none of which is large.
//!
//! All parts come from one View, so a compaction in the middle takes nothing away. A part is read when the client has
//! taken the one before it, so a stream holds one part, whatever the range holds. Only the last part has a header,
//! `more` and `count`; merged, the parts are the answer of a Range.

use super::answer::{aside_if, linearizable, refused, unread};
use super::kv::look;
use super::streams::Messages;
use super::watch_wire::{delimited_len, put_delimited};
use crate::grpc::{Code, Status};
use crate::handle::Handle;
use bytes::{BufMut, Bytes};
use proto::etcdserverpb::RangeRequest;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use store::{RangePart, RangeReply, check};

/// A part ends with the key that makes it this long. With one more value of the default `--max-request-bytes` it stays
/// below the 4 MiB that gRPC clients take if they are not told otherwise.
const PART_BYTES: usize = 512 * 1024;
/// Keys of the first part, which so comes soon (as etcd's).
const FIRST_PART_KEYS: usize = 10;

pub(super) async fn range_stream(handle: &Handle, messages: &mut Messages<'_>) -> Result<(), Status> {
    let Some(request) = messages.inbound.next::<RangeRequest>().await? else {
        return Err(Status::new(Code::Unknown, "EOF"));
    };
    check_stream(&request)?;
    if !request.serializable {
        linearizable(handle).await?;
    }
    let view = handle.view();
    let limit = usize::try_from(request.limit).ok().filter(|&limit| limit > 0);
    let mut left = limit.unwrap_or(usize::MAX);
    let mut from = request.key.clone();
    let mut keys_max = FIRST_PART_KEYS;
    // The revision asked for is checked, and the keys counted, before the first part is on its way.
    let counted = look(view.clone(), RangeRequest { count_only: true, ..request.clone() }).await.map_err(unread)?;
    loop {
        let RangePart { kvs, rest } = if request.count_only {
            RangePart::default()
        } else {
            let (view, request, keys_max) = (view.clone(), request.clone(), keys_max.min(left));
            let is_short = keys_max <= FIRST_PART_KEYS && request.revision <= 0;
            let read = move || view.range_part(&request, &from, keys_max, PART_BYTES);
            aside_if(!is_short, read).await.map_err(unread)?
        };
        left -= kvs.len();
        messages.outbound.ready().await?;
        match rest.filter(|_| left > 0) {
            Some(rest) => {
                messages.outbound.send(part(&kvs))?;
                from = rest;
                keys_max = usize::MAX;
            }
            None => {
                let more = !request.count_only && limit.is_some_and(|limit| counted.count > limit as i64);
                let reply = RangeReply { kvs, more, ..counted };
                return messages.outbound.send(wrapped(&reply.encode(&handle.header(reply.revision))));
            }
        }
    }
}

/// As a Range, and then what etcd does not stream, with its words.
fn check_stream(request: &RangeRequest) -> Result<(), Status> {
    check::range(request).map_err(refused)?;
    let by_key = request.sort_target() == SortTarget::Key && request.sort_order() == SortOrder::Ascend;
    if request.sort_order() != SortOrder::None && !by_key {
        return Err(Status::new(Code::Unimplemented, "RangeStream does not support custom sort orders"));
    }
    let RangeRequest { min_mod_revision, max_mod_revision, min_create_revision, max_create_revision, .. } = request;
    if [min_mod_revision, max_mod_revision, min_create_revision, max_create_revision].iter().any(|&&filter| filter != 0)
    {
        return Err(Status::new(Code::Unimplemented, "RangeStream does not support revision filters"));
    }
    Ok(())
}

/// `RangeStreamResponse.range_response`, and `RangeResponse.kvs` in it.
const RANGE_RESPONSE: u32 = 1;
const KVS: u32 = 2;

/// A part that is not the last: encoded KeyValues and nothing else.
fn part(kvs: &[Bytes]) -> Bytes {
    let length = kvs.iter().map(|kv| delimited_len(kv.len())).sum();
    let mut out = Vec::with_capacity(delimited_len(length));
    put_delimited(RANGE_RESPONSE, length, &mut out);
    for kv in kvs {
        put_delimited(KVS, kv.len(), &mut out);
        out.put_slice(kv);
    }
    out.into()
}

fn wrapped(response: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(delimited_len(response.len()));
    put_delimited(RANGE_RESPONSE, response.len(), &mut out);
    out.put_slice(response);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use proto::etcdserverpb::{RangeResponse, RangeStreamResponse};
    use proto::mvccpb::KeyValue;
    use store::Header;

    #[test]
    fn bytes_are_what_protobuf_writes() {
        let kv = |key: &'static str| KeyValue { key: key.into(), mod_revision: 5, ..Default::default() };
        let kvs: Vec<Bytes> = ["a", "", "c"].into_iter().map(|key| kv(key).encode_to_vec().into()).collect();
        let response = RangeResponse { kvs: vec![kv("a"), kv(""), kv("c")], ..Default::default() };
        let message = RangeStreamResponse { range_response: Some(response) };
        assert_eq!(part(&kvs), message.encode_to_vec());
        assert_eq!(part(&[]), RangeStreamResponse { range_response: Some(RangeResponse::default()) }.encode_to_vec());
        let reply = RangeReply { revision: 300, kvs, more: true, count: 7 };
        let decoded = RangeStreamResponse::decode(wrapped(&reply.encode(&Header::default()))).unwrap();
        let response = decoded.range_response.unwrap();
        assert_eq!((response.kvs.len(), response.more, response.count), (3, true, 7));
    }
}
