//! Leases: grant, revoke, look at. Keeping alive is in `keep_alive`.

use proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use proto::methods::path;

use crate::Client;
use crate::call::Repeat;
use crate::error::Result;

impl Client {
    /// Makes a lease. `id` 0 lets the server pick; `ttl` is in seconds.
    pub async fn lease_grant(&self, request: LeaseGrantRequest) -> Result<LeaseGrantResponse> {
        self.unary(path::LEASE_GRANT, Repeat::Safe, request).await
    }

    /// Ends a lease, and with it its keys.
    pub async fn lease_revoke(&self, id: i64) -> Result<LeaseRevokeResponse> {
        let request = LeaseRevokeRequest { id };
        self.unary(path::LEASE_REVOKE, Repeat::Safe, request).await
    }

    /// What is left of a lease. An unknown one has `ttl` −1.
    pub async fn lease_time_to_live(&self, request: LeaseTimeToLiveRequest) -> Result<LeaseTimeToLiveResponse> {
        self.unary(path::LEASE_TIME_TO_LIVE, Repeat::Safe, request).await
    }

    /// All leases.
    pub async fn lease_list(&self) -> Result<LeaseLeasesResponse> {
        self.unary(path::LEASE_LEASES, Repeat::Safe, LeaseLeasesRequest {}).await
    }
}
