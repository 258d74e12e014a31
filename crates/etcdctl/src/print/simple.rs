//! `--write-out=simple`: lines for people and pipes.

use std::fmt::Write as _;

use proto::etcdserverpb::{
    AlarmResponse, DeleteRangeResponse, LeaseTimeToLiveResponse, PutResponse, RangeResponse, TxnResponse,
    WatchResponse, response_op::Response,
};
use proto::mvccpb::KeyValue;

use super::{Answer, Style, rows};

/// The answer, line by line.
pub fn bytes(answer: &Answer, style: &Style) -> Vec<u8> {
    let mut out = Lines { bytes: Vec::new(), style };
    match answer {
        Answer::Get(response) => out.get(response),
        Answer::Put(response) => out.put(response),
        Answer::Delete(response) => out.delete(response),
        Answer::Txn(response) => out.txn(response),
        Answer::Watch(response) => out.watch(response),
        Answer::Grant(response) => out.line(&format!("lease {:016x} granted with TTL({}s)", response.id, response.ttl)),
        Answer::Revoke(id, _) => out.line(&format!("lease {id:016x} revoked")),
        Answer::KeepAlive(response) => {
            out.line(&format!("lease {:016x} keepalived with TTL({})", response.id, response.ttl))
        }
        Answer::TimeToLive(response, keys) => out.time_to_live(response, *keys),
        Answer::Leases(response) => {
            out.line(&format!("found {} leases", response.leases.len()));
            for lease in &response.leases {
                out.line(&format!("{:016x}", lease.id));
            }
        }
        Answer::Members(response) => out.rows(rows::members(response)),
        Answer::Health(all) => {
            for health in all.iter().filter(|health| health.error.is_empty()) {
                let (endpoint, took) = (&health.endpoint, &health.took);
                out.line(&format!("{endpoint} is healthy: successfully committed proposal: took = {took}"));
            }
        }
        Answer::Status(all) => out.rows(rows::statuses(all)),
        Answer::HashKv(all) => out.rows(rows::hashes(all)),
        Answer::MoveLeader(from, to, _) => {
            out.line(&format!("Leadership transferred from {from:x} to {to:x}"));
        }
        Answer::Alarms(response) => out.alarms(response),
        Answer::Auth(response) => {
            out.line(&format!("Authentication Status: {}", response.enabled));
            out.line(&format!("AuthRevision: {}", response.auth_revision));
        }
    }
    out.bytes
}

/// What is said on standard error about the answer.
pub fn complaints(answer: &Answer) -> Vec<String> {
    let Answer::Health(all) = answer else {
        return Vec::new();
    };
    let unhealthy = all.iter().filter(|health| !health.error.is_empty());
    let complaint = |health: &super::Health| {
        let (endpoint, error) = (&health.endpoint, &health.error);
        format!("{endpoint} is unhealthy: failed to commit proposal: {error}")
    };
    unhealthy.map(complaint).collect()
}

struct Lines<'a> {
    bytes: Vec<u8>,
    style: &'a Style,
}

impl Lines<'_> {
    fn line(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(b'\n');
    }

    fn rows(&mut self, table: rows::Table) {
        for row in table.rows {
            self.line(&row.join(", "));
        }
    }

    /// Bytes as they are, or every one as `\xNN`.
    fn raw(&mut self, bytes: &[u8]) {
        if self.style.hex {
            let mut text = String::with_capacity(bytes.len() * 4);
            for byte in bytes {
                write!(text, "\\x{byte:02x}").expect("a string takes everything");
            }
            self.bytes.extend_from_slice(text.as_bytes());
        } else {
            self.bytes.extend_from_slice(bytes);
        }
        self.bytes.push(b'\n');
    }

    fn pair(&mut self, pair: &KeyValue) {
        if !self.style.value_only {
            self.raw(&pair.key);
        }
        self.raw(&pair.value);
    }

    fn pairs<'a>(&mut self, pairs: impl IntoIterator<Item = &'a KeyValue>) {
        for pair in pairs {
            self.pair(pair);
        }
    }

    fn get(&mut self, response: &RangeResponse) {
        self.pairs(&response.kvs);
    }

    fn put(&mut self, response: &PutResponse) {
        self.line("OK");
        self.pairs(&response.prev_kv);
    }

    fn delete(&mut self, response: &DeleteRangeResponse) {
        self.line(&response.deleted.to_string());
        self.pairs(&response.prev_kvs);
    }

    fn txn(&mut self, response: &TxnResponse) {
        self.line(match response.succeeded {
            true => "SUCCESS",
            false => "FAILURE",
        });
        for op in &response.responses {
            self.line("");
            match &op.response {
                Some(Response::ResponseRange(response)) => self.get(response),
                Some(Response::ResponsePut(response)) => self.put(response),
                Some(Response::ResponseDeleteRange(response)) => self.delete(response),
                Some(Response::ResponseTxn(response)) => self.txn(response),
                None => self.line("unexpected response"),
            }
        }
    }

    fn watch(&mut self, response: &WatchResponse) {
        for event in &response.events {
            self.line(event.r#type().as_str_name());
            self.pairs(&event.prev_kv);
            self.pairs(&event.kv);
        }
    }

    fn time_to_live(&mut self, response: &LeaseTimeToLiveResponse, keys: bool) {
        let (id, left, granted) = (response.id, response.ttl, response.granted_ttl);
        if granted == 0 && left == -1 {
            self.line(&format!("lease {id:016x} already expired"));
            return;
        }
        let text = format!("lease {id:016x} granted with TTL({granted}s), remaining({left}s)");
        self.bytes.extend_from_slice(text.as_bytes());
        if keys {
            let joined = response.keys.join(&b' ');
            self.bytes.extend_from_slice(b", attached keys([");
            self.bytes.extend_from_slice(&joined);
            self.bytes.extend_from_slice(b"])");
        }
        self.line("");
    }

    fn alarms(&mut self, response: &AlarmResponse) {
        for member in &response.alarms {
            let mut parts = Vec::new();
            if member.member_id != 0 {
                parts.push(format!("memberID:{}", member.member_id));
            }
            if member.alarm != 0 {
                parts.push(format!("alarm:{}", rows::alarm_name(member.alarm)));
            }
            self.line(&parts.join(" "));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proto::etcdserverpb::{AlarmMember, ResponseOp};
    use proto::mvccpb::Event;

    use super::super::{Format, Health};
    use super::*;

    const STYLE: Style = Style { format: Format::Simple, hex: false, value_only: false };

    fn text(answer: &Answer, style: &Style) -> String {
        String::from_utf8(bytes(answer, style)).unwrap()
    }

    fn pair(key: &'static str, value: &'static str) -> KeyValue {
        KeyValue { key: key.into(), value: value.into(), ..KeyValue::default() }
    }

    #[test]
    fn pairs_in_every_style() {
        let answer = Answer::Get(RangeResponse { kvs: vec![pair("fo", "b\u{1}")], ..RangeResponse::default() });
        assert_eq!(text(&answer, &STYLE), "fo\nb\u{1}\n");
        let hex = Style { hex: true, ..STYLE };
        assert_eq!(text(&answer, &hex), "\\x66\\x6f\n\\x62\\x01\n");
        let value_only = Style { value_only: true, ..STYLE };
        assert_eq!(text(&answer, &value_only), "b\u{1}\n");
    }

    #[test]
    fn txn_with_every_kind_of_answer() {
        let op = |response| ResponseOp { response: Some(response) };
        let answer = Answer::Txn(TxnResponse {
            succeeded: true,
            responses: vec![
                op(Response::ResponsePut(PutResponse::default())),
                op(Response::ResponseRange(RangeResponse { kvs: vec![pair("a", "1")], ..RangeResponse::default() })),
                op(Response::ResponseDeleteRange(DeleteRangeResponse {
                    deleted: 1,
                    prev_kvs: vec![pair("b", "2")],
                    ..DeleteRangeResponse::default()
                })),
                op(Response::ResponseTxn(TxnResponse::default())),
            ],
            ..TxnResponse::default()
        });
        assert_eq!(text(&answer, &STYLE), "SUCCESS\n\nOK\n\na\n1\n\n1\nb\n2\n\nFAILURE\n");
    }

    #[test]
    fn events_with_what_was_before() {
        let answer = Answer::Watch(WatchResponse {
            events: vec![
                Event { kv: Some(pair("a", "2")), prev_kv: Some(pair("a", "1")), ..Event::default() },
                Event { r#type: 1, kv: Some(pair("a", "")), ..Event::default() },
            ],
            ..WatchResponse::default()
        });
        assert_eq!(text(&answer, &STYLE), "PUT\na\n1\na\n2\nDELETE\na\n\n");
    }

    #[test]
    fn leases() {
        let response = LeaseTimeToLiveResponse {
            id: 0x1f,
            ttl: 485,
            granted_ttl: 500,
            keys: vec![Bytes::from_static(b"k1"), Bytes::from_static(b"k2")],
            ..LeaseTimeToLiveResponse::default()
        };
        let line = "lease 000000000000001f granted with TTL(500s), remaining(485s)";
        let without = Answer::TimeToLive(response.clone(), false);
        assert_eq!(text(&without, &STYLE), format!("{line}\n"));
        let with = Answer::TimeToLive(response, true);
        assert_eq!(text(&with, &STYLE), format!("{line}, attached keys([k1 k2])\n"));
        let gone =
            Answer::TimeToLive(LeaseTimeToLiveResponse { id: -1, ttl: -1, ..LeaseTimeToLiveResponse::default() }, true);
        assert_eq!(text(&gone, &STYLE), "lease ffffffffffffffff already expired\n");
    }

    #[test]
    fn alarms_and_health() {
        let answer = Answer::Alarms(AlarmResponse {
            alarms: vec![AlarmMember { member_id: 7, alarm: 1 }],
            ..AlarmResponse::default()
        });
        assert_eq!(text(&answer, &STYLE), "memberID:7 alarm:NOSPACE\n");
        let health = |error: &str| Health { endpoint: "h:1".into(), error: error.into(), took: "1.2ms".into() };
        let answer = Answer::Health(vec![health(""), health("no")]);
        assert_eq!(text(&answer, &STYLE), "h:1 is healthy: successfully committed proposal: took = 1.2ms\n");
        assert_eq!(complaints(&answer), ["h:1 is unhealthy: failed to commit proposal: no"]);
    }
}
