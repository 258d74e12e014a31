//! Questions to one member, and a few switches.
//!
//! Most of these are about the very member that answers: use
//! [`Client::at`] to choose it.

use proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, HashKvRequest, HashKvResponse, MoveLeaderRequest, MoveLeaderResponse, StatusRequest,
    StatusResponse, alarm_request::AlarmAction,
};
use proto::methods::path;

use crate::Client;
use crate::call::Repeat;
use crate::error::Result;

impl Client {
    /// The state of the member that answers.
    pub async fn status(&self) -> Result<StatusResponse> {
        self.unary(path::STATUS, Repeat::Safe, StatusRequest {}).await
    }

    /// A checksum of the member's history up to a revision; 0 is the current one.
    pub async fn hash_kv(&self, revision: i64) -> Result<HashKvResponse> {
        let request = HashKvRequest { revision };
        self.unary(path::HASH_KV, Repeat::Safe, request).await
    }

    /// The raised alarms of all members.
    pub async fn alarm_list(&self) -> Result<AlarmResponse> {
        self.alarm(AlarmRequest { action: AlarmAction::Get.into(), ..AlarmRequest::default() }).await
    }

    /// Lists, raises or clears alarms. Twice is the same as once.
    pub async fn alarm(&self, request: AlarmRequest) -> Result<AlarmResponse> {
        self.unary(path::ALARM, Repeat::Safe, request).await
    }

    /// Asks the member, which must be the leader, to hand over to another.
    pub async fn move_leader(&self, target: u64) -> Result<MoveLeaderResponse> {
        let request = MoveLeaderRequest { target_id: target };
        self.unary(path::MOVE_LEADER, Repeat::Never, request).await
    }
}
