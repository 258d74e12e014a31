//! A server of a few lines over HTTP/2 that gives prepared answers and counts
//! questions; and endpoints where there is none.

#![allow(dead_code, reason = "not every test program needs all of it")]

pub mod by_hand;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use client::{Client, Code, Config, Credentials, Trouble};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpListener;

/// The time of a call that will not go well.
pub const HURRY: Duration = Duration::from_millis(300);

/// What a question is answered with.
pub enum Answer {
    /// One message, and that it went well.
    Body(Bytes),
    /// One message, and then nothing, for ever.
    Piece(Bytes),
    /// A code and its message.
    No(Code, &'static str),
    /// Nothing, for ever.
    Silence,
}

pub const NO_LEADER: Answer = Answer::No(Code::Unavailable, "etcdserver: no leader");

/// What the n-th question, of this path and token, is answered with.
pub type Script = fn(usize, &str, Option<&str>) -> Answer;

pub struct Server {
    pub endpoint: String,
    asked: Arc<AtomicUsize>,
}

impl Server {
    /// One that speaks on each of its connections.
    pub async fn new(script: Script) -> Self {
        Self::speaking_on(usize::MAX, script).await
    }

    /// One that speaks on its first connections, and takes the others without a word.
    pub async fn speaking_on(connections: usize, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            let mut mute = Vec::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                if number >= connections {
                    mute.push(stream);
                    continue;
                }
                let count = count.clone();
                let service = service_fn(move |request| answer(request, script, count.clone()));
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { endpoint, asked }
    }

    /// Questions that have come.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A body that may stay without an end.
struct Told {
    message: Option<Bytes>,
    is_whole: bool,
}

impl Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.message.take() {
            Some(message) => Poll::Ready(Some(Ok(Frame::data(message)))),
            None if self.is_whole => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Script,
    asked: Arc<AtomicUsize>,
) -> Result<Response<Told>, Infallible> {
    let (head, body) = request.into_parts();
    // A stream of requests has no end before its answer: one is enough.
    let mut body = body;
    drop(body.frame().await);
    let header = |name| head.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("client-api-version"), Some("3.7"));
    let count = asked.fetch_add(1, Ordering::SeqCst);
    let answer = script(count, head.uri.path(), header("token"));
    let response = Response::builder().header("content-type", "application/grpc");
    // Without trailers the transport takes the call for broken, so the status of what is whole comes with the headers.
    let response = match answer {
        Answer::Silence => std::future::pending().await,
        Answer::No(code, message) => response
            .header("grpc-status", i32::from(code))
            .header("grpc-message", message.replace(' ', "%20"))
            .body(Told { message: None, is_whole: true }),
        Answer::Body(message) => {
            response.header("grpc-status", "0").body(Told { message: Some(message), is_whole: true })
        }
        Answer::Piece(message) => response.body(Told { message: Some(message), is_whole: false }),
    };
    Ok(response.unwrap())
}

/// A message in gRPC's frame.
pub fn frame(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame.into()
}

pub fn body(message: &impl Message) -> Answer {
    Answer::Body(frame(message))
}

pub fn client(endpoints: &[&str]) -> Client {
    Client::new(Config::to(endpoints.iter().copied())).unwrap()
}

/// A client in a hurry, with a name and a password.
pub fn user(endpoints: &[&str]) -> Client {
    let mut config = Config::to(endpoints.iter().copied());
    config.credentials = Some(Credentials::User { name: "root".into(), password: "secret".into() });
    config.timeout = Some(HURRY);
    Client::new(config).unwrap()
}

pub fn trouble(endpoint: &str, answered: bool, reason: &str) -> Trouble {
    Trouble { endpoint: endpoint.to_owned(), answered, reason: reason.to_owned() }
}

/// Takes connections and says nothing.
pub async fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    (listener, endpoint)
}

/// Where nobody listens.
pub async fn dead() -> String {
    mute().await.1
}
