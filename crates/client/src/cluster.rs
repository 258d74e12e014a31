//! Members.

use proto::etcdserverpb::{MemberListRequest, MemberListResponse};
use proto::methods::path;

use crate::Client;
use crate::call::Repeat;
use crate::error::Result;

impl Client {
    /// The members. A linearizable answer has asked the leader first.
    pub async fn member_list(&self, request: MemberListRequest) -> Result<MemberListResponse> {
        self.unary(path::MEMBER_LIST, Repeat::Safe, request).await
    }
}
