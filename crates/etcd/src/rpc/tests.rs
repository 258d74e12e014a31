//! Paths: what leads where, and what is said of those that lead nowhere.

use super::{Router, not_yet, unknown};
use crate::grpc::{Code, Metadata, Method, Service};
use bytes::Bytes;
use proto::methods::path;

#[test]
fn paths_that_lead_nowhere() {
    let cases = [
        ("/etcdserverpb.KV/Rangez", "unknown method Rangez for service etcdserverpb.KV"),
        ("/etcdserverpb.KVx/Range", "unknown service etcdserverpb.KVx"),
        ("/", "malformed method name: \"/\""),
        ("/etcdserverpb", "malformed method name: \"/etcdserverpb\""),
    ];
    for (path, words) in cases {
        let status = unknown(path);
        assert_eq!((status.code(), status.message()), (Code::Unimplemented, words));
    }
}

#[test]
fn methods_that_are_missing_are_named() {
    let status = not_yet(path::MEMBER_ADD);
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.message(), "etcdserver: MemberAdd is not implemented yet");
}

/// Every call of a connection is moved into its set of calls whole, so its size is paid for by each.
#[test]
fn a_call_is_small() {
    fn size<'a, F>(_: impl FnOnce(&'a Router, Metadata, Bytes) -> F) -> usize {
        size_of::<F>()
    }
    let unary = size(|router: &Router, metadata, message| {
        router.unary(Method { index: 0, streaming: false }, metadata, message)
    });
    assert!(unary <= 640, "{unary} bytes");
}
