//! gRPC that is none: frames cut off, too long, compressed, of the wrong type, to paths that lead nowhere. With the feature
//! `real-etcd` the real one is sent the same.

use std::io::Write;
use std::path::PathBuf;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::Request;
use prost::Message;
use proto::etcdserverpb::PutRequest;
use proto::methods::path;
use tokio::time::timeout;

use crate::bystander::Bystander;
use crate::cases::sensible;
use crate::client::{Answer, Client, flagged, frame};
use crate::harness::{self, PATIENCE};
use crate::member::{Attacked, ask, state};
use crate::schema::Schema;

/// What a message may have at most: `--max-request-bytes` and half a MiB.
const MESSAGE_BYTES_MAX: usize = 1_572_864 + (512 << 10);

/// What is sent, and what comes back: the HTTP status, the code, the beginning of the words.
struct Attempt {
    title: String,
    verb: &'static str,
    path: String,
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
    expected: (u16, &'static str, &'static str),
}

fn put() -> Vec<u8> {
    PutRequest { key: "\u{f8ff}frames".into(), value: "v".into(), ..Default::default() }.encode_to_vec()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

fn attempts() -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let fine = (200, "0", "");
    let mut attempt = |title: &str, fields: &[(&'static str, &str)], body: Vec<u8>, expected| {
        let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        attempts.push(Attempt {
            title: title.to_owned(),
            verb: "POST",
            path: path::PUT.to_owned(),
            fields,
            body,
            expected,
        });
    };
    let cut_off = (200, "13", "unexpected EOF");
    let whole = frame(&put());
    attempt("as it should be", &[], whole.clone(), fine);
    for length in 1..whole.len() {
        attempt(&format!("{length} of {} bytes", whole.len()), &[], whole[..length].to_vec(), cut_off);
    }
    attempt("two messages", &[], whole.repeat(2), fine);
    for length in [MESSAGE_BYTES_MAX + 1, u32::MAX as usize] {
        let claimed = [&[0], &(length as u32).to_be_bytes()[..]].concat();
        attempt(&format!("claims {length} bytes"), &[], claimed, (200, "8", "grpc: received message larger than max"));
    }
    let large = frame(&vec![0; MESSAGE_BYTES_MAX + 1]);
    attempt("has a byte too many", &[], large, (200, "8", "grpc: received message larger than max"));
    let large = frame(&vec![0xff; MESSAGE_BYTES_MAX]);
    attempt("has as many as may be, of nothing", &[], large, (200, "13", "grpc: error unmarshalling request"));

    let squeezed = flagged(1, &gzip(&put()));
    let (gzipped, identity) = ([("grpc-encoding", "gzip")], [("grpc-encoding", "identity")]);
    attempt("gzip", &gzipped, squeezed.clone(), fine);
    attempt("gzip allowed and not used", &gzipped, whole.clone(), fine);
    attempt("identity", &identity, whole.clone(), fine);
    let unsaid = (200, "13", "grpc: compressed flag set with identity or empty encoding");
    attempt("compressed and unsaid", &[], squeezed.clone(), unsaid);
    attempt("compressed with identity", &identity, squeezed.clone(), unsaid);
    attempt(
        "no gzip",
        &gzipped,
        flagged(1, b"no gzip"),
        (200, "13", "grpc: failed to decompress the received message"),
    );
    let half = &gzip(&put())[..20];
    attempt("half of gzip", &gzipped, flagged(1, half), (200, "13", "grpc: failed to decompress the received message"));
    let bomb = flagged(1, &gzip(&vec![0; 64 << 20]));
    attempt(
        "64 MiB in 64 KiB of gzip",
        &gzipped,
        bomb,
        (200, "8", "grpc: received message after decompression larger than max"),
    );
    for encoding in ["deflate", "zstd", "snappy", "GZIP", "gzip, identity"] {
        let words = "grpc: Decompressor is not installed for grpc-encoding";
        attempt(&format!("encoding {encoding}"), &[("grpc-encoding", encoding)], squeezed.clone(), (200, "12", words));
    }
    for flag in [2, 0x80, 0xff] {
        let words = "grpc: received unexpected payload format";
        attempt(&format!("flag {flag}"), &[], flagged(flag, &put()), (200, "13", words));
    }

    for content_type in ["application/grpc+proto", "application/grpc;charset=utf-8", "Application/gRPC"] {
        attempt(&format!("type {content_type}"), &[("content-type", content_type)], whole.clone(), fine);
    }
    for content_type in ["", "text/plain", "application/json", "application/grpcx", "application/grpc-web"] {
        let refused = (415, "3", "invalid gRPC request content-type");
        attempt(&format!("type {content_type:?}"), &[("content-type", content_type)], whole.clone(), refused);
    }
    for after in ["1x", "x", "", "S", "-1S", "123456789S", "1.5S"] {
        let words = "malformed grpc-timeout";
        attempt(&format!("timeout {after:?}"), &[("grpc-timeout", after)], whole.clone(), (200, "13", words));
    }
    for after in ["99999999H", "5S"] {
        attempt(&format!("timeout {after}"), &[("grpc-timeout", after)], whole.clone(), fine);
    }

    for (path, words) in [
        ("/", "malformed method name"),
        ("/x", "malformed method name"),
        ("//", "unknown service"),
        ("/etcdserverpb.KV", "malformed method name"),
        ("/etcdserverpb.KV/", "unknown method  for service etcdserverpb.KV"),
        ("/etcdserverpb.KV/put", "unknown method put for service etcdserverpb.KV"),
        ("/etcdserverpb.KV/Put/", "unknown service etcdserverpb.KV/Put"),
        ("/etcdserverpb.kv/Put", "unknown service etcdserverpb.kv"),
        ("/etcdserverpb.KV/Put%00", "unknown method"),
        ("/../etcdserverpb.KV/Put", "unknown service"),
    ] {
        let (path, body, fields) = (path.to_owned(), whole.clone(), Vec::new());
        let expected = (200, "12", words);
        attempts.push(Attempt { title: format!("path {path}"), verb: "POST", path, fields, body, expected });
    }
    for verb in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let (path, body, fields) = (path::PUT.to_owned(), whole.clone(), Vec::new());
        attempts.push(Attempt {
            title: format!("verb {verb}"),
            verb,
            path,
            fields,
            body,
            expected: (405, "3", "received a"),
        });
    }
    attempts
}

async fn attempt(client: &mut Client, attempt: &Attempt) -> Answer {
    let mut request = Request::builder().method(attempt.verb).uri(format!("http://localhost{}", attempt.path));
    request = request.header("te", "trailers");
    if !attempt.fields.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/grpc");
    }
    for (name, value) in &attempt.fields {
        request = request.header(
            *name,
            http::HeaderValue::from_bytes(value.as_bytes()).unwrap_or(http::HeaderValue::from_static("?")),
        );
    }
    let mut call = client.send(request.body(()).expect("a request"), false);
    // The answer may come, and end the stream, before all of it is sent.
    let _sent = call.send.send_data(Bytes::from(attempt.body.clone()), true);
    timeout(PATIENCE, call.answer()).await.unwrap_or_else(|_| panic!("{} is not answered", attempt.title))
}

async fn try_all(program: PathBuf, title: &str, attempts: Vec<Attempt>) -> Vec<String> {
    let attacked = Attacked::start(title, program).await;
    let bystander = Bystander::start(&attacked).await;
    let mut client = attacked.client().await;
    let before = state(&mut client, true).await;
    let mut wrong = Vec::new();
    for one in attempts {
        let answer = attempt(&mut client, &one).await;
        let ((code, words), (status, wanted, beginning)) = (answer.grpc(), one.expected);
        if (answer.status.as_u16(), code.as_str()) != (status, wanted) || !words.starts_with(beginning) {
            wrong.push(format!("{}: {} {code:?} {words:?}, not {:?}", one.title, answer.status, one.expected));
        }
    }
    assert_eq!(state(&mut client, true).await, before, "what is left of it lies aside");
    bystander.end().await;
    wrong
}

#[tokio::test]
async fn frames_that_are_none() {
    let wrong = try_all(harness::our_program(), "absurd-frames", attempts()).await;
    assert!(wrong.is_empty(), "{} attempts went otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

#[cfg(feature = "real-etcd")]
#[tokio::test]
async fn etcd_takes_frames_that_are_none_alike() {
    // grpc-go has other codes and words for these since then, or answers them where it ended the stream.
    let newer = ["type ", "verb ", "timeout ", "path /", "half of gzip", "64 MiB in"];
    let is_newer = |attempt: &Attempt| {
        attempt.title.contains(" of 19 bytes") || newer.iter().any(|kind| attempt.title.starts_with(kind))
    };
    let attempts = attempts().into_iter().filter(|attempt| !is_newer(attempt)).collect();
    let wrong = try_all(harness::real_program(), "absurd-frames-real", attempts).await;
    assert!(wrong.is_empty(), "{} attempts went otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every method reads a compressed request as a plain one.
#[tokio::test]
async fn every_method_takes_gzip() {
    let attacked = Attacked::start("absurd-gzip", harness::our_program()).await;
    let mut client = attacked.client().await;
    let methods = Schema::read().methods;
    assert!(methods.len() >= 25);
    for method in methods.iter().filter(|method| !method.is_streaming) {
        let plain = sensible(&method.input);
        let expected = ask(&mut client, &method.path, &[], frame(&plain)).await.grpc();
        let squeezed = flagged(1, &gzip(&plain));
        let answer = ask(&mut client, &method.path, &[("grpc-encoding", "gzip")], squeezed).await.grpc();
        // A compaction cannot be done twice.
        if method.name != "Compact" {
            assert_eq!(answer, expected, "{}", method.name);
        }
        assert!(!answer.1.contains("decompress") && !answer.1.contains("unmarshal"), "{}: {answer:?}", method.name);
    }
}
