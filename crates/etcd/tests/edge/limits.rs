//! Many calls, slow readers, and the end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use etcd::grpc::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, data, frame};
use crate::service::{FLOOD_BYTES, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_on_one_connection() {
    let server = Server::new(Limits::default()).await;
    // Answers are read in another order than they come: all must fit.
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(10_000_000);
    let mut client = Client::with(server.connect().await, &builder).await;
    let mut calls = Vec::new();
    for number in 0..2000_u32 {
        let mut call = client.begin("/test.Echo/Unary", &[]);
        let message = number.to_be_bytes().repeat(100);
        call.send.send_data(Bytes::from(frame(&message)), true).unwrap();
        calls.push((message, call));
    }
    for (message, call) in calls {
        assert_eq!(call.answer().await.body, frame(&message));
    }
}

#[tokio::test]
async fn a_message_far_above_every_window_passes() {
    let server = Server::new(Limits::default()).await;
    let mut client = Client::new(server.connect().await).await;
    let message = vec![b'm'; 2_000_000];
    let answer = client.call("/test.Echo/Unary", &[], frame(&message)).await;
    assert_eq!(answer.grpc().0, "0");
    assert_eq!(answer.body.len(), message.len() + 5);
}

#[tokio::test]
async fn a_reader_that_stops_stops_its_stream_and_no_other() {
    let server = Server::new(Limits::default()).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(100_000).initial_connection_window_size(10_000_000);
    let mut client = Client::with(server.connect().await, &builder).await;
    let mut call = client.begin("/test.Echo/Flood", &[]);
    call.send.send_data(Bytes::new(), true).unwrap();
    let mut body = call.response.await.unwrap().into_body();
    server.service.flood_waits.notified().await;

    // It waits with the window full and at most one message more than fits.
    let flooded = server.service.flooded.load(Ordering::SeqCst);
    assert!((flooded - 1) * FLOOD_BYTES <= 100_000, "{flooded} messages");
    let answer = client.call("/test.Echo/Unary", &[], frame(b"me too")).await;
    assert_eq!(answer.body, frame(b"me too"));
    assert_eq!(server.service.flooded.load(Ordering::SeqCst), flooded);

    // It goes on when the client reads again.
    let mut read = 0;
    while read < 1_000_000 {
        read += data(&mut body).await.unwrap().len();
    }
    assert!(server.service.flooded.load(Ordering::SeqCst) > flooded);
}

#[tokio::test]
async fn answers_that_nobody_reads_hold_back_further_calls() {
    let limits = Limits { held_bytes_max: 50_000, ..Limits::default() };
    let mut server = Server::new(limits).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(100);
    let mut client = Client::with(server.connect().await, &builder).await;
    let mut unread = Vec::new();
    for _ in 0..6 {
        let mut call = client.begin("/test.Echo/Unary", &[]);
        call.send.send_data(Bytes::from(frame(&[0; 10_000])), true).unwrap();
        let response = (&mut call.response).await;
        unread.push(response.unwrap().into_body());
        if unread.len() == 5 {
            break;
        }
    }
    // 50,025 bytes wait for the client: the next call does not begin,
    let mut late = client.begin("/test.Echo/Hang", &[]);
    late.send.send_data(Bytes::from(frame(b"")), true).unwrap();
    let mut ping = tokio::time::timeout(Duration::from_millis(50), server.hanging.recv()).await;
    assert!(ping.is_err(), "a call began");
    // until the client takes an answer.
    let mut first = unread.remove(0);
    while data(&mut first).await.is_some() {}
    ping = Ok(server.hanging.recv().await);
    assert_eq!(ping, Ok(Some(true)));
}

#[tokio::test]
async fn stopping_lets_calls_end_and_takes_no_new_ones() {
    let limits = Limits { stop_timeout: Duration::from_millis(50), ..Limits::default() };
    let mut server = Server::new(limits).await;
    let mut client = Client::new(server.connect().await).await;
    let mut bidi = client.begin("/test.Echo/Bidi", &[]);
    bidi.send.send_data(Bytes::from(frame(b"a")), false).unwrap();
    let mut hang = client.begin("/test.Echo/Hang", &[]);
    hang.send.send_data(Bytes::from(frame(b"")), true).unwrap();
    assert_eq!(server.hanging.recv().await, Some(true));
    assert_eq!(server.hanging.recv().await, Some(true));
    server.stop.notify_one();
    // The stream may end by itself; the hanging call is cut off.
    bidi.send.send_data(Bytes::from(frame(b"b")), true).unwrap();
    let answer = bidi.answer().await;
    assert_eq!(answer.body, [frame(b"a"), frame(b"b")].concat());
    assert_eq!(answer.grpc().0, "10");
    assert!(hang.response.await.is_err());
    assert_eq!(server.hanging.recv().await, Some(false));
}

#[tokio::test]
async fn a_client_that_never_speaks_is_given_up() {
    let limits = Limits { handshake_timeout: Duration::from_millis(30), ..Limits::default() };
    let server = Server::new(limits).await;
    let mut stream = server.connect().await;
    stream.write_all(b"PRI * HT").await.unwrap();
    // The server's settings come, and then nothing but the end.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() < 200);
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_given_up() {
    let limits = Limits {
        keepalive_interval: Duration::from_millis(20),
        keepalive_timeout: Duration::from_millis(20),
        ..Limits::default()
    };
    let server = Server::new(limits).await;
    // This one answers pings, and so lives through several.
    let mut client = Client::new(server.connect().await).await;
    // This one says hello, and nothing ever after.
    let mut silent = server.connect().await;
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).await.unwrap();
    let answer = client.call("/test.Echo/Unary", &[], frame(b"alive")).await;
    assert_eq!(answer.body, frame(b"alive"));
}
