//! What a load asks, and what must be true of every answer.
//!
//! A revision seen anywhere before a request was sent is a floor: a put must be
//! above it, a linearizable range at it or above. That holds across connections
//! and members, so a load is also a small test of real-time order.

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse,
};

use crate::grpc;
use crate::keyspace::Keyspace;

/// The lease of the key with number 0; the others follow. Zero would let the server choose.
const FIRST_LEASE: i64 = 0x6265_6e63_6800_0000;

/// Leases have one of so many TTLs in turn, in seconds from the shortest on: the
/// answer for another lease seldom looks right, and none ends within a load.
const TTLS: usize = 997;
const TTL_MIN: i64 = 1000;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One key is written.
    Put,
    /// One key is read, linearizably.
    Range,
    /// One key is read from what the member has.
    SerializableRange,
    /// The lease with a key's number is made. Once only, so it is no load.
    Grant,
    /// The lease with a key's number is renewed.
    KeepAlive,
    /// A watcher of one key is made. What it is told is doubted by the load.
    Watch,
}

impl Kind {
    /// Every kind with its name on the command line.
    pub const NAMES: [(&str, Self); 5] = [
        ("put", Self::Put),
        ("range", Self::Range),
        ("serializable-range", Self::SerializableRange),
        ("keepalive", Self::KeepAlive),
        ("watch", Self::Watch),
    ];

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// The gRPC path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Put => proto::methods::path::PUT,
            Self::Range | Self::SerializableRange => proto::methods::path::RANGE,
            Self::Grant => proto::methods::path::LEASE_GRANT,
            Self::KeepAlive => proto::methods::path::LEASE_KEEP_ALIVE,
            Self::Watch => proto::methods::path::WATCH,
        }
    }

    /// Whether requests go on a stream that stays open.
    pub fn has_stream(self) -> bool {
        matches!(self, Self::KeepAlive | Self::Watch)
    }

    /// What must have been done once for every key before.
    pub fn needs(self) -> Option<Self> {
        match self {
            Self::Range | Self::SerializableRange => Some(Self::Put),
            Self::KeepAlive => Some(Self::Grant),
            Self::Put | Self::Grant | Self::Watch => None,
        }
    }

    /// Makes `out` the body of a request for the key with this number.
    pub fn encode(self, keyspace: &Keyspace, number: usize, out: &mut Vec<u8>) {
        let key = keyspace.key(number);
        match self {
            Self::Put => {
                grpc::frame(&PutRequest { key, value: keyspace.value(number), ..Default::default() }, out);
            }
            Self::Range | Self::SerializableRange => {
                let serializable = self == Self::SerializableRange;
                grpc::frame(&RangeRequest { key, serializable, ..Default::default() }, out);
            }
            Self::Grant => grpc::frame(&LeaseGrantRequest { id: lease(number), ttl: ttl(number) }, out),
            Self::KeepAlive => grpc::frame(&LeaseKeepAliveRequest { id: lease(number) }, out),
            Self::Watch => {
                let create = WatchCreateRequest { key, ..Default::default() };
                grpc::frame(&WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }, out);
            }
        }
    }

    /// Doubts the body of a reply; the revision in it when nothing is wrong.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(self, keyspace: &Keyspace, number: usize, floor: i64, body: &[u8]) -> Result<i64, String> {
        match self {
            Self::Put => {
                let revision = revision_of(grpc::message::<PutResponse>(body)?.header)?;
                if revision <= floor {
                    return Err(format!("a put made revision {revision}, {floor} was there before it began"));
                }
                Ok(revision)
            }
            Self::Range | Self::SerializableRange => {
                let reply = grpc::message::<RangeResponse>(body)?;
                let revision = revision_of(reply.header)?;
                if self == Self::Range && revision < floor {
                    return Err(format!("a stale range: revision {revision}, {floor} was there before it began"));
                }
                let [found] = reply.kvs.as_slice() else {
                    return Err(format!("a range of one key found {}", reply.kvs.len()));
                };
                if found.key != keyspace.key(number) || !keyspace.is_value(number, &found.value) {
                    return Err(format!("a range found another key or value under {:?}", keyspace.key(number)));
                }
                if reply.count != 1 || reply.more || found.mod_revision > revision || found.version < 1 {
                    return Err(format!("a range whose numbers disagree, at revision {revision}"));
                }
                Ok(revision)
            }
            Self::Grant => {
                let LeaseGrantResponse { header, id, ttl, error } = grpc::message(body)?;
                if !error.is_empty() {
                    return Err(format!("a lease was not granted: {error}"));
                }
                check_lease(number, id, ttl).and(revision_of(header))
            }
            Self::KeepAlive => {
                let LeaseKeepAliveResponse { header, id, ttl } = grpc::message(body)?;
                check_lease(number, id, ttl).and(revision_of(header))
            }
            Self::Watch => {
                let reply = grpc::message::<WatchResponse>(body)?;
                if !reply.created || reply.canceled || !reply.events.is_empty() {
                    return Err(format!("a watcher was not made: {}", reply.cancel_reason));
                }
                revision_of(reply.header)
            }
        }
    }
}

/// The lease that goes with the key of this number.
fn lease(number: usize) -> i64 {
    FIRST_LEASE + number as i64
}

/// For how long it is granted, and renewed.
fn ttl(number: usize) -> i64 {
    TTL_MIN + (number % TTLS) as i64
}

fn check_lease(number: usize, id: i64, granted: i64) -> Result<(), String> {
    if id != lease(number) {
        return Err(format!("the answer for lease {:x} is of {id:x}", lease(number)));
    }
    if granted != ttl(number) {
        return Err(format!("lease {id:x} has {granted} seconds instead of {}", ttl(number)));
    }
    Ok(())
}

fn revision_of(header: Option<ResponseHeader>) -> Result<i64, String> {
    header.map(|header| header.revision).ok_or_else(|| "a reply without a header".to_owned())
}

/// A range of a key that is never there: it answers with the present revision.
pub fn ask_revision() -> impl Message {
    RangeRequest { key: Bytes::from_static(b"\0"), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use proto::mvccpb::KeyValue;

    use super::*;

    fn body(message: &impl Message) -> Vec<u8> {
        let mut out = Vec::new();
        grpc::frame(message, &mut out);
        out
    }

    fn header(revision: i64) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision, ..Default::default() })
    }

    #[test]
    fn a_put_must_be_above_what_was_seen() {
        let keyspace = Keyspace::new(3, 256);
        let reply = body(&PutResponse { header: header(9), ..Default::default() });
        assert_eq!(Kind::Put.check(&keyspace, 0, 8, &reply), Ok(9));
        assert!(Kind::Put.check(&keyspace, 0, 9, &reply).is_err());
        assert!(Kind::Put.check(&keyspace, 0, 0, &body(&PutResponse::default())).is_err());
        assert!(Kind::Put.check(&keyspace, 0, 0, b"").is_err());
    }

    #[test]
    fn a_range_must_find_its_key_and_value() {
        let keyspace = Keyspace::new(3, 256);
        let found = |number| KeyValue {
            key: keyspace.key(number),
            value: keyspace.value(number),
            mod_revision: 4,
            version: 1,
            ..Default::default()
        };
        let reply = |kvs: Vec<KeyValue>| {
            body(&RangeResponse { header: header(5), count: kvs.len() as i64, kvs, ..Default::default() })
        };
        let right = reply(vec![found(1)]);
        assert_eq!(Kind::Range.check(&keyspace, 1, 5, &right), Ok(5));
        assert!(Kind::Range.check(&keyspace, 1, 6, &right).unwrap_err().contains("stale"));
        assert_eq!(Kind::SerializableRange.check(&keyspace, 1, 6, &right), Ok(5), "it may be stale");
        for wrong in [
            reply(vec![]),
            reply(vec![found(2)]),
            reply(vec![found(1), found(2)]),
            reply(vec![KeyValue { value: keyspace.value(2), ..found(1) }]),
            reply(vec![KeyValue { mod_revision: 6, ..found(1) }]),
        ] {
            assert!(Kind::Range.check(&keyspace, 1, 5, &wrong).is_err());
        }
    }

    #[test]
    fn a_lease_must_be_the_one_asked_for_with_its_time() {
        let keyspace = Keyspace::new(3, 256);
        let kept = |id, ttl| body(&LeaseKeepAliveResponse { header: header(5), id, ttl });
        assert_eq!(Kind::KeepAlive.check(&keyspace, 2, 9, &kept(lease(2), ttl(2))), Ok(5), "a lease has no revision");
        for wrong in [kept(lease(1), ttl(2)), kept(lease(1), ttl(1)), kept(lease(2), ttl(1)), kept(lease(2), 0)] {
            assert!(Kind::KeepAlive.check(&keyspace, 2, 0, &wrong).is_err());
        }
        let headless = LeaseKeepAliveResponse { header: None, id: lease(2), ttl: ttl(2) };
        assert!(Kind::KeepAlive.check(&keyspace, 2, 0, &body(&headless)).is_err());

        let granted =
            |id, error: &str| body(&LeaseGrantResponse { header: header(5), id, ttl: ttl(2), error: error.to_owned() });
        assert_eq!(Kind::Grant.check(&keyspace, 2, 0, &granted(lease(2), "")), Ok(5));
        assert!(Kind::Grant.check(&keyspace, 2, 0, &granted(lease(1), "")).is_err());
        assert!(Kind::Grant.check(&keyspace, 2, 0, &granted(lease(2), "no")).is_err());
    }

    #[test]
    fn a_watcher_must_have_been_made() {
        let keyspace = Keyspace::new(3, 256);
        let reply = WatchResponse { header: header(5), created: true, ..Default::default() };
        assert_eq!(Kind::Watch.check(&keyspace, 0, 9, &body(&reply)), Ok(5), "it may be behind");
        for wrong in [
            WatchResponse { created: false, ..reply.clone() },
            WatchResponse { canceled: true, ..reply.clone() },
            WatchResponse { events: vec![Default::default()], ..reply.clone() },
            WatchResponse { header: None, ..reply },
        ] {
            assert!(Kind::Watch.check(&keyspace, 0, 0, &body(&wrong)).is_err());
        }
    }

    #[test]
    fn requests_say_what_their_kind_is() {
        let keyspace = Keyspace::new(3, 256);
        let mut out = Vec::new();
        Kind::Put.encode(&keyspace, 2, &mut out);
        let put: PutRequest = grpc::message(&out).unwrap();
        assert_eq!((put.key, put.value.len()), (keyspace.key(2), 256));
        Kind::SerializableRange.encode(&keyspace, 2, &mut out);
        let range: RangeRequest = grpc::message(&out).unwrap();
        assert!(range.serializable && range.range_end.is_empty());
        Kind::Grant.encode(&keyspace, 2, &mut out);
        let grant: LeaseGrantRequest = grpc::message(&out).unwrap();
        Kind::KeepAlive.encode(&keyspace, 2, &mut out);
        let kept: LeaseKeepAliveRequest = grpc::message(&out).unwrap();
        assert_eq!((grant.id, grant.ttl, kept.id), (lease(2), ttl(2), lease(2)));
        Kind::Watch.encode(&keyspace, 2, &mut out);
        let watch: WatchRequest = grpc::message(&out).unwrap();
        let wanted = WatchCreateRequest { key: keyspace.key(2), ..Default::default() };
        assert_eq!(watch.request_union, Some(RequestUnion::CreateRequest(wanted)));
    }
}
