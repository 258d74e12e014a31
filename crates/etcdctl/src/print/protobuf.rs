//! `--write-out=protobuf`: the message, and nothing after it.

use prost::Message;
use proto::etcdserverpb::WatchResponse;

use super::{Answer, unsupported};
use crate::fail::{Exit, Failure, Result};

/// The answer as it is on the wire.
pub fn bytes(answer: &Answer) -> Result<Vec<u8>> {
    match answer {
        Answer::Get(response) => Ok(response.encode_to_vec()),
        Answer::Put(response) => Ok(response.encode_to_vec()),
        Answer::Delete(response) => Ok(response.encode_to_vec()),
        Answer::Txn(response) => Ok(response.encode_to_vec()),
        Answer::Watch(response) => Ok(watch(response).encode_to_vec()),
        Answer::Members(response) => Ok(response.encode_to_vec()),
        Answer::MoveLeader(_, _, response) => Ok(response.encode_to_vec()),
        Answer::Alarms(response) => Ok(response.encode_to_vec()),
        Answer::Auth(response) => Ok(response.encode_to_vec()),
        // etcdctl's own client wraps these, and a wrapper has no wire form.
        Answer::Grant(_) => Err(no_wire_form("LeaseGrantResponse")),
        Answer::Revoke(..) => Err(no_wire_form("LeaseRevokeResponse")),
        Answer::KeepAlive(_) => Err(no_wire_form("LeaseKeepAliveResponse")),
        Answer::TimeToLive(..) => Err(no_wire_form("LeaseTimeToLiveResponse")),
        Answer::Leases(_) => Err(no_wire_form("LeaseLeasesResponse")),
        Answer::Health(_) | Answer::Status(_) | Answer::HashKv(_) => Err(unsupported("protobuf")),
    }
}

/// What etcdctl keeps of a watch response.
fn watch(response: &WatchResponse) -> WatchResponse {
    WatchResponse { watch_id: 0, cancel_reason: String::new(), fragment: false, ..response.clone() }
}

fn no_wire_form(name: &str) -> Failure {
    let text = format!("marshal unsupported for type *clientv3.{name}");
    Failure::new(Exit::BadFeature, text)
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb::{LeaseGrantResponse, RangeResponse, ResponseHeader};

    use super::*;

    #[test]
    fn messages_are_raw() {
        let answer = Answer::Get(RangeResponse {
            header: Some(ResponseHeader { revision: 5, ..ResponseHeader::default() }),
            count: 1,
            ..RangeResponse::default()
        });
        assert_eq!(bytes(&answer).unwrap(), [0x0a, 2, 0x18, 5, 0x20, 1]);
    }

    #[test]
    fn wrappers_have_no_wire_form() {
        let failure = bytes(&Answer::Grant(LeaseGrantResponse::default())).unwrap_err();
        assert_eq!(failure.exit, Exit::BadFeature);
    }
}
