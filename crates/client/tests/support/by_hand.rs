//! An HTTP/2 server made by hand: it hears what it is asked, and says what a
//! test tells it to, frame by frame. Libraries choose themselves which streams
//! a GOAWAY counts.

use std::time::Duration;

use bytes::Bytes;
use client::Code;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The highest number a stream can have: a farewell that leaves nothing aside yet.
pub const ALL: u32 = u32::MAX >> 1;

/// HTTP/2's reasons.
pub const NO_ERROR: u32 = 0;
pub const INTERNAL_ERROR: u32 = 2;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// How long a client may take to say something.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where it listens.
pub struct Place {
    listener: TcpListener,
    pub endpoint: String,
}

impl Place {
    pub async fn new() -> Place {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        Place { listener, endpoint }
    }

    /// The next connection; nothing of it was read.
    pub async fn connection(&self) -> Connection {
        let accepted = timeout(PATIENCE, self.listener.accept()).await;
        let (mut stream, _) = accepted.expect("no client connects").unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, PREFACE);
        Connection { stream }
    }
}

/// A call whose message has come.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    pub stream: u32,
    /// In gRPC's frame.
    pub message: Bytes,
}

impl Asked {
    pub fn message<M: Message + Default>(&self) -> M {
        M::decode(&self.message[5..]).unwrap()
    }
}

/// Dropped, it is closed without a word.
pub struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// The next call.
    pub async fn asked(&mut self) -> Asked {
        timeout(PATIENCE, self.hear()).await.expect("nothing is asked")
    }

    async fn hear(&mut self) -> Asked {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.unwrap();
            let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
            let mut payload = vec![0; number(&head[..3]) as usize];
            self.stream.read_exact(&mut payload).await.unwrap();
            match (head[3], head[4]) {
                (DATA, _) if !payload.is_empty() => {
                    return Asked { stream: number(&head[5..]), message: payload.into() };
                }
                (SETTINGS, 0) => self.say(&frame(SETTINGS, ACK, 0, &[])).await,
                (PING, 0) => self.say(&frame(PING, ACK, 0, &payload)).await,
                _ => {}
            }
        }
    }

    /// The head of an answer, and its message.
    pub async fn begin(&mut self, stream: u32, message: &impl Message) {
        let head = [&[0x88][..], &literal("content-type", "application/grpc")].concat();
        self.say(&frame(HEADERS, END_HEADERS, stream, &head)).await;
        self.go_on(stream, message).await;
    }

    /// Another message of an answer.
    pub async fn go_on(&mut self, stream: u32, message: &impl Message) {
        self.say(&frame(DATA, 0, stream, &super::frame(message))).await;
    }

    pub async fn answer(&mut self, stream: u32, message: &impl Message) {
        self.begin(stream, message).await;
        let end = literal("grpc-status", &i32::from(Code::Ok).to_string());
        self.say(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &end)).await;
    }

    /// The farewell: streams above `last` were not looked at.
    pub async fn go_away(&mut self, last: u32, reason: u32) {
        self.say(&frame(GOAWAY, 0, 0, &[last.to_be_bytes(), reason.to_be_bytes()].concat())).await;
    }

    pub async fn reset(&mut self, stream: u32, reason: u32) {
        self.say(&frame(RST_STREAM, 0, stream, &reason.to_be_bytes())).await;
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header field in HPACK, as it is.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}
