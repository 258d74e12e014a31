//! Each case is sent to a running member; the answer is a status with etcd's code and words, as `refusals.txt` has them,
//! and what was refused has changed nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{RangeRequest, RangeResponse, WatchCreateRequest, WatchRequest, WatchResponse};
use proto::v3lockpb::{UnlockRequest, UnlockResponse};
use tokio::time::timeout;

use crate::bystander::Bystander;
use crate::cases::{Case, Form, cases, sensible};
use crate::client::{Client, Reader, frame};
use crate::harness::{self, PATIENCE};
use crate::member::{ASIDE, Attacked, ask, call, disarm, revoke, state};
use crate::refusals;
use crate::schema::{Method, Schema};
use crate::wire;

/// The watch whose creation shows that what was said before has been heard.
const MARKER: i64 = 4242;
/// What unreadable bytes are answered with, up to the reader's own words: alone, and in a stream.
const UNREADABLE: [&str; 2] = ["grpc: error unmarshalling request", "grpc: failed to unmarshal the received message"];
/// Codes that any of the cases may be answered with.
const CODES: [&str; 9] = ["0", "2", "3", "5", "8", "9", "11", "12", "13"];
/// Txns in each other in a txn, as `--max-txn-ops` lets them: each may have an operation less than the one around it.
const NESTED_MAX: usize = 127;
/// What is read at all.
const READ_MAX: usize = store::nested::DEPTH_MAX - 1;

const TOO_MANY: &str = "etcdserver: too many operations in txn request";

type Said = (String, String);

/// What a member says to a case: the code, and the words or why a watch was refused.
async fn send(client: &mut Client, method: &Method, message: &[u8]) -> Said {
    let (code, words) = match method.name.as_str() {
        "Watch" => watch(client, &method.path, message).await,
        "Election/Observe" | "Health/Watch" => begin(client, &method.path, message).await,
        _ => ask(client, &method.path, &[], frame(message)).await.grpc(),
    };
    match UNREADABLE.iter().find(|unreadable| words.starts_with(**unreadable)) {
        Some(unreadable) => (code, (*unreadable).to_owned()),
        None => (code, words),
    }
}

/// What bytes are answered with that are no message.
fn unreadable(is_streaming: bool) -> Said {
    ("13".to_owned(), UNREADABLE[usize::from(is_streaming)].to_owned())
}

/// A call that goes on for ever if it is not refused, which it is before another one is answered.
async fn begin(client: &mut Client, path: &str, message: &[u8]) -> Said {
    let mut call = client.begin(path, &[]);
    call.send.send_data(Bytes::from(frame(message)), true).expect("the connection stands");
    let status = ask(client, proto::methods::path::STATUS, &[], frame(b"")).await;
    assert_eq!(status.grpc().0, "0");
    match timeout(Duration::ZERO, call.response).await {
        Ok(head) => {
            let head = head.expect("a head");
            let field = |name| head.headers().get(name).map_or("", |value| value.to_str().unwrap_or("?")).to_owned();
            match field("grpc-status") {
                code if code.is_empty() => ("0".to_owned(), String::new()),
                code => (code, field("grpc-message")),
            }
        }
        Err(_) => ("0".to_owned(), String::new()),
    }
}

async fn watch(client: &mut Client, path: &str, message: &[u8]) -> Said {
    let key = Bytes::from(format!("{ASIDE}marker"));
    let marker = WatchCreateRequest { key, watch_id: MARKER, ..Default::default() };
    let marker = WatchRequest { request_union: Some(RequestUnion::CreateRequest(marker)) };
    let mut call = client.begin(path, &[]);
    let said = [frame(message), frame(&marker.encode_to_vec())].concat();
    call.send.send_data(Bytes::from(said), false).expect("the connection stands");
    let heard = async {
        let head = call.response.await.expect("a head");
        if let Some(code) = head.headers().get("grpc-status") {
            let words = head.headers().get("grpc-message").map_or("", |words| words.to_str().unwrap_or("?"));
            return (code.to_str().unwrap_or("?").to_owned(), words.to_owned());
        }
        let (mut told, mut reason) = (Reader::new(head.into_body()), String::new());
        while let Some(response) = told.next::<WatchResponse>().await {
            if response.created && response.watch_id == MARKER {
                return ("0".to_owned(), reason);
            }
            reason.push_str(&response.cancel_reason);
        }
        told.end().await
    };
    timeout(PATIENCE, heard).await.expect("an answer in time")
}

/// One case and what was said to it.
struct Answer {
    method: String,
    form: Form,
    said: Said,
    /// What is said to it if it is no message.
    unreadable: Said,
}

/// The answers to all cases that `wanted` lets through, by title, and what went wrong on the way.
async fn attack(
    attacked: &Attacked,
    wanted: impl Fn(&Method, &Case) -> bool,
) -> (BTreeMap<String, Answer>, Vec<String>) {
    let schema = Schema::read();
    // One connection for all of it: no case may break it.
    let mut client = attacked.client().await;
    let (mut answers, mut wrong) = (BTreeMap::new(), Vec::new());
    for method in &schema.methods {
        let whole = ["Cluster", "Maintenance"].iter().any(|service| method.path.contains(service));
        let mut before = state(&mut client, whole).await;
        for case in cases(&schema, method).into_iter().filter(|case| wanted(method, case)) {
            let said = send(&mut client, method, &case.message).await;
            match method.name.as_str() {
                "Lock/Lock" | "Election/Campaign" | "Election/Proclaim" => let_go(&mut client).await,
                // etcd makes a lease for it, which nobody uses.
                "Election/Resign" => revoke(&mut client).await,
                "Alarm" if said.0 == "0" => disarm(&mut client).await,
                "LeaseGrant" if said.0 == "0" => revoke(&mut client).await,
                _ => {}
            }
            let after = state(&mut client, whole).await;
            if said.0 != "0" && before != after {
                wrong.push(format!("{} was refused and changed something: {before:?} {after:?}", case.title));
            }
            before = after;
            let unreadable = unreadable(method.is_streaming);
            let answer = Answer { method: method.name.clone(), form: case.form, said, unreadable };
            answers.insert(case.title, answer);
        }
    }
    (answers, wrong)
}

/// Deletes the keys of all locks and elections, so that the next one need not wait.
async fn let_go(client: &mut Client) {
    let all = RangeRequest { key: "\0".into(), range_end: "\0".into(), keys_only: true, ..Default::default() };
    let all: RangeResponse = call(client, proto::methods::path::RANGE, all).await;
    for kv in all.kvs.into_iter().filter(|kv| kv.key.contains(&b'/')) {
        let request = UnlockRequest { key: kv.key };
        let _: UnlockResponse = call(client, proto::methods::path::UNLOCK, request).await;
    }
    revoke(client).await;
}

/// Methods that are not served yet say so whatever they are asked.
fn is_served(said: &Said) -> bool {
    !(said.0 == "12" && said.1.ends_with("is not implemented yet"))
}

#[tokio::test]
async fn every_field_with_every_absurd_value() {
    let attacked = Attacked::start("absurd-fields", harness::our_program()).await;
    let bystander = Bystander::start(&attacked).await;
    let (answers, mut wrong) = attack(&attacked, |_, _| true).await;
    bystander.end().await;
    assert!(answers.len() > 4000, "{} cases", answers.len());
    let mut absent = BTreeSet::new();
    for (title, Answer { method, form, said, unreadable }) in &answers {
        if !CODES.contains(&said.0.as_str()) {
            wrong.push(format!("{title}: {said:?}"));
        }
        let first = &answers[&format!("{method} as it should be")].said;
        if !is_served(first) {
            absent.insert(method);
            if said != first {
                wrong.push(format!("{title}: {said:?}, and there is no such method yet"));
            }
        } else if *form == Form::Broken && said != unreadable {
            wrong.push(format!("{title} is no message: {said:?}"));
        }
    }
    assert_eq!(
        absent.iter().filter(|name| name.contains("Auth") || name.contains("User") || name.contains("Role")).count(),
        15
    );
    let refused = |(_, answer): &(&String, &Answer)| {
        let (code, words) = &answer.said;
        answer.form == Form::Whole && is_served(&answer.said) && (code != "0" || !words.is_empty())
    };
    let said = answers.iter().filter(refused).map(|(title, answer)| (title.clone(), answer.said.clone())).collect();
    wrong.extend(refusals::compare(&said));
    assert!(wrong.is_empty(), "{} cases went otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

/// The real one, asked the same, says the same.
#[cfg(feature = "real-etcd")]
#[tokio::test]
async fn etcd_refuses_the_same_with_the_same_words() {
    let wanted = |method: &Method, case: &Case| {
        let absent = ["RangeStream", "Defragment", "Snapshot", "Downgrade", "MoveLeader", "Election/Observe"];
        let served = !absent.contains(&method.name.as_str());
        let off = ["/etcdserverpb.Auth/Authenticate", "/etcdserverpb.Auth/AuthStatus"];
        let other = ["Auth", "grpc."].iter().any(|service| method.path.contains(service));
        let other = other && !off.contains(&method.path.as_str());
        let reads = !method.path.contains("Cluster") || method.name == "MemberList";
        served && !other && reads && case.form != Form::Random && refusals::excluded(&case.title).is_none()
    };
    // Thousands of requests wait for one another here; nothing of it has to outlive the test.
    let attacked = Attacked::start_with("absurd-real", harness::real_program(), &["--unsafe-no-fsync"]).await;
    let (answers, mut wrong) = attack(&attacked, wanted).await;
    assert!(answers.len() > 1000, "{} cases", answers.len());
    let expected = refusals::read();
    for (title, Answer { form, said, unreadable, .. }) in &answers {
        let fine = ("0".to_owned(), String::new());
        let expected = if *form == Form::Broken { unreadable } else { expected.get(title).unwrap_or(&fine) };
        if said != expected {
            wrong.push(format!("{title}\n  written  {expected:?}\n  answered {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases go otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

/// A txn with `depth` others inside, one in the other.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(sensible(".etcdserverpb.TxnRequest"), |inner, _| wire::bytes(2, &wire::bytes(4, &inner)))
}

/// What is said to txns in txns of these depths, which change nothing.
async fn dive(title: &str, program: PathBuf, depths: impl IntoIterator<Item = usize>) -> Vec<(usize, Said)> {
    let attacked = Attacked::start(title, program).await;
    let bystander = Bystander::start(&attacked).await;
    let mut client = attacked.client().await;
    let before = state(&mut client, true).await;
    let mut answers = Vec::new();
    for depth in depths {
        let answer = ask(&mut client, proto::methods::path::TXN, &[], frame(&nested(depth))).await;
        answers.push((depth, answer.grpc()));
    }
    assert_eq!(state(&mut client, true).await, before);
    bystander.end().await;
    answers
}

fn expect(answers: Vec<(usize, Said)>) {
    for (depth, (code, words)) in answers {
        if depth <= NESTED_MAX {
            assert_eq!(code, "0", "{depth}: {words}");
        } else if depth <= READ_MAX {
            assert_eq!((&*code, &*words), ("3", TOO_MANY), "{depth}");
        } else {
            assert!(code == "13" && words.starts_with(UNREADABLE[0]), "{depth}: {code} {words}");
        }
    }
}

/// They are taken as deep as etcd takes them. Reading has a bound: what lies far deeper is refused at that depth as far
/// beyond it.
#[tokio::test]
async fn txns_in_txns_in_txns() {
    let depths = (0..140).chain([READ_MAX, READ_MAX + 1, 1_000, 20_000]);
    expect(dive("absurd-depth", harness::our_program(), depths).await);
}

#[cfg(feature = "real-etcd")]
#[tokio::test]
async fn etcd_takes_txns_in_txns_as_deep() {
    expect(dive("absurd-depth-real", harness::real_program(), (0..140).chain([READ_MAX])).await);
}
