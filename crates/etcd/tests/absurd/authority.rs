//! What clients name as the host of a request where it is none. etcd looks at it nowhere. Ours looks at a connection's first
//! request: what that has may be anything.

use std::path::PathBuf;

use prost::Message;
use proto::etcdserverpb::{RangeRequest, RangeResponse};
use proto::methods::path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client;
use crate::harness::{self, PATIENCE};
use crate::http2_frames::{DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, frame, literal};
use crate::member::Attacked;

/// Go's client 3.5.0, gRPC's C core with several addresses, and what somebody might think of.
const AUTHORITIES: [&str; 10] = [
    "127.0.0.1:2379",
    "#initially=[127.0.0.1:2379]",
    "#initially=[http://127.0.0.1:2379;http://127.0.0.1:2380]",
    "127.0.0.1:2379,127.0.0.1:2380,127.0.0.1:2381",
    "/var/run/etcd.sock",
    "a host",
    "[::1",
    "host:port:more",
    "\"<>{}|\\^",
    "?",
];

/// `:authority` with this text, to be remembered (RFC 7541, section 6.2.1), and the field that was remembered last.
fn remembered(text: &str) -> Vec<u8> {
    assert!(text.len() < 127, "one byte of length");
    [&[0x41, text.len() as u8], text.as_bytes()].concat()
}
const LAST_REMEMBERED: [u8; 1] = [0x80 | 62];

fn range(stream: u32, authority: &[u8]) -> Vec<u8> {
    let pseudo = [(":method", "POST"), (":scheme", "http"), (":path", path::RANGE)];
    let mut fields: Vec<u8> = pseudo.into_iter().flat_map(|(name, value)| literal(name, value)).collect();
    fields.extend_from_slice(authority);
    fields.extend(literal("content-type", "application/grpc"));
    fields.extend(literal("te", "trailers"));
    let range = RangeRequest { key: "k".into(), ..Default::default() };
    let message = client::frame(&range.encode_to_vec());
    [frame(HEADERS, END_HEADERS, stream, &fields), frame(DATA, END_STREAM, stream, &message)].concat()
}

/// The message that is answered on this stream; none if it is reset or the connection ends.
async fn answered(connection: &mut TcpStream, stream: u32) -> Option<RangeResponse> {
    loop {
        let mut head = [0; 9];
        connection.read_exact(&mut head).await.ok()?;
        let [high, middle, low, kind, _, on @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        connection.read_exact(&mut payload).await.ok()?;
        match (kind, u32::from_be_bytes(on) == stream) {
            (DATA, true) => return RangeResponse::decode(payload.get(5..)?).ok(),
            (HEADERS, true) | (_, false) => {}
            _ => return None,
        }
    }
}

async fn every_request_is_answered(title: &str, program: PathBuf) {
    let attacked = Attacked::start(title, program).await;
    for authority in AUTHORITIES {
        let mut connection = attacked.connect().await;
        let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        connection.write_all(&begin).await.expect("it listens");
        for (stream, field) in [(1, remembered(authority)), (3, LAST_REMEMBERED.to_vec()), (5, remembered(authority))] {
            connection.write_all(&range(stream, &field)).await.expect("it listens");
            let answer = timeout(PATIENCE, answered(&mut connection, stream)).await.expect("an answer in time");
            let answer = answer.unwrap_or_else(|| panic!("{authority:?} is refused on stream {stream}"));
            assert_eq!((answer.header.is_some(), answer.count), (true, 1), "{authority:?}");
        }
    }
}

/// As a proxy does that carries several clients on one connection: which requests are answered.
async fn behind_a_proper_host(title: &str, program: PathBuf) -> [bool; 3] {
    let attacked = Attacked::start(title, program).await;
    let mut connection = attacked.connect().await;
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    connection.write_all(&begin).await.expect("it listens");
    let mut all = [false; 3];
    for (at, authority) in [AUTHORITIES[0], AUTHORITIES[1], AUTHORITIES[0]].into_iter().enumerate() {
        let stream = 2 * at as u32 + 1;
        connection.write_all(&range(stream, &remembered(authority))).await.expect("it listens");
        all[at] = timeout(PATIENCE, answered(&mut connection, stream)).await.expect("an end in time").is_some();
    }
    all
}

/// A limit, not a wish. What is reset is the one request: those before and behind it on the connection are answered.
#[tokio::test]
async fn behind_a_proper_host_none_is_reset() {
    let answered = behind_a_proper_host("absurd-authority-proxy", harness::our_program()).await;
    assert_eq!(answered, [true, false, true]);
}

#[cfg(feature = "real-etcd")]
#[tokio::test]
async fn etcd_answers_behind_a_proper_host() {
    let answered = behind_a_proper_host("absurd-authority-proxy-real", harness::real_program()).await;
    assert_eq!(answered, [true; 3]);
}

#[tokio::test]
async fn an_authority_may_be_anything() {
    every_request_is_answered("absurd-authority", harness::our_program()).await;
}

#[cfg(feature = "real-etcd")]
#[tokio::test]
async fn etcd_takes_any_authority() {
    every_request_is_answered("absurd-authority-real", harness::real_program()).await;
}
