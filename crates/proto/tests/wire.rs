//! Bytes as etcd writes them, put together by hand, and what we read.

use bytes::Bytes;
use prost::Message;

use proto::etcdserverpb::{
    self, Compare, InternalRaftRequest, Member, PutRequest, RequestHeader, TxnRequest, compare, request_op,
};
use proto::raftpb::{self, ConfState, EntryType, MessageType};
use proto::{health, mvccpb};

/// A base-128 varint.
fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Field `number` holding a varint.
fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

/// Field `number` holding bytes: a string, a byte string or a message.
fn block(number: u64, value: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

#[test]
fn a_put_request_decodes() {
    // key "foo", value "bar", lease 300, prev_kv.
    let bytes = b"\x0a\x03foo\x12\x03bar\x18\xac\x02\x20\x01";
    let put = PutRequest::decode(&bytes[..]).expect("decodes");
    assert_eq!(put.key, "foo");
    assert_eq!(put.value, "bar");
    assert_eq!(put.lease, 300);
    assert!(put.prev_kv);
    assert!(!put.ignore_value);
    assert!(!put.ignore_lease);
    assert_eq!(put.encode_to_vec(), bytes);
}

#[test]
fn decoded_byte_strings_share_the_received_buffer() {
    let received = Bytes::from_static(b"\x0a\x03foo\x12\x03bar");
    let put = PutRequest::decode(received.clone()).expect("decodes");
    assert_eq!(put.value.as_ptr(), received[7..].as_ptr());
}

#[test]
fn unknown_fields_are_skipped() {
    let known = b"\x0a\x03foo\x12\x03bar";
    let bytes = [
        number(4000, u64::MAX),
        known.to_vec(),
        block(77, b"from the future"),
        [varint(78 << 3 | 1), vec![1; 8]].concat(),
        [varint(79 << 3 | 5), vec![1; 4]].concat(),
    ]
    .concat();
    let put = PutRequest::decode(&bytes[..]).expect("decodes");
    assert_eq!(put, PutRequest { key: "foo".into(), value: "bar".into(), ..Default::default() });
    assert_eq!(put.encode_to_vec(), known);
}

#[test]
fn broken_bytes_are_an_error() {
    assert!(PutRequest::decode(&b"\x0a\x05foo"[..]).is_err(), "shorter than its length says");
    assert!(PutRequest::decode(&b"\x0a"[..]).is_err(), "no length");
    assert!(PutRequest::decode(&b"\x08\x01"[..]).is_err(), "a number where bytes belong");
}

#[test]
fn a_committed_put_decodes() {
    let header = [number(1, 0x7587_8d0c_2a4a_7001), block(2, b"alice"), number(3, 9)].concat();
    let put = [block(1, b"foo"), block(2, b"bar"), number(3, 7)].concat();
    // etcd writes fields in the order of their numbers, header late.
    let bytes = [block(4, &put), block(100, &header)].concat();

    let request = InternalRaftRequest::decode(&bytes[..]).expect("decodes");
    assert_eq!(
        request,
        InternalRaftRequest {
            header: Some(RequestHeader { id: 0x7587_8d0c_2a4a_7001, username: "alice".into(), auth_revision: 9 }),
            put: Some(PutRequest { key: "foo".into(), value: "bar".into(), lease: 7, ..Default::default() }),
            ..Default::default()
        }
    );
    let again = InternalRaftRequest::decode(&request.encode_to_vec()[..]).expect("decodes");
    assert_eq!(again, request);
}

#[test]
fn a_member_publishing_itself_decodes() {
    let attributes = [block(1, b"m1"), block(2, b"http://127.0.0.1:2379"), block(2, b"http://a:1")].concat();
    let set = [number(1, 0x8e9e_05c5_2164_694d), block(2, &attributes)].concat();
    let bytes = [block(100, &number(1, 5)), block(1301, &set)].concat();

    let request = InternalRaftRequest::decode(&bytes[..]).expect("decodes");
    let set = request.cluster_member_attr_set.expect("the request is this one");
    assert_eq!(set.member_id, 0x8e9e_05c5_2164_694d);
    let attributes = set.member_attributes.expect("attributes are set");
    assert_eq!(attributes.name, "m1");
    assert_eq!(attributes.client_urls, ["http://127.0.0.1:2379", "http://a:1"]);
    assert_eq!(request.put, None);
}

#[test]
fn a_request_of_the_second_api_is_skipped_whole() {
    let bytes = [block(2, b"\x08\x01"), block(1000, b"")].concat();
    let request = InternalRaftRequest::decode(&bytes[..]).expect("decodes");
    assert!(request.auth_enable.is_some());
    assert_eq!(request.encode_to_vec(), block(1000, b""));
}

#[test]
fn an_operation_without_a_request_is_kept_and_empty() {
    let guard = [block(3, b"k"), number(4, 0), block(64, b"l")].concat();
    let bytes = [block(1, &guard), block(2, b"")].concat();
    let txn = TxnRequest::decode(&bytes[..]).expect("decodes");

    assert_eq!(
        txn.compare,
        [Compare {
            key: "k".into(),
            range_end: "l".into(),
            // Zero, and yet set: a oneof keeps the two apart.
            target_union: Some(compare::TargetUnion::Version(0)),
            ..Default::default()
        }]
    );
    assert_eq!(txn.success.len(), 1);
    assert_eq!(txn.success[0].request, None);
    assert_eq!(txn.encode_to_vec(), bytes);
}

#[test]
fn transactions_nest() {
    let inner = TxnRequest {
        success: vec![etcdserverpb::RequestOp {
            request: Some(request_op::Request::RequestPut(PutRequest { key: "a".into(), ..Default::default() })),
        }],
        ..Default::default()
    };
    let outer = TxnRequest {
        failure: vec![etcdserverpb::RequestOp { request: Some(request_op::Request::RequestTxn(inner)) }],
        ..Default::default()
    };
    let put = block(2, &block(1, b"a"));
    let expected = block(3, &block(4, &block(2, &put)));
    assert_eq!(outer.encode_to_vec(), expected);
    assert_eq!(TxnRequest::decode(&expected[..]).expect("decodes"), outer);
}

#[test]
fn nesting_without_end_is_an_error() {
    let mut bytes = Vec::new();
    for _ in 0..200 {
        bytes = block(2, &block(4, &bytes));
    }
    assert!(TxnRequest::decode(&bytes[..]).is_err());
}

#[test]
fn a_message_with_every_zero_spelled_out_decodes() {
    // An older member's heartbeat: all scalars and an empty snapshot are there.
    let state = block(1, &number(5, 0));
    let metadata = [state, number(2, 0), number(3, 0)].concat();
    let bytes = [
        number(1, 8),
        number(2, 2),
        number(3, 1),
        number(4, 6),
        number(5, 0),
        number(6, 0),
        number(8, 42),
        block(9, &block(2, &metadata)),
        number(10, 0),
        number(11, 0),
    ]
    .concat();
    let message = raftpb::Message::decode(&bytes[..]).expect("decodes");
    assert_eq!(message.r#type(), MessageType::MsgHeartbeat);
    assert_eq!((message.to, message.from, message.term, message.commit), (2, 1, 6, 42));
    let snapshot = message.snapshot.expect("present, though empty");
    let metadata = snapshot.metadata.expect("present, though empty");
    assert_eq!((metadata.index, metadata.term), (0, 0));
    assert_eq!(metadata.conf_state, Some(ConfState::default()));
}

#[test]
fn an_entry_decodes_in_any_order_of_fields() {
    let bytes = [number(1, 0), number(2, 3), number(3, 17), block(4, b"data")].concat();
    let entry = raftpb::Entry::decode(&bytes[..]).expect("decodes");
    assert_eq!(entry.r#type(), EntryType::EntryNormal);
    assert_eq!((entry.term, entry.index, &entry.data[..]), (3, 17, &b"data"[..]));

    let reversed = [block(4, b"data"), number(3, 17), number(2, 3)].concat();
    assert_eq!(raftpb::Entry::decode(&reversed[..]).expect("decodes"), entry);
}

#[test]
fn voters_are_written_one_by_one_and_read_either_way() {
    let unpacked = [number(1, 1), number(1, 300), number(2, 5)].concat();
    let state = ConfState { voters: vec![1, 300], learners: vec![5], ..Default::default() };
    assert_eq!(state.encode_to_vec(), unpacked);
    assert_eq!(ConfState::decode(&unpacked[..]).expect("decodes"), state);

    let packed = [block(1, &[varint(1), varint(300)].concat()), block(2, &varint(5))].concat();
    assert_eq!(ConfState::decode(&packed[..]).expect("decodes"), state);
}

#[test]
fn an_event_far_from_its_header_decodes() {
    let kv = [block(1, b"foo"), number(3, 12)].concat();
    let event = [number(1, 1), block(2, &kv)].concat();
    let bytes = [number(2, 0), block(11, &event)].concat();
    let response = etcdserverpb::WatchResponse::decode(&bytes[..]).expect("decodes");
    assert_eq!(response.events.len(), 1);
    assert_eq!(response.events[0].r#type(), mvccpb::event::EventType::Delete);
    let kv = response.events[0].kv.as_ref().expect("the key is there");
    assert_eq!((&kv.key[..], kv.mod_revision), (&b"foo"[..], 12));
}

#[test]
fn members_have_plain_names_for_their_urls() {
    let bytes = [number(1, 9), block(3, b"http://p"), block(4, b"http://c"), number(5, 1)].concat();
    let member = Member::decode(&bytes[..]).expect("decodes");
    assert_eq!(
        member,
        Member {
            id: 9,
            name: String::new(),
            peer_urls: vec!["http://p".into()],
            client_urls: vec!["http://c".into()],
            is_learner: true,
        }
    );
}

#[test]
fn health_is_the_standard_one() {
    use health::health_check_response::ServingStatus;
    let response = health::HealthCheckResponse { status: ServingStatus::Serving.into() };
    assert_eq!(response.encode_to_vec(), number(1, 1));
    let list = health::HealthListResponse { statuses: [(String::new(), response)].into() };
    // A key and a value, as fields 1 and 2 of an entry; the empty key is left out.
    assert_eq!(list.encode_to_vec(), block(1, &block(2, &number(1, 1))));
}

#[test]
fn what_older_members_log_bare_is_an_error_and_not_some_other_request() {
    // 3.5 publishes names and the cluster version as a request of the second
    // API, not wrapped: id, method, path, value.
    let bytes =
        [number(1, 0x66a9_a032_b0d1_8304), block(2, b"PUT"), block(3, b"/0/version"), block(4, b"3.5.0"), number(5, 0)]
            .concat();
    assert!(InternalRaftRequest::decode(&bytes[..]).is_err());
}
