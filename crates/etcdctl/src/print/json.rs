//! `--write-out=json`: one line, as Go writes etcd's responses.
//!
//! Names and order are those of the messages, except where etcdctl shows its
//! client's own structures: leases and watches.

use proto::etcdserverpb::{
    AlarmMember, DeleteRangeResponse, HashKvResponse, Member, PutResponse, RangeResponse, ResponseHeader, ResponseOp,
    StatusResponse, TxnResponse, WatchResponse, response_op::Response,
};
use proto::mvccpb::{Event, KeyValue};

use super::object::{Object, array, base64, string};
use super::{Answer, Health};

/// The answer with a line end. Only members know hexadecimal ids here.
pub fn line(answer: &Answer, hex: bool) -> String {
    let mut text = match answer {
        Answer::Get(response) => get(response),
        Answer::Put(response) => put(response),
        Answer::Delete(response) => delete(response),
        Answer::Txn(response) => txn(response),
        Answer::Watch(response) => watch(response),
        Answer::Grant(response) => inline_header(response.header.as_ref())
            .raw("ID", response.id)
            .raw("TTL", response.ttl)
            .raw("Error", string(&response.error))
            .finish(),
        Answer::Revoke(_, response) => with_header(response.header.as_ref()).finish(),
        Answer::KeepAlive(response) => {
            inline_header(response.header.as_ref()).raw("ID", response.id).raw("TTL", response.ttl).finish()
        }
        Answer::TimeToLive(response, _) => {
            let keys = match response.keys.as_slice() {
                [] => "null".to_owned(),
                keys => array(keys, |key| base64(key)),
            };
            inline_header(response.header.as_ref())
                .raw("id", response.id)
                .raw("ttl", response.ttl)
                .raw("granted-ttl", response.granted_ttl)
                .raw("keys", keys)
                .finish()
        }
        Answer::Leases(response) => {
            let lease = |id: i64| Object::new().raw("id", id).finish();
            inline_header(response.header.as_ref())
                .raw("leases", array(&response.leases, |item| lease(item.id)))
                .finish()
        }
        Answer::Members(response) => {
            let header = match &response.header {
                Some(header) if hex => Some(hex_header(header)),
                header => header.as_ref().map(self::header),
            };
            Object::new().maybe("header", header).list("members", &response.members, |item| member(item, hex)).finish()
        }
        Answer::Health(all) => array(all, health),
        Answer::Status(all) => array(all, |(endpoint, response)| of_endpoint(endpoint, "Status", &status(response))),
        Answer::HashKv(all) => array(all, |(endpoint, response)| of_endpoint(endpoint, "HashKV", &hash(response))),
        Answer::MoveLeader(_, _, response) => with_header(response.header.as_ref()).finish(),
        Answer::Alarms(response) => {
            with_header(response.header.as_ref()).list("alarms", &response.alarms, alarm).finish()
        }
        Answer::Auth(response) => with_header(response.header.as_ref())
            .truth("enabled", response.enabled)
            .number("authRevision", response.auth_revision)
            .finish(),
    };
    text.push('\n');
    text
}

fn header(header: &ResponseHeader) -> String {
    inline_header(Some(header)).finish()
}

fn hex_header(header: &ResponseHeader) -> String {
    Object::new()
        .raw("cluster_id", string(&format!("{:x}", header.cluster_id)))
        .raw("member_id", string(&format!("{:x}", header.member_id)))
        .number("revision", header.revision)
        .number("raft_term", header.raft_term)
        .finish()
}

/// An object that begins with the header's fields themselves.
fn inline_header(header: Option<&ResponseHeader>) -> Object {
    let header = header.copied().unwrap_or_default();
    Object::new()
        .number("cluster_id", header.cluster_id)
        .number("member_id", header.member_id)
        .number("revision", header.revision)
        .number("raft_term", header.raft_term)
}

/// An object that begins with a header.
fn with_header(of: Option<&ResponseHeader>) -> Object {
    Object::new().maybe("header", of.map(header))
}

fn pair(pair: &KeyValue) -> String {
    Object::new()
        .bytes("key", &pair.key)
        .number("create_revision", pair.create_revision)
        .number("mod_revision", pair.mod_revision)
        .number("version", pair.version)
        .bytes("value", &pair.value)
        .number("lease", pair.lease)
        .finish()
}

fn get(response: &RangeResponse) -> String {
    with_header(response.header.as_ref())
        .list("kvs", &response.kvs, pair)
        .truth("more", response.more)
        .number("count", response.count)
        .finish()
}

fn put(response: &PutResponse) -> String {
    with_header(response.header.as_ref()).maybe("prev_kv", response.prev_kv.as_ref().map(pair)).finish()
}

fn delete(response: &DeleteRangeResponse) -> String {
    with_header(response.header.as_ref())
        .number("deleted", response.deleted)
        .list("prev_kvs", &response.prev_kvs, pair)
        .finish()
}

fn txn(response: &TxnResponse) -> String {
    with_header(response.header.as_ref())
        .truth("succeeded", response.succeeded)
        .list("responses", &response.responses, op)
        .finish()
}

fn op(op: &ResponseOp) -> String {
    let response = match &op.response {
        None => "null".to_owned(),
        Some(Response::ResponseRange(response)) => Object::new().raw("response_range", get(response)).finish(),
        Some(Response::ResponsePut(response)) => Object::new().raw("response_put", put(response)).finish(),
        Some(Response::ResponseDeleteRange(response)) => {
            Object::new().raw("response_delete_range", delete(response)).finish()
        }
        Some(Response::ResponseTxn(response)) => Object::new().raw("response_txn", txn(response)).finish(),
    };
    Object::new().raw("Response", response).finish()
}

fn watch(response: &WatchResponse) -> String {
    let of = response.header.unwrap_or_default();
    Object::new()
        .raw("Header", header(&of))
        .raw("Events", array(&response.events, event))
        .raw("CompactRevision", response.compact_revision)
        .raw("Canceled", response.canceled)
        .raw("Created", response.created)
        .raw("CancelReason", string(&response.cancel_reason))
        .finish()
}

fn event(event: &Event) -> String {
    Object::new()
        .number("type", event.r#type)
        .maybe("kv", event.kv.as_ref().map(pair))
        .maybe("prev_kv", event.prev_kv.as_ref().map(pair))
        .finish()
}

fn member(member: &Member, hex: bool) -> String {
    let id = Object::new();
    let id = if hex { id.raw("ID", string(&format!("{:x}", member.id))) } else { id.number("ID", member.id) };
    id.text("name", &member.name)
        .list("peerURLs", &member.peer_urls, |url| string(url))
        .list("clientURLs", &member.client_urls, |url| string(url))
        .truth("isLearner", member.is_learner)
        .finish()
}

fn health(health: &Health) -> String {
    Object::new()
        .raw("endpoint", string(&health.endpoint))
        .raw("health", health.error.is_empty())
        .raw("took", string(&health.took))
        .text("error", &health.error)
        .finish()
}

fn of_endpoint(endpoint: &str, name: &str, response: &str) -> String {
    Object::new().raw("Endpoint", string(endpoint)).raw(name, response).finish()
}

fn status(response: &StatusResponse) -> String {
    let downgrade = response.downgrade_info.as_ref().map(|downgrade| {
        Object::new().truth("enabled", downgrade.enabled).text("targetVersion", &downgrade.target_version).finish()
    });
    with_header(response.header.as_ref())
        .text("version", &response.version)
        .number("dbSize", response.db_size)
        .number("leader", response.leader)
        .number("raftIndex", response.raft_index)
        .number("raftTerm", response.raft_term)
        .number("raftAppliedIndex", response.raft_applied_index)
        .list("errors", &response.errors, |error| string(error))
        .number("dbSizeInUse", response.db_size_in_use)
        .truth("isLearner", response.is_learner)
        .text("storageVersion", &response.storage_version)
        .number("dbSizeQuota", response.db_size_quota)
        .maybe("downgradeInfo", downgrade)
        .finish()
}

fn hash(response: &HashKvResponse) -> String {
    with_header(response.header.as_ref())
        .number("hash", response.hash)
        .number("compact_revision", response.compact_revision)
        .number("hash_revision", response.hash_revision)
        .finish()
}

fn alarm(alarm: &AlarmMember) -> String {
    Object::new().number("memberID", alarm.member_id).number("alarm", alarm.alarm).finish()
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb::{LeaseGrantResponse, LeaseTimeToLiveResponse, MemberListResponse, MoveLeaderResponse};

    use super::*;

    fn some_header() -> Option<ResponseHeader> {
        Some(ResponseHeader { cluster_id: 17, member_id: 31, revision: 5, raft_term: 2 })
    }

    const HEADER: &str = r#"{"cluster_id":17,"member_id":31,"revision":5,"raft_term":2}"#;

    #[test]
    fn txn_wraps_its_answers() {
        let answer = Answer::Txn(TxnResponse {
            header: some_header(),
            succeeded: true,
            responses: vec![
                ResponseOp { response: Some(Response::ResponsePut(PutResponse::default())) },
                ResponseOp {
                    response: Some(Response::ResponseRange(RangeResponse {
                        kvs: vec![KeyValue { key: "a".into(), ..KeyValue::default() }],
                        ..RangeResponse::default()
                    })),
                },
            ],
        });
        let ops = "[{\"Response\":{\"response_put\":{}}},\
                   {\"Response\":{\"response_range\":{\"kvs\":[{\"key\":\"YQ==\"}]}}}]";
        assert_eq!(line(&answer, false), format!("{{\"header\":{HEADER},\"succeeded\":true,\"responses\":{ops}}}\n"));
    }

    #[test]
    fn leases_have_the_header_inside() {
        let answer = Answer::Grant(LeaseGrantResponse { header: some_header(), id: 7, ttl: 100, error: String::new() });
        let inline = HEADER.trim_end_matches('}');
        assert_eq!(line(&answer, false), format!("{inline},\"ID\":7,\"TTL\":100,\"Error\":\"\"}}\n"));
        let answer = Answer::TimeToLive(
            LeaseTimeToLiveResponse { header: some_header(), id: 18, ttl: -1, ..LeaseTimeToLiveResponse::default() },
            false,
        );
        assert_eq!(line(&answer, false), format!("{inline},\"id\":18,\"ttl\":-1,\"granted-ttl\":0,\"keys\":null}}\n"));
    }

    #[test]
    fn watch_shows_the_clients_own_structure() {
        let answer = Answer::Watch(WatchResponse {
            header: some_header(),
            events: vec![Event::default(), Event { r#type: 1, kv: Some(KeyValue::default()), ..Event::default() }],
            ..WatchResponse::default()
        });
        assert_eq!(
            line(&answer, false),
            format!(
                "{{\"Header\":{HEADER},\"Events\":[{{}},{{\"type\":1,\"kv\":{{}}}}],\
                 \"CompactRevision\":0,\"Canceled\":false,\"Created\":false,\
                 \"CancelReason\":\"\"}}\n"
            )
        );
    }

    #[test]
    fn members_in_hexadecimal() {
        let answer = Answer::Members(MemberListResponse {
            header: some_header(),
            members: vec![Member {
                id: 31,
                name: "m1".into(),
                client_urls: vec!["http://h:1".into()],
                ..Member::default()
            }],
        });
        let member = "\"name\":\"m1\",\"clientURLs\":[\"http://h:1\"]";
        assert_eq!(line(&answer, false), format!("{{\"header\":{HEADER},\"members\":[{{\"ID\":31,{member}}}]}}\n"));
        let header = "{\"cluster_id\":\"11\",\"member_id\":\"1f\",\"revision\":5,\"raft_term\":2}";
        assert_eq!(line(&answer, true), format!("{{\"header\":{header},\"members\":[{{\"ID\":\"1f\",{member}}}]}}\n"));
    }

    #[test]
    fn nothing_is_an_empty_object() {
        let answer = Answer::MoveLeader(1, 2, MoveLeaderResponse { header: None });
        assert_eq!(line(&answer, false), "{}\n");
    }
}
