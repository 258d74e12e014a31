//! Replies against the messages prost generates: equal bytes, equal lengths.

use prost::Message;
use proto::etcdserverpb as pb;
use proto::mvccpb;

use super::key_value::KeyValueRef;
use super::*;
use crate::alarm::AlarmKind;

const HEADER: Header = Header { cluster_id: u64::MAX - 5, member_id: 77, revision: 1000, raft_term: 3 };

fn header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader {
        cluster_id: HEADER.cluster_id,
        member_id: HEADER.member_id,
        revision,
        raft_term: HEADER.raft_term,
    })
}

fn operation(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision, ..Default::default() })
}

fn kv(name: &str) -> (Bytes, mvccpb::KeyValue) {
    let key = name.as_bytes();
    let stored = KeyValueRef { key, create_revision: 2, mod_revision: 3, version: 2, value: key, lease: 9 };
    let bytes = stored.encode();
    let message = mvccpb::KeyValue::decode(bytes.clone()).unwrap();
    (bytes, message)
}

#[track_caller]
fn same(reply: Reply, message: impl Message) {
    let bytes = reply.encode(&HEADER);
    assert_eq!(bytes, message.encode_to_vec());
    assert_eq!(bytes.len(), reply.encoded_len(&HEADER));
    assert_eq!(bytes.len(), bytes.capacity(), "one allocation of the right size");
}

#[test]
fn ranges() {
    let (a, a_message) = kv("a");
    let (b, b_message) = kv("b");
    let reply = RangeReply { revision: 12, kvs: vec![a, b], more: true, count: 400 };
    let kvs = vec![a_message, b_message];
    same(Reply::Range(reply), pb::RangeResponse { header: header(12), kvs, more: true, count: 400 });
    same(Reply::Range(RangeReply::default()), pb::RangeResponse { header: header(1000), ..Default::default() });
}

#[test]
fn puts_and_deletes() {
    let (a, a_message) = kv("a");
    same(
        Reply::Put(PutReply { revision: 12, prev_kv: Some(a.clone()) }),
        pb::PutResponse { header: header(12), prev_kv: Some(a_message.clone()) },
    );
    same(Reply::Put(PutReply { revision: 12, prev_kv: None }), pb::PutResponse { header: header(12), prev_kv: None });
    same(
        Reply::DeleteRange(DeleteRangeReply { revision: 12, deleted: 2, prev_kvs: vec![a; 2] }),
        pb::DeleteRangeResponse { header: header(12), deleted: 2, prev_kvs: vec![a_message.clone(), a_message] },
    );
}

#[test]
fn txns_nest_and_say_only_revisions_inside() {
    use pb::response_op::Response;
    let (a, a_message) = kv("a");
    let inner = TxnReply {
        revision: 13,
        succeeded: false,
        responses: vec![
            OpReply::Range(RangeReply { revision: 13, kvs: vec![a.clone()], more: false, count: 1 }),
            OpReply::Txn(TxnReply { revision: 13, succeeded: true, responses: Vec::new() }),
        ],
    };
    let reply = TxnReply {
        revision: 13,
        succeeded: true,
        responses: vec![
            OpReply::Put(PutReply { revision: 13, prev_kv: Some(a) }),
            OpReply::Txn(inner),
            OpReply::DeleteRange(DeleteRangeReply { revision: 13, deleted: 0, prev_kvs: vec![] }),
        ],
    };
    let op = |response| pb::ResponseOp { response: Some(response) };
    let inner = pb::TxnResponse {
        header: operation(0),
        succeeded: false,
        responses: vec![
            op(Response::ResponseRange(pb::RangeResponse {
                header: operation(13),
                kvs: vec![a_message.clone()],
                more: false,
                count: 1,
            })),
            op(Response::ResponseTxn(pb::TxnResponse { header: operation(0), succeeded: true, responses: Vec::new() })),
        ],
    };
    let put = pb::PutResponse { header: operation(13), prev_kv: Some(a_message) };
    let delete = pb::DeleteRangeResponse { header: operation(13), ..Default::default() };
    let message = pb::TxnResponse {
        header: header(13),
        succeeded: true,
        responses: vec![
            op(Response::ResponsePut(put)),
            op(Response::ResponseTxn(inner)),
            op(Response::ResponseDeleteRange(delete)),
        ],
    };
    same(Reply::Txn(reply), message);
}

#[test]
fn plain_replies_leases_and_alarms() {
    let plain = PlainReply { revision: 12 };
    same(Reply::Compact(plain), pb::CompactionResponse { header: header(12) });
    same(Reply::LeaseRevoke(plain), pb::LeaseRevokeResponse { header: header(12) });
    same(Reply::LeaseCheckpoint(PlainReply::default()), pb::LeaseCheckpointResponse { header: header(1000) });
    same(
        Reply::LeaseGrant(LeaseGrantReply { revision: 12, id: -7, ttl_seconds: 60 }),
        pb::LeaseGrantResponse { header: header(12), id: -7, ttl: 60, error: String::new() },
    );
    let alarms =
        vec![Alarm { member: 0, kind: AlarmKind::CORRUPT }, Alarm { member: u64::MAX, kind: AlarmKind::NO_SPACE }];
    let messages = vec![
        pb::AlarmMember { member_id: 0, alarm: pb::AlarmType::Corrupt.into() },
        pb::AlarmMember { member_id: u64::MAX, alarm: pb::AlarmType::Nospace.into() },
    ];
    same(Reply::Alarm(AlarmReply { revision: 12, alarms }), pb::AlarmResponse { header: header(12), alarms: messages });
}

#[test]
fn replies_about_members_have_no_revision() {
    let member = pb::Member {
        id: 5,
        name: "five".into(),
        peer_urls: vec!["http://127.0.0.1:2380".into()],
        client_urls: vec![],
        is_learner: true,
    };
    let members = vec![pb::Member::default(), member.clone()];
    same(
        Reply::MemberAdd(MemberAddReply { member: member.clone(), members: members.clone() }),
        pb::MemberAddResponse { header: header(0), member: Some(member), members: members.clone() },
    );
    same(
        Reply::Members(MembersReply { members: members.clone() }),
        pb::MemberListResponse { header: header(0), members },
    );
    assert!(Reply::Done.encode(&HEADER).is_empty());
}
