//! Who takes connections and does not speak holds nobody up.

mod support;

use std::time::Duration;

use client::{Client, Config, Error};
use proto::etcdserverpb::{AuthenticateResponse, LeaseKeepAliveResponse, PutRequest, PutResponse, RangeRequest};
use support::{Answer, HURRY, Server, body, client, frame, mute, trouble, user};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// So long that a test would not end that waited for it.
const FOR_EVER: Duration = Duration::from_secs(100_000);

/// A client that waits for each of its endpoints as long as it takes.
fn patient(endpoints: [&str; 2]) -> Client {
    let mut config = Config::to(endpoints);
    config.connect_timeout = FOR_EVER;
    Client::new(config).unwrap()
}

#[tokio::test]
async fn calls_go_past_who_takes_connections_and_says_nothing() {
    let server = Server::new(|_, path, _| match path {
        "/etcdserverpb.Lease/LeaseKeepAlive" => body(&LeaseKeepAliveResponse { ttl: 7, ..Default::default() }),
        _ => body(&PutResponse::default()),
    })
    .await;
    let (_mute, mute) = mute().await;
    for endpoints in [[&*mute, &server.endpoint], [&server.endpoint, &mute]] {
        let client = patient(endpoints);
        for _ in 0..4 {
            client.put(PutRequest::default()).await.unwrap();
        }
        let client = patient(endpoints);
        assert_eq!(client.lease_keep_alive_once(1).await.unwrap().ttl, 7, "a stream does too");
    }
    assert_eq!(server.asked(), 2 * 5);
}

#[tokio::test]
async fn a_login_goes_past_it_too() {
    let server = Server::new(|_, _, _| body(&AuthenticateResponse::default())).await;
    let (_mute, mute) = mute().await;
    for endpoints in [[&*mute, &server.endpoint], [&server.endpoint, &mute]] {
        user(&endpoints).with_timeout(None).log_in().await.unwrap();
    }
    assert_eq!(server.asked(), 2);
}

/// As a process that is stopped while calls go to it.
#[tokio::test]
async fn who_stops_answering_is_asked_once() {
    let stopped = Server::speaking_on(1, |_, _, _| Answer::Silence).await;
    let server = Server::new(|_, _, _| body(&PutResponse::default())).await;
    let client = patient([&stopped.endpoint, &server.endpoint]).with_timeout(Some(Duration::from_secs(2)));
    let error = loop {
        if let Err(error) = client.put(PutRequest::default()).await {
            break error;
        }
    };
    assert_eq!(error, Error::Deadline { troubles: vec![trouble(&stopped.endpoint, false, "no answer in time")] });
    for _ in 0..4 {
        client.put(PutRequest::default()).await.unwrap();
    }
    assert_eq!(stopped.asked(), 1);
}

#[tokio::test]
async fn the_dial_timeout_is_for_the_first_word() {
    let (_mute, mute) = mute().await;
    let mut config = Config::to([&*mute]);
    config.connect_timeout = HURRY / 10;
    let error = Client::new(config).unwrap().with_timeout(Some(HURRY)).put(PutRequest::default()).await.unwrap_err();
    let reason = "it takes connections and says nothing; is it stopped, or not ready yet?";
    assert_eq!(error, Error::Deadline { troubles: vec![trouble(&mute, false, reason)] });
}

#[tokio::test]
async fn who_speaks_otherwise_is_no_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            open.push(stream);
        }
    });
    let server = Server::new(|_, _, _| body(&PutResponse::default())).await;
    let both = client(&[&other, &server.endpoint]);
    for _ in 0..4 {
        both.put(PutRequest::default()).await.unwrap();
    }
    let alone = client(&[&other]).with_timeout(Some(HURRY));
    let error = alone.put(PutRequest::default()).await.unwrap_err();
    let reason = "it does not speak HTTP/2; is it etcd, and without TLS?";
    assert_eq!(error, Error::Deadline { troubles: vec![trouble(&other, false, reason)] });
}

/// An answer in pieces whose first one has come: the time of the call is for all of them.
#[tokio::test]
async fn who_grows_silent_within_an_answer_is_named() {
    let server =
        Server::new(|_, _, _| Answer::Piece(frame(&proto::etcdserverpb::RangeStreamResponse::default()))).await;
    let client = client(&[&server.endpoint]).with_timeout(Some(HURRY));
    let error = client.range_stream(RangeRequest::default()).await.unwrap_err();
    let blamed = vec![trouble(&server.endpoint, false, "no answer in time")];
    assert_eq!((error, server.asked()), (Error::Deadline { troubles: blamed }, 1));
}

/// A lease outlives the member that renews it.
#[tokio::test]
async fn a_lease_is_kept_past_who_stops_answering() {
    const TTL: i64 = 6;
    let stopped = Server::speaking_on(1, |_, _, _| Answer::Silence).await;
    let server = Server::new(|_, _, _| body(&LeaseKeepAliveResponse { ttl: TTL, ..Default::default() })).await;
    let client = client(&[&stopped.endpoint, &server.endpoint]);
    // Until the one that does not answer has been asked.
    while stopped.asked() == 0 {
        let kept = client.lease_keep_alive(1).next().await.unwrap();
        assert_eq!(kept.expect("it is kept").ttl, TTL);
    }
    for _ in 0..4 {
        assert!(client.lease_keep_alive(1).next().await.unwrap().is_some());
    }
    assert_eq!(stopped.asked(), 1, "and is not asked again");
}
