//! How single calls go: well, badly, and not at all.

use std::io::Write;

use bytes::Bytes;
use etcd::grpc::Limits;
use http::Request;

use crate::client::{Client, data, flagged, frame};
use crate::service::Server;

async fn start() -> (Server, Client) {
    let server = Server::new(Limits { message_bytes_max: 1000, ..Limits::default() }).await;
    let client = Client::new(server.connect().await).await;
    (server, client)
}

fn words(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

#[tokio::test]
async fn a_unary_call() {
    let (_server, mut client) = start().await;
    let answer = client.call("/test.Echo/Unary", &[], frame(b"hello")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.head["content-type"], "application/grpc");
    assert_eq!(answer.body, frame(b"hello"));
    assert_eq!(answer.grpc(), words("0", ""));
    // And an empty message is a message.
    let answer = client.call("/test.Echo/Unary", &[], frame(b"")).await;
    assert_eq!(answer.body, frame(b""));
}

#[tokio::test]
async fn a_failure_is_trailers_only() {
    let (_server, mut client) = start().await;
    let answer = client.call("/test.Echo/Fail", &[], frame(b"")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.trailers, None);
    assert_eq!(answer.grpc(), words("15", "100%25 lost%0A"));
    let answer = client.call("/test.Nobody/Knows", &[], frame(b"")).await;
    assert_eq!(answer.grpc(), words("12", "unknown service x"));
}

#[tokio::test]
async fn malformed_messages_are_refused() {
    let (_server, mut client) = start().await;
    let refusals = [
        (frame(&[0; 1001]), "8", "grpc: received message larger than max (1001 vs. 1000)"),
        (vec![0, 0, 0], "13", "unexpected EOF"),
        (vec![0, 0, 0, 0, 5, 1], "13", "unexpected EOF"),
        (vec![], "2", "EOF"),
        (flagged(1, b"x"), "13", "grpc: compressed flag set with identity or empty encoding"),
        (flagged(9, b"x"), "13", "grpc: received unexpected payload format 9"),
    ];
    for (body, code, message) in refusals {
        let answer = client.call("/test.Echo/Unary", &[], body).await;
        assert_eq!(answer.grpc(), words(code, message));
    }
    // The connection is none the worse.
    let answer = client.call("/test.Echo/Unary", &[], frame(b"still here")).await;
    assert_eq!(answer.body, frame(b"still here"));
}

#[tokio::test]
async fn what_is_no_call_gets_an_http_status() {
    let (_server, mut client) = start().await;
    let request = |method: &str, content_type: &str| {
        Request::builder()
            .method(method)
            .uri("http://localhost/test.Echo/Unary")
            .header("content-type", content_type)
            .body(())
            .unwrap()
    };
    let answer = client.send(request("POST", "application/json"), true).answer().await;
    assert_eq!(answer.status, 415);
    let message = "invalid gRPC request content-type \"application/json\"";
    assert_eq!(answer.grpc(), words("3", message));
    let answer = client.send(request("PUT", "application/grpc"), true).answer().await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.head["allow"], "POST");
    let answer = client.send(request("GET", "text/plain"), true).answer().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "plain /test.Echo/Unary");
}

#[tokio::test]
async fn metadata_reaches_the_service() {
    let (_server, mut client) = start().await;
    let fields = [("hasleader", "true"), ("authorization", "Bearer abc.7")];
    let answer = client.call("/test.Echo/Token", &fields, frame(b"")).await;
    assert_eq!(answer.body, frame(b"abc.7"));
}

#[tokio::test]
async fn gzip_is_understood_and_other_encodings_are_named() {
    let (_server, mut client) = start().await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    encoder.write_all(b"squeezed").unwrap();
    let body = flagged(1, &encoder.finish().unwrap());
    let fields = [("grpc-encoding", "gzip")];
    let answer = client.call("/test.Echo/Unary", &fields, body.clone()).await;
    assert_eq!(answer.body, frame(b"squeezed"));
    let answer = client.call("/test.Echo/Unary", &[("grpc-encoding", "zstd")], body).await;
    let message = "grpc: Decompressor is not installed for grpc-encoding \"zstd\"";
    assert_eq!(answer.grpc(), words("12", message));
}

#[tokio::test]
async fn a_deadline_ends_a_call_and_its_handler() {
    let (mut server, mut client) = start().await;
    let fields = [("grpc-timeout", "20m")];
    let answer = client.call("/test.Echo/Hang", &fields, frame(b"")).await;
    assert_eq!(answer.grpc(), words("4", "context deadline exceeded"));
    assert!(server.hangs().await);
    assert!(!server.hangs().await);
    let answer = client.call("/test.Echo/Unary", &[("grpc-timeout", "1x")], frame(b"")).await;
    assert_eq!(answer.grpc(), words("13", "malformed grpc-timeout: \"1x\""));
}

#[tokio::test]
async fn a_reset_drops_the_handler() {
    let (mut server, mut client) = start().await;
    for path in ["/test.Echo/Hang", "/test.Echo/Bidi"] {
        let mut call = client.begin(path, &[]);
        call.send.send_data(Bytes::from(frame(b"")), false).unwrap();
        assert!(server.hangs().await);
        call.send.send_reset(h2::Reason::CANCEL);
        assert!(!server.hangs().await);
    }
}

#[tokio::test]
async fn a_lost_connection_drops_the_handler() {
    let (mut server, mut client) = start().await;
    let mut call = client.begin("/test.Echo/Hang", &[]);
    call.send.send_data(Bytes::from(frame(b"")), true).unwrap();
    assert!(server.hangs().await);
    drop(call);
    drop(client);
    assert!(!server.hangs().await);
}

#[tokio::test]
async fn a_bidirectional_stream() {
    let (_server, mut client) = start().await;
    let mut call = client.begin("/test.Echo/Bidi", &[]);
    call.send.send_data(Bytes::from(frame(b"one")), false).unwrap();
    let mut body = call.body().await;
    assert_eq!(data(&mut body).await.unwrap(), frame(b"one"));
    // One message in two DATA frames, then two messages in one.
    let two = frame(b"two");
    call.send.send_data(Bytes::copy_from_slice(&two[..6]), false).unwrap();
    call.send.send_data(Bytes::copy_from_slice(&two[6..]), false).unwrap();
    assert_eq!(data(&mut body).await.unwrap(), two);
    let both = [frame(b"3"), frame(b"4")].concat();
    call.send.send_data(Bytes::from(both), true).unwrap();
    assert_eq!(data(&mut body).await.unwrap(), frame(b"3"));
    assert_eq!(data(&mut body).await.unwrap(), frame(b"4"));
    assert_eq!(data(&mut body).await, None);
    let trailers = body.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "10");
    assert_eq!(trailers["grpc-message"], "that was all");
}
