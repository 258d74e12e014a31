//! Many calls, slow readers, and the end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use etcd::grpc::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, data, frame, in_time};
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
    let mut body = call.body().await;
    in_time("a flood that waits", server.service.flood_waits.notified()).await;

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
    for _ in 0..5 {
        let mut call = client.begin("/test.Echo/Unary", &[]);
        call.send.send_data(Bytes::from(frame(&[0; 10_000])), true).unwrap();
        unread.push(call.body().await);
    }
    // 50,025 bytes wait for the client: the next call does not begin,
    let mut late = client.begin("/test.Echo/Hang", &[]);
    late.send.send_data(Bytes::from(frame(b"")), true).unwrap();
    let begun = tokio::time::timeout(Duration::from_millis(50), server.hanging.recv()).await;
    assert!(begun.is_err(), "a call began");
    // until the client takes an answer.
    let mut first = unread.remove(0);
    while data(&mut first).await.is_some() {}
    assert!(server.hangs().await);
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
    assert!(server.hangs().await);
    assert!(server.hangs().await);
    server.stop.notify_one();
    // The stream may end by itself; the hanging call is cut off.
    bidi.send.send_data(Bytes::from(frame(b"b")), true).unwrap();
    let answer = bidi.answer().await;
    assert_eq!(answer.body, [frame(b"a"), frame(b"b")].concat());
    assert_eq!(answer.grpc().0, "10");
    assert!(in_time("a call that is cut off", hang.response).await.is_err());
    assert!(!server.hangs().await);
}

#[tokio::test]
async fn a_client_that_never_speaks_is_given_up() {
    let limits = Limits { handshake_timeout: Duration::from_millis(30), ..Limits::default() };
    let server = Server::new(limits).await;
    let mut stream = server.connect().await;
    stream.write_all(b"PRI * HT").await.unwrap();
    // The server's settings come, and then nothing but the end.
    let mut rest = Vec::new();
    in_time("the end of a connection", stream.read_to_end(&mut rest)).await.unwrap();
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
    in_time("the end of a connection", silent.read_to_end(&mut rest)).await.unwrap();
    let answer = client.call("/test.Echo/Unary", &[], frame(b"alive")).await;
    assert_eq!(answer.body, frame(b"alive"));
}

#[tokio::test]
async fn a_long_answer_is_made_as_the_client_takes_it() {
    let server = Server::new(Limits::default()).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(100_000).initial_connection_window_size(10_000_000);
    let mut client = Client::with(server.connect().await, &builder).await;
    let mut call = client.begin("/test.Echo/Long", &[]);
    call.send.send_data(Bytes::from(frame(&[0; 200])), true).unwrap();
    let mut body = call.body().await;
    // An echo comes after all that the window allows was made.
    let mut joined = Vec::new();
    while joined.len() < 5 + 200 * FLOOD_BYTES {
        let answer = client.call("/test.Echo/Unary", &[], frame(b"me too")).await;
        assert_eq!(answer.body, frame(b"me too"));
        let made = server.service.pieces.load(Ordering::SeqCst) * FLOOD_BYTES;
        assert!(made <= joined.len() + 100_000 + 2 * FLOOD_BYTES, "{made} bytes for {} read", joined.len());
        joined.extend_from_slice(&data(&mut body).await.unwrap());
    }
    assert_eq!(data(&mut body).await, None);
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    let expected: Vec<u8> = (0..200_u8).rev().flat_map(|piece| vec![piece; FLOOD_BYTES]).collect();
    assert!(joined == frame(&expected), "one message");
}

#[tokio::test]
async fn a_long_answer_that_nobody_takes_is_given_up_and_no_other() {
    let limits = Limits { stall_timeout: Duration::from_millis(50), ..Limits::default() };
    let server = Server::new(limits).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1_000).initial_connection_window_size(10_000_000);
    let mut client = Client::with(server.connect().await, &builder).await;
    let mut call = client.begin("/test.Echo/Long", &[]);
    call.send.send_data(Bytes::from(frame(&[0; 50])), true).unwrap();
    let mut stalled = call.body().await;
    in_time("a long answer that is given up", server.service.long_ended.notified()).await;
    let mut read = 0;
    let ended = loop {
        match in_time("the end of a stream", stalled.data()).await {
            Some(Ok(piece)) => read += piece.len(),
            other => break other,
        }
    };
    assert_eq!(ended.unwrap().unwrap_err().reason(), Some(h2::Reason::CANCEL), "after {read} bytes");
    let answer = client.call("/test.Echo/Unary", &[], frame(b"me too")).await;
    assert_eq!(answer.body, frame(b"me too"));
    // One whose client leaves ends too.
    let mut call = client.begin("/test.Echo/Long", &[]);
    call.send.send_data(Bytes::from(frame(&[0; 50])), true).unwrap();
    drop(call.body().await);
    drop(call);
    in_time("a long answer that is given up", server.service.long_ended.notified()).await;
}

#[tokio::test]
async fn a_long_answer_has_a_deadline_as_any_other() {
    let server = Server::new(Limits::default()).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1_000).initial_connection_window_size(10_000_000);
    let mut client = Client::with(server.connect().await, &builder).await;
    let mut call = client.begin("/test.Echo/Long", &[("grpc-timeout", "50m")]);
    call.send.send_data(Bytes::from(frame(&[0; 50])), true).unwrap();
    let _unread = call.body().await;
    in_time("a long answer that is given up", server.service.long_ended.notified()).await;
}

#[tokio::test]
async fn messages_that_never_end_are_bounded_together() {
    let limits = Limits { begun_bytes_max: 50_000, ..Limits::default() };
    let server = Server::new(limits).await;
    let mut client = Client::new(server.connect().await).await;
    let mut begun = Vec::new();
    for _ in 0..4 {
        let mut call = client.begin("/test.Echo/Unary", &[]);
        call.send.send_data(Bytes::from(frame(&[0; 20_000])[..12_000].to_vec()), false).unwrap();
        begun.push(call);
    }
    let mut one_more = client.begin("/test.Echo/Unary", &[]);
    one_more.send.send_data(Bytes::from(frame(&[0; 20_000])[..12_000].to_vec()), false).unwrap();
    let (code, words) = one_more.answer().await.grpc();
    assert_eq!((&code[..], &words[..]), ("8", "grpc: more than 50000 bytes of unfinished messages on one connection"));
    // Those that go on to their end are answered, and then there is room again.
    for mut call in begun {
        call.send.send_data(Bytes::from(frame(&[0; 20_000])[12_000..].to_vec()), true).unwrap();
        assert_eq!(call.answer().await.body, frame(&[0; 20_000]));
    }
    let answer = client.call("/test.Echo/Unary", &[], frame(&[1; 30_000])).await;
    assert_eq!(answer.body, frame(&[1; 30_000]));
}

#[tokio::test]
async fn calls_above_the_number_of_streams_wait_for_one_to_end() {
    let limits = Limits { streams_max: 3, ..Limits::default() };
    let mut server = Server::new(limits).await;
    let mut client = Client::new(server.connect().await).await;
    // With its first answer the client knows the server's settings.
    assert_eq!(client.call("/test.Echo/Unary", &[], frame(b"a")).await.body, frame(b"a"));
    assert_eq!(client.h2.current_max_send_streams(), 3);
    let mut hanging = Vec::new();
    for _ in 0..4 {
        let mut call = client.begin("/test.Echo/Hang", &[]);
        call.send.send_data(Bytes::from(frame(b"")), true).unwrap();
        hanging.push(call);
    }
    for _ in 0..3 {
        assert!(server.hangs().await);
    }
    let fourth = tokio::time::timeout(Duration::from_millis(50), server.hanging.recv()).await;
    assert!(fourth.is_err(), "a fourth call began beside three");
    hanging.remove(0).send.send_reset(h2::Reason::CANCEL);
    assert!(!server.hangs().await);
    assert!(server.hangs().await);
}
