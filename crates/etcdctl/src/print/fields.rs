//! `--write-out=fields`: every field on a line of its own.

use std::fmt::{Display, Write};

use proto::etcdserverpb::{
    DeleteRangeResponse, HashKvResponse, MemberListResponse, PutResponse, RangeResponse, ResponseHeader,
    StatusResponse, TxnResponse, response_op::Response,
};
use proto::mvccpb::KeyValue;

use super::{Answer, rows, unsupported};
use crate::fail::Result;
use crate::go::quote;

/// The answer, field by field; ids in hexadecimal if wished.
pub fn text(answer: &Answer, hex: bool) -> Result<String> {
    let mut out = Fields { text: String::new(), hex };
    match answer {
        Answer::Get(response) => out.get(response),
        Answer::Put(response) => out.put(response),
        Answer::Delete(response) => out.delete(response),
        Answer::Txn(response) => out.txn(response),
        Answer::Watch(response) => {
            out.header(response.header.as_ref());
            for event in &response.events {
                out.field("Type", event.r#type().as_str_name());
                out.pairs("Prev", &event.prev_kv);
                out.pairs("", &event.kv);
            }
        }
        Answer::Grant(response) => {
            out.header(response.header.as_ref());
            out.lease("ID", response.id);
            out.field("TTL", response.ttl);
        }
        Answer::Revoke(_, response) => out.header(response.header.as_ref()),
        Answer::KeepAlive(response) => {
            out.header(response.header.as_ref());
            out.lease("ID", response.id);
            out.field("TTL", response.ttl);
        }
        Answer::TimeToLive(response, _) => {
            out.header(response.header.as_ref());
            out.lease("ID", response.id);
            out.field("TTL", response.ttl);
            out.field("GrantedTTL", response.granted_ttl);
            for key in &response.keys {
                out.quoted("Key", key);
            }
        }
        Answer::Leases(response) => {
            out.header(response.header.as_ref());
            for lease in &response.leases {
                out.lease("ID", lease.id);
            }
        }
        Answer::Members(response) => out.members(response),
        Answer::Health(all) => {
            for health in all {
                out.quoted("Endpoint", health.endpoint.as_bytes());
                out.field("Health", health.error.is_empty());
                out.field("Took", &health.took);
                out.field("Error", &health.error);
                out.end();
            }
        }
        Answer::Status(all) => {
            for (endpoint, response) in all {
                out.status(endpoint, response);
            }
        }
        Answer::HashKv(all) => {
            for (endpoint, response) in all {
                out.hash(endpoint, response);
            }
        }
        Answer::Alarms(response) => {
            out.header(response.header.as_ref());
            for member in &response.alarms {
                out.member("MemberID", member.member_id);
                out.field("AlarmType", rows::alarm_name(member.alarm));
                out.end();
            }
        }
        Answer::MoveLeader(..) | Answer::Auth(_) => return Err(unsupported("fields")),
    }
    Ok(out.text)
}

struct Fields {
    text: String,
    hex: bool,
}

impl Fields {
    fn field(&mut self, name: &str, value: impl Display) {
        writeln!(self.text, "\"{name}\" : {value}").expect("a string takes everything");
    }

    fn quoted(&mut self, name: &str, bytes: &[u8]) {
        self.field(name, quote(bytes));
    }

    fn member(&mut self, name: &str, id: u64) {
        if self.hex {
            self.field(name, format_args!("{id:x}"));
        } else {
            self.field(name, id);
        }
    }

    fn lease(&mut self, name: &str, id: i64) {
        if self.hex {
            self.field(name, format_args!("{id:016x}"));
        } else {
            self.field(name, id);
        }
    }

    /// A blank line after each of many.
    fn end(&mut self) {
        self.text.push('\n');
    }

    fn header(&mut self, header: Option<&ResponseHeader>) {
        let header = header.copied().unwrap_or_default();
        self.member("ClusterID", header.cluster_id);
        self.member("MemberID", header.member_id);
        // Answers that are not about keys have none.
        if header.revision > 0 {
            self.field("Revision", header.revision);
        }
        self.field("RaftTerm", header.raft_term);
    }

    fn pairs<'a>(&mut self, prefix: &str, pairs: impl IntoIterator<Item = &'a KeyValue>) {
        for pair in pairs {
            let name = |name: &str| format!("{prefix}{name}");
            self.quoted(&name("Key"), &pair.key);
            self.field(&name("CreateRevision"), pair.create_revision);
            self.field(&name("ModRevision"), pair.mod_revision);
            self.field(&name("Version"), pair.version);
            self.quoted(&name("Value"), &pair.value);
            self.lease(&name("Lease"), pair.lease);
        }
    }

    fn get(&mut self, response: &RangeResponse) {
        self.header(response.header.as_ref());
        self.pairs("", &response.kvs);
        self.field("More", response.more);
        self.field("Count", response.count);
    }

    fn put(&mut self, response: &PutResponse) {
        self.header(response.header.as_ref());
        self.pairs("Prev", &response.prev_kv);
    }

    fn delete(&mut self, response: &DeleteRangeResponse) {
        self.header(response.header.as_ref());
        self.field("Deleted", response.deleted);
        self.pairs("Prev", &response.prev_kvs);
    }

    fn txn(&mut self, response: &TxnResponse) {
        self.header(response.header.as_ref());
        self.field("Succeeded", response.succeeded);
        for op in &response.responses {
            match &op.response {
                Some(Response::ResponseRange(response)) => self.get(response),
                Some(Response::ResponsePut(response)) => self.put(response),
                Some(Response::ResponseDeleteRange(response)) => self.delete(response),
                Some(Response::ResponseTxn(response)) => self.txn(response),
                None => self.quoted("Unknown", b"<nil>"),
            }
        }
    }

    fn members(&mut self, response: &MemberListResponse) {
        self.header(response.header.as_ref());
        for member in &response.members {
            self.member("ID", member.id);
            self.quoted("Name", member.name.as_bytes());
            for url in &member.peer_urls {
                self.quoted("PeerURL", url.as_bytes());
            }
            for url in &member.client_urls {
                self.quoted("ClientURL", url.as_bytes());
            }
            self.field("IsLearner", member.is_learner);
            self.end();
        }
    }

    fn status(&mut self, endpoint: &str, response: &StatusResponse) {
        let downgrade = response.downgrade_info.clone().unwrap_or_default();
        self.header(response.header.as_ref());
        self.quoted("Version", response.version.as_bytes());
        self.quoted("StorageVersion", response.storage_version.as_bytes());
        self.field("DBSize", response.db_size);
        self.field("DBSizeInUse", response.db_size_in_use);
        self.field("DBSizeQuota", response.db_size_quota);
        self.field("Leader", response.leader);
        self.field("IsLearner", response.is_learner);
        self.field("RaftIndex", response.raft_index);
        self.field("RaftTerm", response.raft_term);
        self.field("RaftAppliedIndex", response.raft_applied_index);
        self.field("Errors", format_args!("[{}]", response.errors.join(" ")));
        self.quoted("Endpoint", endpoint.as_bytes());
        self.quoted("DowngradeTargetVersion", downgrade.target_version.as_bytes());
        self.field("DowngradeEnabled", downgrade.enabled);
        self.end();
    }

    fn hash(&mut self, endpoint: &str, response: &HashKvResponse) {
        self.header(response.header.as_ref());
        self.quoted("Endpoint", endpoint.as_bytes());
        self.field("Hash", response.hash);
        self.field("HashRevision", response.hash_revision);
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(revision: i64) -> Option<ResponseHeader> {
        Some(ResponseHeader { cluster_id: 0x10, member_id: 0x20, revision, raft_term: 3 })
    }

    #[test]
    fn a_pair_before() {
        let answer = Answer::Put(PutResponse {
            header: header(9),
            prev_kv: Some(KeyValue {
                key: "a".into(),
                create_revision: 2,
                mod_revision: 8,
                version: 3,
                value: "x\u{1}".into(),
                lease: 0x1f,
            }),
        });
        assert_eq!(
            text(&answer, false).unwrap(),
            "\"ClusterID\" : 16\n\"MemberID\" : 32\n\"Revision\" : 9\n\"RaftTerm\" : 3\n\
             \"PrevKey\" : \"a\"\n\"PrevCreateRevision\" : 2\n\"PrevModRevision\" : 8\n\
             \"PrevVersion\" : 3\n\"PrevValue\" : \"x\\x01\"\n\"PrevLease\" : 31\n"
        );
        let hex = text(&answer, true).unwrap();
        assert!(hex.contains("\"MemberID\" : 20\n"), "{hex}");
        assert!(hex.contains("\"PrevLease\" : 000000000000001f\n"), "{hex}");
    }

    #[test]
    fn no_revision_where_there_is_none() {
        let answer = Answer::Members(MemberListResponse { header: header(0), members: Vec::new() });
        assert_eq!(text(&answer, false).unwrap(), "\"ClusterID\" : 16\n\"MemberID\" : 32\n\"RaftTerm\" : 3\n");
    }

    #[test]
    fn status_has_every_field() {
        let answer = Answer::Status(vec![(
            "h:1".into(),
            StatusResponse {
                header: header(4),
                version: "3.7.0".into(),
                errors: vec!["a".into(), "b".into()],
                ..StatusResponse::default()
            },
        )]);
        let text = text(&answer, false).unwrap();
        let names: Vec<&str> = text.split('"').skip(1).step_by(2).collect();
        assert_eq!(text.lines().count(), 19);
        assert!(names.contains(&"DowngradeEnabled"), "{names:?}");
        assert!(text.contains("\"Errors\" : [a b]\n"), "{text}");
        assert!(text.ends_with("\"DowngradeEnabled\" : false\n\n"), "{text}");
    }
}
