//! Sound requests and answers to begin with; the corpus has those of real members, of ours and of etcd 3.5.1.

use super::desk::{CLUSTER, ME, OTHERS};
use super::{DOORS, Door, Question, number, requests};
use prost::Message as _;
use proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use proto::leasepb::{LeaseInternalRequest, LeaseInternalResponse};
use proto::raftpb::{ConfState, Entry, Message, MessageType, Snapshot, SnapshotMetadata};
use std::collections::BTreeMap;
use store::chain::{Link, Report};

/// What raft says: a heartbeat and an append of an entry.
fn messages() -> Vec<Message> {
    let said = Message { to: ME, from: OTHERS[0], term: 2, commit: 2, ..Message::default() };
    let entry = Entry { term: 2, index: 5, data: b"x".to_vec().into(), ..Entry::default() };
    vec![
        Message { r#type: MessageType::MsgHeartbeat.into(), ..said.clone() },
        Message { r#type: MessageType::MsgApp.into(), log_term: 2, index: 4, entries: vec![entry], ..said },
    ]
}

/// The message of a snapshot, and an image behind it.
fn snapshot(beside: &[u8], image: &[u8]) -> Vec<u8> {
    let conf_state = ConfState { voters: vec![ME, OTHERS[0], OTHERS[1]], ..ConfState::default() };
    let metadata = Some(SnapshotMetadata { index: 50, term: 3, conf_state: Some(conf_state) });
    let snapshot = Some(Snapshot { metadata, data: beside.to_vec().into() });
    let kind = MessageType::MsgSnap.into();
    let message = Message { r#type: kind, to: ME, from: OTHERS[0], term: 3, snapshot, ..Message::default() };
    let message = message.encode_to_vec();
    [&(message.len() as u64).to_be_bytes(), &message[..], image].concat()
}

/// Bodies of requests, by path.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let to_live = LeaseTimeToLiveRequest { id: 8, keys: true };
    let internal = LeaseInternalRequest { lease_time_to_live_request: Some(to_live) };
    let mut bodies: Vec<(&str, Vec<u8>)> =
        messages().iter().map(|message| ("/raft", message.encode_to_vec())).collect();
    bodies.extend(crate::snapshot::seeds().iter().map(|seed| {
        let (beside, image) = crate::snapshot::parts(seed);
        ("/raft/snapshot", snapshot(beside, image))
    }));
    bodies.extend([
        // Half of a snapshot, one that is announced to be a million million bytes long, and a message that is none.
        ("/raft/snapshot", snapshot(b"", b"")),
        ("/raft/snapshot", [&(1u64 << 40).to_be_bytes()[..], b"rest"].concat()),
        ("/raft/snapshot", [&2u64.to_be_bytes()[..], b"\x08\x08"].concat()),
        ("/members/hashkv", b"{\"revision\":3}".to_vec()),
        ("/members/hashkv", b"{\"revision\":9}".to_vec()),
        ("/leases", LeaseKeepAliveRequest { id: 4 }.encode_to_vec()),
        ("/leases", LeaseKeepAliveRequest { id: 7 }.encode_to_vec()),
        ("/leases/internal", internal.encode_to_vec()),
        ("/leases/internal", Vec::new()),
    ]);
    bodies
}

/// Bodies of answers.
fn answers() -> Vec<(Question, Vec<u8>)> {
    let kept = LeaseKeepAliveResponse { id: 7, ttl: 60, ..LeaseKeepAliveResponse::default() };
    let left = LeaseTimeToLiveResponse {
        id: 7,
        ttl: 5,
        granted_ttl: 60,
        keys: vec![b"k".to_vec().into()],
        ..LeaseTimeToLiveResponse::default()
    };
    let left = LeaseInternalResponse { lease_time_to_live_response: Some(left) };
    let chain = Report { base: 1, links: vec![(5, Link { keys: 1, rest: 2 }), (6, Link { keys: 3, rest: 4 })] };
    let members =
        format!("[{{\"id\":{ME},\"peerURLs\":[\"http://a:1\"],\"name\":\"m\",\"clientURLs\":[\"http://a:2\"]}}]");
    vec![
        (Question::KeepAlive, kept.encode_to_vec()),
        (Question::TimeToLive, left.encode_to_vec()),
        (Question::Chain, chain.encode()),
        (Question::Cluster, members.into_bytes()),
        (Question::Probe, b"{\"OK\":true,\"Now\":\"2026-11-27T00:00:00Z\"}\n".to_vec()),
    ]
}

/// Requests without a body, and others that are answered before theirs is read.
fn heads() -> Vec<Vec<u8>> {
    let paths =
        ["/raft/probing", "/members", "/version", "/downgrade/enabled", "/quorate/chain", "/nowhere", "/leases"];
    let mut heads: Vec<Vec<u8>> = paths.iter().map(|path| requests::sound("GET", path, b"")).collect();
    for kind in ["msgapp", "message"] {
        heads.push(requests::sound("GET", &format!("/raft/stream/{kind}/{:x}", OTHERS[0]), b""));
    }
    let chunks = format!(
        "POST /raft HTTP/1.1\r\nHost: m\r\nX-Server-Version: 3.5.1\r\nX-Min-Cluster-Version: 3.0.0\r\n\
         X-Etcd-Cluster-ID: {CLUSTER:x}\r\nX-Server-From: 57a2\r\nX-PeerURLs: http://a:1,http://b:1\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\n\x08\x08\r\n0\r\n\r\n"
    );
    heads.push(chunks.into_bytes());
    heads.push([heads[0].clone(), heads[1].clone(), heads[2].clone()].concat());
    heads
}

/// All of them.
pub fn seeds() -> Vec<Vec<u8>> {
    let seed = |door, bytes: &[u8]| [&[number(door)], bytes].concat();
    let mut seeds: Vec<Vec<u8>> = heads().iter().map(|head| seed(Door::Connection, head)).collect();
    let methods: BTreeMap<&str, &str> = DOORS
        .iter()
        .filter_map(|door| match door {
            Door::Request(method, path) => Some((*path, *method)),
            _ => None,
        })
        .collect();
    for (path, body) in bodies() {
        seeds.push(seed(Door::Request(methods[path], path), &body));
    }
    for (question, body) in answers() {
        seeds.push(seed(Door::Body(question), &body));
        seeds.push(seed(Door::Answer(question), &super::answers::sound(&body)));
    }
    let streams = crate::streams::peer_seeds();
    for (question, stream) in [(Question::Messages, &streams[0]), (Question::Appends, &streams[2])] {
        seeds.push(seed(Door::Answer(question), &super::answers::sound(&stream[1..])));
    }
    for status in ["204 No Content", "403 Forbidden", "500 Internal Server Error"] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        seeds.push(seed(Door::Answer(Question::Snapshot), answer.as_bytes()));
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_the_addresses() {
        let urls = [1, 2, 3].map(|number| format!("http://127.0.0.1:2301{number}"));
        let ids = urls.map(|url| store::roster::identity::member_id(&[url], "doors", None));
        assert_eq!((ids[0], &ids[1..]), (ME, &OTHERS[..]));
        assert_eq!(store::roster::identity::cluster_id(&ids), CLUSTER);
    }
}
