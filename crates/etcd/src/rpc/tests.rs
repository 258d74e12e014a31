//! Paths: what leads where, and what is said of those that lead nowhere.

use super::{not_yet, unknown};
use crate::grpc::Code;
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
