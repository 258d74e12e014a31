//! What a load asks, and what must be true of every answer.
//!
//! A revision seen anywhere before a request was sent is a floor: a put must be
//! above it, a linearizable range at it or above. That holds across connections
//! and members, so a load is also a small test of real-time order.

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::{PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader};

use crate::grpc;
use crate::keyspace::Keyspace;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One key is written.
    Put,
    /// One key is read, linearizably.
    Range,
    /// One key is read from what the member has.
    SerializableRange,
}

impl Kind {
    /// Every kind with its name on the command line.
    pub const NAMES: [(&str, Self); 3] =
        [("put", Self::Put), ("range", Self::Range), ("serializable-range", Self::SerializableRange)];

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// The gRPC path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Put => proto::methods::path::PUT,
            Self::Range | Self::SerializableRange => proto::methods::path::RANGE,
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
        }
    }
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
    fn requests_say_what_their_kind_is() {
        let keyspace = Keyspace::new(3, 256);
        let mut out = Vec::new();
        Kind::Put.encode(&keyspace, 2, &mut out);
        let put: PutRequest = grpc::message(&out).unwrap();
        assert_eq!((put.key, put.value.len()), (keyspace.key(2), 256));
        Kind::SerializableRange.encode(&keyspace, 2, &mut out);
        let range: RangeRequest = grpc::message(&out).unwrap();
        assert!(range.serializable && range.range_end.is_empty());
    }
}
