//! What a client sends behind its answer, or faster than anybody reads: no offence, and no reason to end its connection.

use std::time::Duration;

use bytes::Bytes;
use etcd::grpc::Limits;
use h2::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::client::{Client, data, frame, in_time};
use crate::http2_frames::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, frame as raw, literal,
};
use crate::service::{FLOOD_BYTES, Server};

const ALIVE: &[u8; 8] = b"alive?!?";
/// More than HTTP/2's library forgives on one connection (1,024), and those that it remembers besides (50).
const CALLS: u32 = 1_200;

/// The head of a call.
fn head(path: &str) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    fields.into_iter().flat_map(|(name, value)| literal(name, value)).collect()
}

/// The next frame: kind, flags, stream.
async fn next(reading: &mut OwnedReadHalf) -> (u8, u8, u32) {
    let mut head = [0; 9];
    in_time("a frame", reading.read_exact(&mut head)).await.expect("the connection is open");
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    in_time("the rest of a frame", reading.read_exact(&mut payload)).await.expect("the connection is open");
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    assert_ne!(head[3], GOAWAY, "{payload:?}");
    (head[3], head[4], stream)
}

/// Begins a call of one message on each odd stream and ends none.
fn begun(path: &str, calls: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for call in 0..calls {
        out.extend(raw(HEADERS, END_HEADERS, 2 * call + 1, &head(path)));
        out.extend(raw(DATA, 0, 2 * call + 1, &frame(b"m")));
    }
    out
}

/// A connection with its windows open. What is said is said beside the reading.
async fn connected(stream: TcpStream) -> (OwnedReadHalf, UnboundedSender<Vec<u8>>) {
    let (mut reading, mut writing) = stream.into_split();
    let (say, mut said) = unbounded_channel::<Vec<u8>>();
    tokio::spawn(async move {
        while let Some(words) = said.recv().await {
            writing.write_all(&words).await.expect("the connection is open");
        }
    });
    say.send([PREFACE, &raw(SETTINGS, 0, 0, &[])].concat()).unwrap();
    while next(&mut reading).await.0 != SETTINGS {}
    say.send(raw(SETTINGS, ACK, 0, &[])).unwrap();
    (reading, say)
}

#[tokio::test]
async fn requests_that_end_behind_their_answers_are_no_offence() {
    let server = Server::new(Limits::default()).await;
    let (mut reading, say) = connected(server.connect().await).await;
    say.send(begun("/test.Echo/Unary", CALLS)).unwrap();
    let mut answered = 0;
    while answered < CALLS {
        let (kind, flags, stream) = next(&mut reading).await;
        assert_ne!(kind, RST_STREAM, "of stream {stream}, whose request may still end");
        answered += u32::from(kind == HEADERS && flags & END_STREAM != 0);
    }
    let mut ends: Vec<u8> = (0..CALLS).flat_map(|call| raw(DATA, END_STREAM, 2 * call + 1, &[])).collect();
    ends.extend(raw(PING, 0, 0, ALIVE));
    say.send(ends).unwrap();
    while next(&mut reading).await.0 != PING {}
}

#[tokio::test]
async fn a_request_that_never_ends_is_ended() {
    let limits = Limits { linger_timeout: Duration::from_millis(20), ..Limits::default() };
    let server = Server::new(limits).await;
    let mut client = Client::new(server.connect().await).await;
    let mut call = client.begin("/test.Echo/Unary", &[]);
    call.send.send_data(Bytes::from(frame(b"m")), false).unwrap();
    let mut body = call.body().await;
    assert_eq!(data(&mut body).await.expect("an answer"), frame(b"m"));
    assert_eq!(in_time("trailers", body.trailers()).await.unwrap().expect("trailers")["grpc-status"], "0");
    let reason = in_time("the end of the request", std::future::poll_fn(|context| call.send.poll_reset(context))).await;
    assert_eq!(reason.unwrap(), Reason::NO_ERROR);
}

#[tokio::test]
async fn who_goes_on_behind_the_answer_is_told_to_stop() {
    let server = Server::new(Limits { linger_timeout: Duration::from_secs(3600), ..Limits::default() }).await;
    let mut client = Client::new(server.connect().await).await;
    let mut call = client.begin("/test.Echo/Fail", &[]);
    call.send.send_data(Bytes::from(frame(b"m")), false).unwrap();
    drop(call.body().await);
    let more = Bytes::from(vec![0; 200_000]);
    call.send.send_data(more, false).unwrap();
    let reason = in_time("a reset", std::future::poll_fn(|context| call.send.poll_reset(context))).await;
    assert_eq!(reason.unwrap(), Reason::NO_ERROR);
    let answer = client.call("/test.Echo/Unary", &[], frame(b"others go on")).await;
    assert_eq!(answer.body, frame(b"others go on"));
}

#[tokio::test]
async fn many_small_messages_wait_for_who_reads_late() {
    let server = Server::new(Limits::default()).await;
    let (mut reading, say) = connected(server.connect().await).await;
    // The flood never reads. As many as fit into the window of a stream, the smallest that carry a lease's id.
    let mut words = begun("/test.Echo/Flood", 1);
    let small = raw(DATA, 0, 1, &frame(&[8, 1]));
    words.extend(small.repeat(1024 * 1024 / 7 - 1));
    words.extend(raw(PING, 0, 0, ALIVE));
    say.send(words).unwrap();
    let mut flooded = 0;
    loop {
        let (kind, ..) = next(&mut reading).await;
        flooded += usize::from(kind == DATA);
        if kind == PING {
            break;
        }
    }
    assert!(flooded * 1024 <= 65_535 + FLOOD_BYTES, "the client's window of 64 KiB, in frames: {flooded}");
}
