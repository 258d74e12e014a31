//! HTTP/2 that is none, and floods of it that is. The connection may end by it; the member and other connections do not.

use std::time::Duration;

use proto::methods::path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;

use crate::bystander::Bystander;
use crate::harness::{self, PATIENCE};
use crate::http2_frames::{
    ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, frame, literal,
};
use crate::member::{Attacked, ask, state};

const PRIORITY: u8 = 2;
const PUSH_PROMISE: u8 = 5;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 8;
/// The payload of the ping that is looked for.
const ALIVE: &[u8] = b"alive?!?";
/// Frames of a flood.
const FLOOD: usize = 20_000;

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

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// The member closes it, though the client's side stays open.
    Ends,
    /// The member answers a ping behind what was said.
    GoesOn,
}

use Fate::{Ends, GoesOn};

/// After the preface and the settings. What breaks the connection's own rules ends it, and so do floods that cost more
/// than they bring; what breaks a stream's ends that stream (RFC 9113, section 5.4).
fn attacks() -> Vec<(Fate, &'static str, Vec<u8>)> {
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
        (Ends, "bytes that are nothing", vec![0xff; 4096]),
        (Ends, "zeros", vec![0; 4096]),
        (Ends, "HTTP/1 behind the preface", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100)),
        (Ends, "a frame longer than may be", frame(DATA, 0, 1, &vec![0; 1 << 20])),
        (GoesOn, "a frame of an unknown kind", frame(0xbe, 0xff, 1, b"whatever")),
        (Ends, "a head on stream 0", frame(HEADERS, END_HEADERS, 0, &head())),
        (Ends, "a head on an even stream", open(2)),
        (Ends, "streams that count down", twice(open(5), open(3))),
        (GoesOn, "a stream twice", twice(with(Vec::new()), open(1))),
        (Ends, "data without a head", frame(DATA, 0, 1, b"x")),
        (Ends, "data on stream 0", frame(DATA, 0, 0, b"x")),
        (Ends, "data after the end", twice(with(Vec::new()), frame(DATA, 0, 1, b"x"))),
        (Ends, "more padding than frame", frame(HEADERS, END_HEADERS | PADDED, 1, &[255, 0, 0])),
        (Ends, "a field that no table has", frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0xff, 0xff, 0x7f])),
        (Ends, "a field cut off", frame(HEADERS, END_HEADERS, 1, &[0, 100, b'x'])),
        (Ends, "a table of 4 GiB", frame(HEADERS, END_HEADERS, 1, &[0x3f, 0xff, 0xff, 0xff, 0xff, 0x0f])),
        (GoesOn, "no path", frame(HEADERS, END_HEADERS | END_STREAM, 1, &without(":path"))),
        (GoesOn, "no method", frame(HEADERS, END_HEADERS | END_STREAM, 1, &without(":method"))),
        (GoesOn, "no scheme", frame(HEADERS, END_HEADERS | END_STREAM, 1, &without(":scheme"))),
        (GoesOn, "no field at all", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[])),
        (GoesOn, "a pseudo field behind others", with(literal(":path", "/again"))),
        (Ends, "an unknown pseudo field", frame(HEADERS, END_HEADERS, 1, &[literal(":who", "me"), head()].concat())),
        (Ends, "a name in capitals", with(literal("Upper", "x"))),
        (Ends, "a name with a line feed", with(literal("a\nb", "x"))),
        (Ends, "a value with a zero", with(literal("a", "x\0y"))),
        (GoesOn, "a field of the connection", with(literal("connection", "close"))),
        (GoesOn, "te that is not trailers", with(literal("te", "gzip"))),
        (GoesOn, "a length that is not so", with(literal("content-length", "99999999999"))),
        (GoesOn, "a length that is none", with(literal("content-length", "-1"))),
        (GoesOn, "two thousand fields", with(literal("x", "y").repeat(2_000))),
        (Ends, "a head that does not end", twice(frame(HEADERS, 0, 1, &head()), open(3))),
        (Ends, "a head that never ends", twice(frame(HEADERS, 0, 1, &head()), continued)),
        (Ends, "a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &head())),
        (Ends, "settings of half a setting", frame(SETTINGS, 0, 0, &[0, 1, 2])),
        (Ends, "settings of a stream", frame(SETTINGS, 0, 1, &setting(3, 1))),
        (Ends, "settings acknowledged with a word", frame(SETTINGS, 1, 0, &setting(3, 1))),
        (Ends, "a window beyond all windows", frame(SETTINGS, 0, 0, &setting(4, u32::MAX))),
        (Ends, "frames of no bytes", frame(SETTINGS, 0, 0, &setting(5, 0))),
        (Ends, "push neither on nor off", frame(SETTINGS, 0, 0, &setting(2, 7))),
        (Ends, "a window by nothing", window(0, 0)),
        (Ends, "a window by more than all", twice(window(0, 0x7fff_ffff), window(0, 0x7fff_ffff))),
        (Ends, "the window of a stream that is not", window(9, 10)),
        (Ends, "half a window", frame(WINDOW_UPDATE, 0, 0, &[0, 1])),
        (Ends, "half a ping", frame(PING, 0, 0, &[1, 2, 3])),
        (Ends, "the ping of a stream", frame(PING, 0, 1, &[0; 8])),
        (GoesOn, "an answer to no ping", frame(PING, 1, 0, &[9; 8])),
        (Ends, "a promise", frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &head()[..]].concat())),
        (Ends, "a reset of nothing", frame(RST_STREAM, 0, 7, &[0; 4])),
        (Ends, "a reset of the connection", frame(RST_STREAM, 0, 0, &[0; 4])),
        (GoesOn, "a stream that waits for itself", frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 5])),
        (GoesOn, "a farewell and more", twice(frame(GOAWAY, 0, 0, &[0; 8]), open(1))),
        (Ends, "half a farewell", frame(GOAWAY, 0, 0, &[0; 3])),
        (
            GoesOn,
            "a call that nobody reads the answer of",
            twice(frame(SETTINGS, 0, 0, &setting(4, 0)), with(Vec::new())),
        ),
        (Ends, "calls taken back at once", rapid),
        (GoesOn, "settings without end", settled),
        (GoesOn, "pings without end", frame(PING, 0, 0, &[1; 8]).repeat(FLOOD)),
        (Ends, "data of nothing without end", twice(open(1), frame(DATA, 0, 1, b"").repeat(FLOOD))),
        (GoesOn, "windows without end", twice(open(1), window(1, 1).repeat(FLOOD))),
        (GoesOn, "priorities without end", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 5]).repeat(FLOOD)),
    ]
}

/// Says all of it, and asks behind it whether the member still listens. Our side stays open until that is known, so only
/// the member ends a connection.
async fn say(attacked: &Attacked, title: &str, bytes: &[u8]) -> Fate {
    let (mut hearing, mut saying) = attacked.connect().await.into_split();
    let said = async {
        // The member may hang up in the middle.
        let _said = saying.write_all(bytes).await;
        let _asked = saying.write_all(&frame(PING, 0, 0, ALIVE)).await;
        saying
    };
    let heard = async {
        while let Ok((kind, flags, payload)) = hear(&mut hearing).await {
            if (kind, flags & ACK, &payload[..]) == (PING, ACK, ALIVE) {
                return GoesOn;
            }
        }
        Ends
    };
    let known = timeout(PATIENCE, async { tokio::join!(said, heard) }).await;
    let (saying, fate) = known.unwrap_or_else(|_| panic!("{title}: the member neither answers nor ends it"));
    drop(saying);
    ends(title, hearing).await;
    fate
}

/// The next frame: kind, flags, payload.
async fn hear(hearing: &mut OwnedReadHalf) -> std::io::Result<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    hearing.read_exact(&mut head).await?;
    let [high, middle, low, kind, flags, ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
    hearing.read_exact(&mut payload).await?;
    Ok((kind, flags, payload))
}

/// The member has heard that the client says no more, and closes the connection.
async fn ends(title: &str, mut hearing: OwnedReadHalf) -> Vec<u8> {
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE, hearing.read_to_end(&mut rest)).await;
    // Reset or closed, that is the same here.
    let _how = ended.unwrap_or_else(|_| panic!("{title}: the connection does not end"));
    rest
}

#[tokio::test]
async fn http2_that_is_none() {
    let attacked = Attacked::start("absurd-http2", harness::our_program()).await;
    let bystander = Bystander::start(&attacked).await;
    let mut before = attacked.client().await;
    let held = state(&mut before, true).await;
    let mut wrong = Vec::new();
    for (expected, title, bytes) in attacks() {
        for settings in [frame(SETTINGS, 0, 0, &[]), Vec::new()] {
            let fate = say(&attacked, title, &[PREFACE, &settings, &bytes].concat()).await;
            if fate != expected {
                wrong.push(format!("{title}, after {} bytes of settings: {fate:?}", settings.len()));
            }
        }
        bystander.goes_on().await;
        // Who comes after it is served.
        let mut client = attacked.client().await;
        let answer = ask(&mut client, path::STATUS, &[], vec![0; 5]).await;
        assert_eq!(answer.grpc().0, "0", "after {title}");
    }
    assert!(wrong.is_empty(), "{} connections went otherwise:\n{}", wrong.len(), wrong.join("\n"));
    // What is waited for may come; with the client goes the connection.
    let half = frame(HEADERS, END_HEADERS, 1, &head())[..20].to_vec();
    for said in [PREFACE[..10].to_vec(), [PREFACE, &frame(SETTINGS, 0, 0, &[]), &half].concat()] {
        leave(&attacked, "half of something", &said).await;
    }
    assert_eq!(state(&mut before, true).await, held);
    bystander.end().await;
}

/// Says this and no more; the member closes the connection. What it has said.
async fn leave(attacked: &Attacked, title: &str, bytes: &[u8]) -> Vec<u8> {
    let (hearing, mut saying) = attacked.connect().await.into_split();
    saying.write_all(bytes).await.expect("it is taken");
    saying.shutdown().await.expect("nobody has hung up");
    ends(title, hearing).await
}

#[tokio::test]
async fn http1_that_is_none() {
    let attacked = Attacked::start("absurd-http1", harness::our_program()).await;
    let bystander = Bystander::start(&attacked).await;
    let lines: [(&str, &str, Vec<u8>); 7] = [
        ("no verb", "400", b"/health\r\n\r\n".to_vec()),
        ("an unknown version", "400", b"GET /health HTTP/9.9\r\n\r\n".to_vec()),
        ("a verb without end", "431", vec![b'G'; 1 << 20]),
        ("a path without end", "431", [b"GET /".to_vec(), vec![b'x'; 1 << 20], b" HTTP/1.1\r\n\r\n".to_vec()].concat()),
        ("fields without end", "431", [b"GET / HTTP/1.1\r\n".to_vec(), b"a: b\r\n".repeat(100_000)].concat()),
        ("two lengths", "400", b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello".to_vec()),
        ("pieces of no length", "404", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec()),
    ];
    // Our side stays open: the member says what is wrong, and closes.
    for (title, status, bytes) in lines {
        let (hearing, mut saying) = attacked.connect().await.into_split();
        let said = async {
            // The member may hang up in the middle.
            let _said = saying.write_all(&bytes).await;
            saying
        };
        let (_saying, heard) = tokio::join!(said, ends(title, hearing));
        let heard = String::from_utf8_lossy(&heard);
        assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{title}: {heard}");
        bystander.goes_on().await;
    }
    for (title, bytes) in [("nothing", &b""[..]), ("no line", b"\r\n\r\n"), ("half a line", b"GET /he")] {
        let heard = leave(&attacked, title, bytes).await;
        assert!(heard.is_empty(), "{title} is answered: {}", String::from_utf8_lossy(&heard));
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
