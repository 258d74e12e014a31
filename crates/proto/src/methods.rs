//! The RPCs a member answers, etcd's fifty-two and reflection's two, as constants.
//!
//! [`path`] holds the HTTP/2 `:path` of each one, for match arms; [`METHODS`]
//! is the same list as values, for whatever wants to walk over it. The JSON
//! gateway's routes, metrics and handlers live with the server and refer to
//! these; nothing here may know what an RPC does. A test holds the table
//! against the descriptors, so a method cannot be in one and not in the other.

/// One RPC, and which of its sides are streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Full name of the service, such as `etcdserverpb.KV`.
    pub service: &'static str,
    /// Name of the RPC, such as `Range`.
    pub name: &'static str,
    /// The client sends any number of requests.
    pub client_streaming: bool,
    /// The server sends any number of responses.
    pub server_streaming: bool,
    /// The gRPC path, such as `/etcdserverpb.KV/Range`.
    pub path: &'static str,
}

impl Method {
    /// One request, one response.
    const fn unary(service: &'static str, name: &'static str, path: &'static str) -> Self {
        Self { service, name, client_streaming: false, server_streaming: false, path }
    }

    /// One request, many responses.
    const fn server_stream(service: &'static str, name: &'static str, path: &'static str) -> Self {
        Self { service, name, client_streaming: false, server_streaming: true, path }
    }

    /// Many requests, many responses.
    const fn bidi(service: &'static str, name: &'static str, path: &'static str) -> Self {
        Self { service, name, client_streaming: true, server_streaming: true, path }
    }
}

/// The path of the method of this service and name, as one constant each.
///
/// Methods of the election and health services carry their service's name in
/// front, because `LEADER` and `WATCH` alone would not say whose.
pub mod path {
    /// `etcdserverpb.KV.Range`
    pub const RANGE: &str = "/etcdserverpb.KV/Range";
    /// `etcdserverpb.KV.RangeStream`
    pub const RANGE_STREAM: &str = "/etcdserverpb.KV/RangeStream";
    /// `etcdserverpb.KV.Put`
    pub const PUT: &str = "/etcdserverpb.KV/Put";
    /// `etcdserverpb.KV.DeleteRange`
    pub const DELETE_RANGE: &str = "/etcdserverpb.KV/DeleteRange";
    /// `etcdserverpb.KV.Txn`
    pub const TXN: &str = "/etcdserverpb.KV/Txn";
    /// `etcdserverpb.KV.Compact`
    pub const COMPACT: &str = "/etcdserverpb.KV/Compact";

    /// `etcdserverpb.Watch.Watch`
    pub const WATCH: &str = "/etcdserverpb.Watch/Watch";

    /// `etcdserverpb.Lease.LeaseGrant`
    pub const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
    /// `etcdserverpb.Lease.LeaseRevoke`
    pub const LEASE_REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
    /// `etcdserverpb.Lease.LeaseKeepAlive`
    pub const LEASE_KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
    /// `etcdserverpb.Lease.LeaseTimeToLive`
    pub const LEASE_TIME_TO_LIVE: &str = "/etcdserverpb.Lease/LeaseTimeToLive";
    /// `etcdserverpb.Lease.LeaseLeases`
    pub const LEASE_LEASES: &str = "/etcdserverpb.Lease/LeaseLeases";

    /// `etcdserverpb.Cluster.MemberAdd`
    pub const MEMBER_ADD: &str = "/etcdserverpb.Cluster/MemberAdd";
    /// `etcdserverpb.Cluster.MemberRemove`
    pub const MEMBER_REMOVE: &str = "/etcdserverpb.Cluster/MemberRemove";
    /// `etcdserverpb.Cluster.MemberUpdate`
    pub const MEMBER_UPDATE: &str = "/etcdserverpb.Cluster/MemberUpdate";
    /// `etcdserverpb.Cluster.MemberList`
    pub const MEMBER_LIST: &str = "/etcdserverpb.Cluster/MemberList";
    /// `etcdserverpb.Cluster.MemberPromote`
    pub const MEMBER_PROMOTE: &str = "/etcdserverpb.Cluster/MemberPromote";

    /// `etcdserverpb.Maintenance.Alarm`
    pub const ALARM: &str = "/etcdserverpb.Maintenance/Alarm";
    /// `etcdserverpb.Maintenance.Status`
    pub const STATUS: &str = "/etcdserverpb.Maintenance/Status";
    /// `etcdserverpb.Maintenance.Defragment`
    pub const DEFRAGMENT: &str = "/etcdserverpb.Maintenance/Defragment";
    /// `etcdserverpb.Maintenance.Hash`
    pub const HASH: &str = "/etcdserverpb.Maintenance/Hash";
    /// `etcdserverpb.Maintenance.HashKV`
    pub const HASH_KV: &str = "/etcdserverpb.Maintenance/HashKV";
    /// `etcdserverpb.Maintenance.Snapshot`
    pub const SNAPSHOT: &str = "/etcdserverpb.Maintenance/Snapshot";
    /// `etcdserverpb.Maintenance.MoveLeader`
    pub const MOVE_LEADER: &str = "/etcdserverpb.Maintenance/MoveLeader";
    /// `etcdserverpb.Maintenance.Downgrade`
    pub const DOWNGRADE: &str = "/etcdserverpb.Maintenance/Downgrade";

    /// `etcdserverpb.Auth.AuthEnable`
    pub const AUTH_ENABLE: &str = "/etcdserverpb.Auth/AuthEnable";
    /// `etcdserverpb.Auth.AuthDisable`
    pub const AUTH_DISABLE: &str = "/etcdserverpb.Auth/AuthDisable";
    /// `etcdserverpb.Auth.AuthStatus`
    pub const AUTH_STATUS: &str = "/etcdserverpb.Auth/AuthStatus";
    /// `etcdserverpb.Auth.Authenticate`
    pub const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";
    /// `etcdserverpb.Auth.UserAdd`
    pub const USER_ADD: &str = "/etcdserverpb.Auth/UserAdd";
    /// `etcdserverpb.Auth.UserGet`
    pub const USER_GET: &str = "/etcdserverpb.Auth/UserGet";
    /// `etcdserverpb.Auth.UserList`
    pub const USER_LIST: &str = "/etcdserverpb.Auth/UserList";
    /// `etcdserverpb.Auth.UserDelete`
    pub const USER_DELETE: &str = "/etcdserverpb.Auth/UserDelete";
    /// `etcdserverpb.Auth.UserChangePassword`
    pub const USER_CHANGE_PASSWORD: &str = "/etcdserverpb.Auth/UserChangePassword";
    /// `etcdserverpb.Auth.UserGrantRole`
    pub const USER_GRANT_ROLE: &str = "/etcdserverpb.Auth/UserGrantRole";
    /// `etcdserverpb.Auth.UserRevokeRole`
    pub const USER_REVOKE_ROLE: &str = "/etcdserverpb.Auth/UserRevokeRole";
    /// `etcdserverpb.Auth.RoleAdd`
    pub const ROLE_ADD: &str = "/etcdserverpb.Auth/RoleAdd";
    /// `etcdserverpb.Auth.RoleGet`
    pub const ROLE_GET: &str = "/etcdserverpb.Auth/RoleGet";
    /// `etcdserverpb.Auth.RoleList`
    pub const ROLE_LIST: &str = "/etcdserverpb.Auth/RoleList";
    /// `etcdserverpb.Auth.RoleDelete`
    pub const ROLE_DELETE: &str = "/etcdserverpb.Auth/RoleDelete";
    /// `etcdserverpb.Auth.RoleGrantPermission`
    pub const ROLE_GRANT_PERMISSION: &str = "/etcdserverpb.Auth/RoleGrantPermission";
    /// `etcdserverpb.Auth.RoleRevokePermission`
    pub const ROLE_REVOKE_PERMISSION: &str = "/etcdserverpb.Auth/RoleRevokePermission";

    /// `v3lockpb.Lock.Lock`
    pub const LOCK: &str = "/v3lockpb.Lock/Lock";
    /// `v3lockpb.Lock.Unlock`
    pub const UNLOCK: &str = "/v3lockpb.Lock/Unlock";

    /// `v3electionpb.Election.Campaign`
    pub const ELECTION_CAMPAIGN: &str = "/v3electionpb.Election/Campaign";
    /// `v3electionpb.Election.Proclaim`
    pub const ELECTION_PROCLAIM: &str = "/v3electionpb.Election/Proclaim";
    /// `v3electionpb.Election.Leader`
    pub const ELECTION_LEADER: &str = "/v3electionpb.Election/Leader";
    /// `v3electionpb.Election.Observe`
    pub const ELECTION_OBSERVE: &str = "/v3electionpb.Election/Observe";
    /// `v3electionpb.Election.Resign`
    pub const ELECTION_RESIGN: &str = "/v3electionpb.Election/Resign";

    /// `grpc.health.v1.Health.Check`
    pub const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
    /// `grpc.health.v1.Health.List`
    pub const HEALTH_LIST: &str = "/grpc.health.v1.Health/List";
    /// `grpc.health.v1.Health.Watch`
    pub const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";

    /// `grpc.reflection.v1.ServerReflection.ServerReflectionInfo`
    pub const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    /// `grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo`
    pub const REFLECTION_V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
}

const KV: &str = "etcdserverpb.KV";
const WATCH: &str = "etcdserverpb.Watch";
const LEASE: &str = "etcdserverpb.Lease";
const CLUSTER: &str = "etcdserverpb.Cluster";
const MAINTENANCE: &str = "etcdserverpb.Maintenance";
const AUTH: &str = "etcdserverpb.Auth";
const LOCK: &str = "v3lockpb.Lock";
const ELECTION: &str = "v3electionpb.Election";
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_V1ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// Every RPC, in the order of the protocol files: etcd's own six services, then
/// lock, election, health and reflection.
pub const METHODS: &[Method] = &[
    Method::unary(KV, "Range", path::RANGE),
    Method::server_stream(KV, "RangeStream", path::RANGE_STREAM),
    Method::unary(KV, "Put", path::PUT),
    Method::unary(KV, "DeleteRange", path::DELETE_RANGE),
    Method::unary(KV, "Txn", path::TXN),
    Method::unary(KV, "Compact", path::COMPACT),
    Method::bidi(WATCH, "Watch", path::WATCH),
    Method::unary(LEASE, "LeaseGrant", path::LEASE_GRANT),
    Method::unary(LEASE, "LeaseRevoke", path::LEASE_REVOKE),
    Method::bidi(LEASE, "LeaseKeepAlive", path::LEASE_KEEP_ALIVE),
    Method::unary(LEASE, "LeaseTimeToLive", path::LEASE_TIME_TO_LIVE),
    Method::unary(LEASE, "LeaseLeases", path::LEASE_LEASES),
    Method::unary(CLUSTER, "MemberAdd", path::MEMBER_ADD),
    Method::unary(CLUSTER, "MemberRemove", path::MEMBER_REMOVE),
    Method::unary(CLUSTER, "MemberUpdate", path::MEMBER_UPDATE),
    Method::unary(CLUSTER, "MemberList", path::MEMBER_LIST),
    Method::unary(CLUSTER, "MemberPromote", path::MEMBER_PROMOTE),
    Method::unary(MAINTENANCE, "Alarm", path::ALARM),
    Method::unary(MAINTENANCE, "Status", path::STATUS),
    Method::unary(MAINTENANCE, "Defragment", path::DEFRAGMENT),
    Method::unary(MAINTENANCE, "Hash", path::HASH),
    Method::unary(MAINTENANCE, "HashKV", path::HASH_KV),
    Method::server_stream(MAINTENANCE, "Snapshot", path::SNAPSHOT),
    Method::unary(MAINTENANCE, "MoveLeader", path::MOVE_LEADER),
    Method::unary(MAINTENANCE, "Downgrade", path::DOWNGRADE),
    Method::unary(AUTH, "AuthEnable", path::AUTH_ENABLE),
    Method::unary(AUTH, "AuthDisable", path::AUTH_DISABLE),
    Method::unary(AUTH, "AuthStatus", path::AUTH_STATUS),
    Method::unary(AUTH, "Authenticate", path::AUTHENTICATE),
    Method::unary(AUTH, "UserAdd", path::USER_ADD),
    Method::unary(AUTH, "UserGet", path::USER_GET),
    Method::unary(AUTH, "UserList", path::USER_LIST),
    Method::unary(AUTH, "UserDelete", path::USER_DELETE),
    Method::unary(AUTH, "UserChangePassword", path::USER_CHANGE_PASSWORD),
    Method::unary(AUTH, "UserGrantRole", path::USER_GRANT_ROLE),
    Method::unary(AUTH, "UserRevokeRole", path::USER_REVOKE_ROLE),
    Method::unary(AUTH, "RoleAdd", path::ROLE_ADD),
    Method::unary(AUTH, "RoleGet", path::ROLE_GET),
    Method::unary(AUTH, "RoleList", path::ROLE_LIST),
    Method::unary(AUTH, "RoleDelete", path::ROLE_DELETE),
    Method::unary(AUTH, "RoleGrantPermission", path::ROLE_GRANT_PERMISSION),
    Method::unary(AUTH, "RoleRevokePermission", path::ROLE_REVOKE_PERMISSION),
    Method::unary(LOCK, "Lock", path::LOCK),
    Method::unary(LOCK, "Unlock", path::UNLOCK),
    Method::unary(ELECTION, "Campaign", path::ELECTION_CAMPAIGN),
    Method::unary(ELECTION, "Proclaim", path::ELECTION_PROCLAIM),
    Method::unary(ELECTION, "Leader", path::ELECTION_LEADER),
    Method::server_stream(ELECTION, "Observe", path::ELECTION_OBSERVE),
    Method::unary(ELECTION, "Resign", path::ELECTION_RESIGN),
    Method::unary(HEALTH, "Check", path::HEALTH_CHECK),
    Method::unary(HEALTH, "List", path::HEALTH_LIST),
    Method::server_stream(HEALTH, "Watch", path::HEALTH_WATCH),
    Method::bidi(REFLECTION, "ServerReflectionInfo", path::REFLECTION),
    Method::bidi(REFLECTION_V1ALPHA, "ServerReflectionInfo", path::REFLECTION_V1ALPHA),
];
