//! The bytes of a `WatchResponse`. Its key-values come encoded and are copied once, from where they lie into the
//! message; a response is measured first, so one allocation holds it.

use super::answer::wire_header;
use bytes::{BufMut, Bytes};
use member::hub::{Delivered, EventKind, Response};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, message};
use store::Header;

const HEADER: u32 = 1;
const WATCH_ID: u32 = 2;
const CREATED: u32 = 3;
const CANCELED: u32 = 4;
const COMPACT_REVISION: u32 = 5;
const CANCEL_REASON: u32 = 6;
const FRAGMENT: u32 = 7;
const EVENTS: u32 = 11;
/// Fields of `mvccpb.Event`.
const EVENT_TYPE: u32 = 1;
const EVENT_KV: u32 = 2;
const EVENT_PREV_KV: u32 = 3;
/// `mvccpb.Event.EventType`.
const DELETE: u64 = 1;

/// The message, under this header.
pub(super) fn encode(header: &Header, response: &Response) -> Bytes {
    let header = wire_header(header);
    let scalars = [
        (WATCH_ID, response.watch_id as u64),
        (CREATED, u64::from(response.created)),
        (CANCELED, u64::from(response.canceled)),
        (COMPACT_REVISION, response.compact_revision as u64),
        (FRAGMENT, u64::from(response.fragment)),
    ];
    let reason = response.cancel_reason.as_bytes();
    let events: usize = response.events.iter().map(|event| delimited_len(event_len(event))).sum();
    let length = message::encoded_len(HEADER, &header)
        + scalars.iter().map(|(_, value)| scalar_len(*value)).sum::<usize>()
        + if reason.is_empty() { 0 } else { delimited_len(reason.len()) }
        + events;

    let mut out = Vec::with_capacity(length);
    message::encode(HEADER, &header, &mut out);
    for (field, value) in scalars.into_iter().filter(|(field, _)| *field < CANCEL_REASON) {
        put_scalar(field, value, &mut out);
    }
    if !reason.is_empty() {
        put_delimited(CANCEL_REASON, reason.len(), &mut out);
        out.put_slice(reason);
    }
    put_scalar(FRAGMENT, u64::from(response.fragment), &mut out);
    for event in &response.events {
        put_delimited(EVENTS, event_len(event), &mut out);
        put_event(event, &mut out);
    }
    assert_eq!(out.len(), length, "a response is as long as it was measured");
    out.into()
}

fn kind(event: &Delivered) -> u64 {
    match event.kind {
        EventKind::Put => 0,
        EventKind::Delete => DELETE,
    }
}

fn event_len(event: &Delivered) -> usize {
    let previous = event.previous.as_ref().map_or(0, |kv| delimited_len(kv.len()));
    scalar_len(kind(event)) + delimited_len(event.kv.len()) + previous
}

fn put_event(event: &Delivered, out: &mut Vec<u8>) {
    put_scalar(EVENT_TYPE, kind(event), out);
    put_delimited(EVENT_KV, event.kv.len(), out);
    out.put_slice(&event.kv);
    if let Some(previous) = &event.previous {
        put_delimited(EVENT_PREV_KV, previous.len(), out);
        out.put_slice(previous);
    }
}

/// All fields here have numbers below 16, so a key is one byte.
fn scalar_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + encoded_len_varint(value) }
}

/// Bytes of a field below 16 that is `length` bytes long, with what stands before them.
pub(super) fn delimited_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

fn put_scalar(field: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        encode_key(field, WireType::Varint, out);
        encode_varint(value, out);
    }
}

/// What stands before the bytes of a field.
pub(super) fn put_delimited(field: u32, length: usize, out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use proto::etcdserverpb::WatchResponse;
    use proto::mvccpb::{Event, KeyValue};

    #[test]
    fn bytes_are_what_protobuf_writes() {
        let header = Header { cluster_id: 7, member_id: 8, revision: 900, raft_term: 2 };
        let kv = |key: &'static str| KeyValue { key: key.into(), mod_revision: 5, version: 300, ..Default::default() };
        let bytes = |key| Bytes::from(kv(key).encode_to_vec());
        let delivered = |kind, key, previous: Option<&'static str>| Delivered {
            kind,
            kv: bytes(key),
            previous: previous.map(bytes),
        };
        let responses = [
            Response { created: true, ..Response::default() },
            Response {
                watch_id: -1,
                created: true,
                canceled: true,
                cancel_reason: "why".into(),
                ..Response::default()
            },
            Response { watch_id: 300, canceled: true, compact_revision: 44, ..Response::default() },
            Response {
                watch_id: 3,
                fragment: true,
                events: vec![
                    delivered(EventKind::Put, "a", None),
                    delivered(EventKind::Delete, "b", Some("c")),
                    delivered(EventKind::Put, "", Some("")),
                ],
                ..Response::default()
            },
        ];
        for response in responses {
            let event = |event: &Delivered| Event {
                r#type: kind(event) as i32,
                kv: Some(KeyValue::decode(event.kv.clone()).unwrap()),
                prev_kv: event.previous.clone().map(|kv| KeyValue::decode(kv).unwrap()),
            };
            let expected = WatchResponse {
                header: Some(wire_header(&header)),
                watch_id: response.watch_id,
                created: response.created,
                canceled: response.canceled,
                compact_revision: response.compact_revision,
                cancel_reason: response.cancel_reason.clone(),
                fragment: response.fragment,
                events: response.events.iter().map(event).collect(),
            };
            assert_eq!(encode(&header, &response), expected.encode_to_vec());
        }
    }
}
