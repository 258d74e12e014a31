//! What is said again, and what is not.
//!
//! The server here is a few lines over HTTP/2 that gives prepared answers and
//! counts questions.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use client::{Client, Code, Config, Credentials, Error, Trouble};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use proto::etcdserverpb::{AuthenticateResponse, PutRequest, PutResponse, RangeRequest, RangeResponse};
use tokio::net::TcpListener;

/// A code and a message, or a body.
type Answer = Result<Bytes, (Code, &'static str)>;

/// What the n-th question, of this path and token, is answered with.
type Script = fn(usize, &str, Option<&str>) -> Answer;

struct Server {
    endpoint: String,
    asked: Arc<AtomicUsize>,
}

impl Server {
    async fn new(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let count = count.clone();
                let service = service_fn(move |request| answer(request, script, count.clone()));
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { endpoint, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Script,
    asked: Arc<AtomicUsize>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    drop(body.collect().await);
    let header = |name| head.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("client-api-version"), Some("3.7"));
    let count = asked.fetch_add(1, Ordering::SeqCst);
    let answer = script(count, head.uri.path(), header("token"));
    let response = Response::builder().header("content-type", "application/grpc");
    let response = match answer {
        Err((code, message)) => response
            .header("grpc-status", i32::from(code))
            .header("grpc-message", message.replace(' ', "%20"))
            .body(Full::default()),
        Ok(message) => {
            let mut body = vec![0];
            body.extend((message.len() as u32).to_be_bytes());
            body.extend(message);
            // Without trailers the transport takes the call for broken, so the
            // status comes with the headers.
            response.header("grpc-status", "0").body(Full::from(Bytes::from(body)))
        }
    };
    Ok(response.unwrap())
}

fn body(message: &impl Message) -> Answer {
    Ok(message.encode_to_vec().into())
}

fn client(endpoints: &[&str]) -> Client {
    Client::new(Config::to(endpoints.iter().copied())).unwrap()
}

/// The time of a call that will not go well.
const HURRY: Duration = Duration::from_millis(300);
const NO_LEADER: Answer = Err((Code::Unavailable, "etcdserver: no leader"));

#[tokio::test]
async fn a_read_is_repeated_while_unavailable() {
    let server = Server::new(|count, _, _| match count {
        0..3 => NO_LEADER,
        _ => body(&RangeResponse { count: 7, ..RangeResponse::default() }),
    })
    .await;
    let client = client(&[&server.endpoint]);
    let response = client.range(RangeRequest::default()).await.unwrap();
    assert_eq!(response.count, 7);
    assert_eq!(server.asked(), 4);
}

fn trouble(endpoint: &str, answered: bool, reason: &str) -> Trouble {
    Trouble { endpoint: endpoint.to_owned(), answered, reason: reason.to_owned() }
}

/// A client in a hurry, with a name and a password.
fn user(endpoints: &[&str]) -> Client {
    let mut config = Config::to(endpoints.iter().copied());
    config.credentials = Some(Credentials::User { name: "root".into(), password: "secret".into() });
    config.timeout = Some(HURRY);
    Client::new(config).unwrap()
}

/// Takes connections and says nothing.
async fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    (listener, endpoint)
}

/// Where nobody listens.
async fn dead() -> String {
    mute().await.1
}

#[tokio::test]
async fn who_answered_is_not_said_to_have_been_silent() {
    let server = Server::new(|_, _, _| NO_LEADER).await;
    let client = client(&[&server.endpoint]).with_timeout(Some(HURRY));
    let error = client.range(RangeRequest::default()).await.unwrap_err();
    assert!(server.asked() > 1, "it was asked again");
    assert_eq!(error, Error::Deadline { troubles: vec![trouble(&server.endpoint, true, "etcdserver: no leader")] });
}

#[tokio::test]
async fn a_deadline_blames_who_was_asked_whatever_it_was_asked() {
    let server = Server::new(|_, _, _| {
        body(&AuthenticateResponse { token: "token".to_owned(), ..AuthenticateResponse::default() })
    })
    .await;
    let (_mute, mute) = mute().await;
    let blames_the_mute = Error::Deadline { troubles: vec![trouble(&mute, false, "no answer in time")] };
    for endpoints in [[&*mute, &server.endpoint], [&server.endpoint, &mute]] {
        let error = user(&endpoints).put(PutRequest::default()).await.unwrap_err();
        assert_eq!(error, blames_the_mute, "{endpoints:?}");
    }
    assert_eq!(user(&[&mute]).log_in().await.unwrap_err(), blames_the_mute);
    let in_pieces = client(&[&mute]).with_timeout(Some(HURRY)).range_stream(RangeRequest::default()).await;
    assert_eq!(in_pieces.unwrap_err(), blames_the_mute);
}

#[tokio::test]
async fn a_refused_login_ends_with_the_first_who_refuses() {
    const WRONG: &str = "etcdserver: authentication failed, invalid user ID or password";
    let server = Server::new(|_, _, _| Err((Code::InvalidArgument, WRONG))).await;
    let error = user(&[&dead().await, &server.endpoint, &dead().await]).log_in().await.unwrap_err();
    assert_eq!((error.to_string(), server.asked()), (WRONG.to_owned(), 1));
}

#[tokio::test]
async fn a_login_that_one_member_cannot_serve_goes_to_the_others() {
    let leaderless = Server::new(|_, _, _| NO_LEADER).await;
    let server = Server::new(|_, _, _| body(&AuthenticateResponse::default())).await;
    user(&[&leaderless.endpoint, &server.endpoint]).log_in().await.unwrap();
    assert_eq!((leaderless.asked(), server.asked()), (1, 1));
    // With nobody else there, its refusal is the answer.
    let error = user(&[&leaderless.endpoint, &dead().await]).log_in().await.unwrap_err();
    assert_eq!((error.to_string(), leaderless.asked()), ("etcdserver: no leader".to_owned(), 2));
}

#[tokio::test]
async fn a_write_is_said_once() {
    let server = Server::new(|_, _, _| NO_LEADER).await;
    let client = client(&[&server.endpoint]);
    let error = client.put(PutRequest::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "etcdserver: no leader");
    assert_eq!(error.code(), Some(Code::Unavailable));
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_read_that_is_refused_is_not_repeated() {
    let server = Server::new(|_, _, _| Err((Code::OutOfRange, "no such revision"))).await;
    let client = client(&[&server.endpoint]);
    let error = client.range(RangeRequest::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "rpc error: code = OutOfRange desc = no such revision");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_write_goes_past_an_endpoint_where_nobody_listens() {
    let dead = dead().await;
    let server = Server::new(|_, _, _| body(&PutResponse::default())).await;
    let client = client(&[&dead, &server.endpoint]);
    for _ in 0..4 {
        client.put(PutRequest::default()).await.unwrap();
    }
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn a_learner_sends_the_caller_elsewhere() {
    const REFUSAL: &str = "etcdserver: rpc not supported for learner";
    let learner = Server::new(|_, _, _| Err((Code::FailedPrecondition, REFUSAL))).await;
    let voter = Server::new(|_, _, _| body(&PutResponse::default())).await;
    let client = client(&[&learner.endpoint, &voter.endpoint]);
    client.put(PutRequest::default()).await.unwrap();
    assert_eq!((learner.asked(), voter.asked()), (1, 1));
    // With learners alone, the refusal is the answer.
    let alone = Client::new(Config::to([learner.endpoint.clone()])).unwrap();
    let error = alone.put(PutRequest::default()).await.unwrap_err();
    assert_eq!(error.to_string(), REFUSAL);
    assert_eq!(learner.asked(), 2);
}

#[tokio::test]
async fn a_stale_token_is_renewed_once() {
    let server = Server::new(|count, path, token| {
        if path == "/etcdserverpb.Auth/Authenticate" {
            return body(&AuthenticateResponse { token: format!("token-{count}"), ..AuthenticateResponse::default() });
        }
        match token {
            // The first one is from the first question.
            Some("token-0") => Err((Code::Unauthenticated, "etcdserver: invalid auth token")),
            Some("token-2") => body(&PutResponse::default()),
            other => panic!("unexpected token {other:?}"),
        }
    })
    .await;
    let mut config = Config::to([server.endpoint.clone()]);
    config.credentials = Some(Credentials::User { name: "root".into(), password: "secret".into() });
    let client = Client::new(config).unwrap();
    client.put(PutRequest::default()).await.unwrap();
    client.put(PutRequest::default()).await.unwrap();
    // Two tokens, one refusal, two writes.
    assert_eq!(server.asked(), 5);
}
