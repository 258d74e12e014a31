//! HTTP/2 that is none, and floods of it that is. The connection may end by it; the member and other connections do not.

use std::time::Duration;

use proto::methods::path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::bystander::Bystander;
use crate::harness::{self, PATIENCE};
use crate::member::{Attacked, ask, state};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
/// Frames of a flood.
const FLOOD: usize = 20_000;

/// RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A field as a literal that nobody indexes (RFC 7541, section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| {
        assert!(text.len() < 127, "one byte of length");
        [&[text.len() as u8], text.as_bytes()].concat()
    };
    [vec![0], text(name), text(value)].concat()
}

/// The head of a range.
fn head() -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path::RANGE),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    fields.into_iter().flat_map(|(name, value)| literal(name, value)).collect()
}

fn without(name: &str) -> Vec<u8> {
    let whole = head();
    let at = whole.windows(name.len()).position(|window| window == name.as_bytes()).expect("it is there") - 2;
    let value = at + 2 + name.len();
    let end = value + 1 + usize::from(whole[value]);
    [&whole[..at], &whole[end..]].concat()
}

/// After the preface and the settings.
fn attacks() -> Vec<(&'static str, Vec<u8>)> {
    let open = |stream| frame(HEADERS, END_HEADERS, stream, &head());
    let with = |fields: Vec<u8>| frame(HEADERS, END_HEADERS | END_STREAM, 1, &[head(), fields].concat());
    let setting = |id: u16, value: u32| [&id.to_be_bytes()[..], &value.to_be_bytes()[..]].concat();
    let window = |stream, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    let twice = |one: Vec<u8>, other: Vec<u8>| [one, other].concat();
    let mut rapid = Vec::new();
    let mut settled = Vec::new();
    for number in 0..FLOOD as u32 {
        rapid.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &head()));
        rapid.extend(frame(RST_STREAM, 0, 2 * number + 1, &8_u32.to_be_bytes()));
        settled.extend(frame(SETTINGS, 0, 0, &setting(4, 65_535 + number)));
    }
    let continued = frame(CONTINUATION, 0, 1, &literal("x", "y").repeat(1000)).repeat(2000);
    vec![
        ("bytes that are nothing", vec![0xff; 4096]),
        ("zeros", vec![0; 4096]),
        ("HTTP/1 behind the preface", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100)),
        ("a frame longer than may be", frame(DATA, 0, 1, &vec![0; 1 << 20])),
        ("half a frame", frame(HEADERS, END_HEADERS, 1, &head())[..20].to_vec()),
        ("a frame of an unknown kind", frame(0xbe, 0xff, 1, b"whatever")),
        ("a head on stream 0", frame(HEADERS, END_HEADERS, 0, &head())),
        ("a head on an even stream", open(2)),
        ("streams that count down", twice(open(5), open(3))),
        ("a stream twice", twice(with(Vec::new()), open(1))),
        ("data without a head", frame(DATA, 0, 1, b"x")),
        ("data on stream 0", frame(DATA, 0, 0, b"x")),
        ("data after the end", twice(with(Vec::new()), frame(DATA, 0, 1, b"x"))),
        ("more padding than frame", frame(HEADERS, END_HEADERS | PADDED, 1, &[255, 0, 0])),
        ("a field that no table has", frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0xff, 0xff, 0x7f])),
        ("a field cut off", frame(HEADERS, END_HEADERS, 1, &[0, 100, b'x'])),
        ("a table of 4 GiB", frame(HEADERS, END_HEADERS, 1, &[0x3f, 0xff, 0xff, 0xff, 0xff, 0x0f])),
        ("no path", frame(HEADERS, END_HEADERS | END_STREAM, 1, &without(":path"))),
        ("no method", frame(HEADERS, END_HEADERS | END_STREAM, 1, &without(":method"))),
        ("no scheme", frame(HEADERS, END_HEADERS | END_STREAM, 1, &without(":scheme"))),
        ("no field at all", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[])),
        ("a pseudo field behind others", with(literal(":path", "/again"))),
        ("an unknown pseudo field", frame(HEADERS, END_HEADERS, 1, &[literal(":who", "me"), head()].concat())),
        ("a name in capitals", with(literal("Upper", "x"))),
        ("a name with a line feed", with(literal("a\nb", "x"))),
        ("a value with a zero", with(literal("a", "x\0y"))),
        ("a field of the connection", with(literal("connection", "close"))),
        ("te that is not trailers", with(literal("te", "gzip"))),
        ("a length that is not so", with(literal("content-length", "99999999999"))),
        ("a length that is none", with(literal("content-length", "-1"))),
        ("a hundred thousand fields", with(literal("x", "y").repeat(2_000))),
        ("a head that does not end", twice(frame(HEADERS, 0, 1, &head()), open(3))),
        ("a head that never ends", twice(frame(HEADERS, 0, 1, &head()), continued)),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &head())),
        ("settings of half a setting", frame(SETTINGS, 0, 0, &[0, 1, 2])),
        ("settings of a stream", frame(SETTINGS, 0, 1, &setting(3, 1))),
        ("settings acknowledged with a word", frame(SETTINGS, 1, 0, &setting(3, 1))),
        ("a window beyond all windows", frame(SETTINGS, 0, 0, &setting(4, u32::MAX))),
        ("frames of no bytes", frame(SETTINGS, 0, 0, &setting(5, 0))),
        ("push neither on nor off", frame(SETTINGS, 0, 0, &setting(2, 7))),
        ("a window by nothing", window(0, 0)),
        ("a window by more than all", twice(window(0, 0x7fff_ffff), window(0, 0x7fff_ffff))),
        ("the window of a stream that is not", window(9, 10)),
        ("half a window", frame(WINDOW_UPDATE, 0, 0, &[0, 1])),
        ("half a ping", frame(PING, 0, 0, &[1, 2, 3])),
        ("the ping of a stream", frame(PING, 0, 1, &[0; 8])),
        ("an answer to no ping", frame(PING, 1, 0, &[9; 8])),
        ("a promise", frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &head()[..]].concat())),
        ("a reset of nothing", frame(RST_STREAM, 0, 7, &[0; 4])),
        ("a reset of the connection", frame(RST_STREAM, 0, 0, &[0; 4])),
        ("a stream that waits for itself", frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 5])),
        ("a farewell and more", twice(frame(GOAWAY, 0, 0, &[0; 8]), open(1))),
        ("half a farewell", frame(GOAWAY, 0, 0, &[0; 3])),
        ("a call that nobody reads the answer of", twice(frame(SETTINGS, 0, 0, &setting(4, 0)), with(Vec::new()))),
        ("calls taken back at once", rapid),
        ("settings without end", settled),
        ("pings without end", frame(PING, 0, 0, &[1; 8]).repeat(FLOOD)),
        ("data of nothing without end", twice(open(1), frame(DATA, 0, 1, b"").repeat(FLOOD))),
        ("windows without end", twice(open(1), window(1, 1).repeat(FLOOD))),
        ("priorities without end", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 5]).repeat(FLOOD)),
    ]
}

/// Says all of it and hears the member out: it must come to an end.
async fn say(attacked: &Attacked, title: &str, bytes: &[u8]) {
    let (mut hearing, mut saying) = attacked.connect().await.into_split();
    let said = async {
        // The member may hang up in the middle.
        let _said = saying.write_all(bytes).await;
        let _closed = saying.shutdown().await;
    };
    let heard = async {
        let mut heard = Vec::new();
        let _hung_up = hearing.read_to_end(&mut heard).await;
        heard.len()
    };
    let ended = timeout(PATIENCE, async { tokio::join!(said, heard) }).await;
    assert!(ended.is_ok(), "{title}: the connection does not end");
}

#[tokio::test]
async fn http2_that_is_none() {
    let attacked = Attacked::start("absurd-http2", harness::our_program()).await;
    let bystander = Bystander::start(&attacked).await;
    let mut before = attacked.client().await;
    let held = state(&mut before, true).await;
    for (title, bytes) in attacks() {
        say(&attacked, title, &[PREFACE, &frame(SETTINGS, 0, 0, &[]), &bytes].concat()).await;
        say(&attacked, title, &[PREFACE, &bytes].concat()).await;
        bystander.goes_on().await;
        // Who comes after it is served.
        let mut client = attacked.client().await;
        let answer = ask(&mut client, path::STATUS, &[], vec![0; 5]).await;
        assert_eq!(answer.grpc().0, "0", "after {title}");
    }
    assert_eq!(state(&mut before, true).await, held);
    bystander.end().await;
}

#[tokio::test]
async fn http1_that_is_none() {
    let attacked = Attacked::start("absurd-http1", harness::our_program()).await;
    let bystander = Bystander::start(&attacked).await;
    let lines: [(&str, Vec<u8>); 10] = [
        ("nothing", Vec::new()),
        ("half a preface", PREFACE[..10].to_vec()),
        ("no line", b"\r\n\r\n".to_vec()),
        ("no verb", b"/health\r\n\r\n".to_vec()),
        ("an unknown version", b"GET /health HTTP/9.9\r\n\r\n".to_vec()),
        ("a verb without end", vec![b'G'; 1 << 20]),
        ("a path without end", [b"GET /".to_vec(), vec![b'x'; 1 << 20], b" HTTP/1.1\r\n\r\n".to_vec()].concat()),
        ("fields without end", [b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(100_000)].concat()),
        ("two lengths", b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello".to_vec()),
        ("pieces of no length", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec()),
    ];
    for (title, bytes) in lines {
        say(&attacked, title, &bytes).await;
        bystander.goes_on().await;
    }
    bystander.end().await;
}

/// Who says nothing holds up nobody, and is not waited for at the end.
#[tokio::test]
async fn many_that_say_nothing() {
    let attacked = Attacked::start("absurd-silent", harness::our_program()).await;
    let bystander = Bystander::start(&attacked).await;
    let mut silent = Vec::new();
    for number in 0..300 {
        let mut stream = attacked.connect().await;
        match number % 3 {
            0 => {}
            1 => stream.write_all(&PREFACE[..5]).await.expect("it is taken"),
            _ => stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.expect("it is taken"),
        }
        silent.push(stream);
    }
    bystander.goes_on().await;
    let started = std::time::Instant::now();
    let mut client = attacked.client().await;
    let answer = timeout(Duration::from_secs(10), ask(&mut client, path::STATUS, &[], vec![0; 5])).await;
    assert_eq!(answer.expect("served beside them").grpc().0, "0", "{:?}", started.elapsed());
    bystander.end().await;
}
