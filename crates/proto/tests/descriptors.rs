//! The descriptor set is what we told `prost` to build: these tests hold it
//! against numbers and names written down a second time, from etcd.

use std::collections::BTreeSet;

use protox::prost_reflect::{DescriptorPool, Kind};

use proto::methods::{METHODS, path};

fn pool() -> DescriptorPool {
    DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET).expect("the descriptor set decodes")
}

/// Asserts the whole of a message: no field missing, none too many.
fn assert_fields(message: &str, expected: &[(u32, &str)]) {
    let pool = pool();
    let descriptor = pool.get_message_by_name(message).unwrap_or_else(|| panic!("no {message}"));
    let found: BTreeSet<(u32, String)> =
        descriptor.fields().map(|field| (field.number(), field.name().to_owned())).collect();
    let expected: BTreeSet<(u32, String)> = expected.iter().map(|&(number, name)| (number, name.to_owned())).collect();
    assert_eq!(found, expected, "fields of {message}");
}

/// Asserts the whole of an enum.
fn assert_values(name: &str, expected: &[&str]) {
    let pool = pool();
    let descriptor = pool.get_enum_by_name(name).unwrap_or_else(|| panic!("no {name}"));
    let found: Vec<(i32, String)> =
        descriptor.values().map(|value| (value.number(), value.name().to_owned())).collect();
    let expected: Vec<(i32, String)> =
        expected.iter().enumerate().map(|(at, name)| (at as i32, (*name).to_owned())).collect();
    assert_eq!(found, expected, "values of {name}");
}

#[test]
fn every_method_is_described_and_every_description_is_a_method() {
    let described: BTreeSet<_> = pool()
        .services()
        .flat_map(|service| {
            let name = service.full_name().to_owned();
            service
                .methods()
                .map(|method| {
                    (name.clone(), method.name().to_owned(), method.is_client_streaming(), method.is_server_streaming())
                })
                .collect::<Vec<_>>()
        })
        .collect();
    let listed: BTreeSet<_> = METHODS
        .iter()
        .map(|method| {
            (method.service.to_owned(), method.name.to_owned(), method.client_streaming, method.server_streaming)
        })
        .collect();
    assert_eq!(described, listed);
    assert_eq!(METHODS.len(), listed.len(), "no method is listed twice");
}

#[test]
fn services_have_as_many_methods_as_etcds() {
    let count = |service: &str| METHODS.iter().filter(|m| m.service == service).count();
    assert_eq!(count("etcdserverpb.KV"), 6);
    assert_eq!(count("etcdserverpb.Watch"), 1);
    assert_eq!(count("etcdserverpb.Lease"), 5);
    assert_eq!(count("etcdserverpb.Cluster"), 5);
    assert_eq!(count("etcdserverpb.Maintenance"), 8);
    assert_eq!(count("etcdserverpb.Auth"), 17);
    assert_eq!(count("v3lockpb.Lock"), 2);
    assert_eq!(count("v3electionpb.Election"), 5);
    assert_eq!(count("grpc.health.v1.Health"), 3);
    let of_grpc = METHODS.iter().filter(|method| method.service.starts_with("grpc.reflection.")).count();
    assert_eq!(METHODS.len() - of_grpc, 52);
}

#[test]
fn paths_are_service_and_name() {
    for method in METHODS {
        assert_eq!(method.path, format!("/{}/{}", method.service, method.name));
    }
    assert_eq!(path::RANGE, "/etcdserverpb.KV/Range");
    assert_eq!(path::WATCH, "/etcdserverpb.Watch/Watch");
    assert_eq!(path::ELECTION_OBSERVE, "/v3electionpb.Election/Observe");
}

#[test]
fn streams_are_where_etcd_has_them() {
    let streaming: Vec<_> = METHODS
        .iter()
        .filter(|method| method.server_streaming)
        .map(|method| (method.path, method.client_streaming))
        .collect();
    assert_eq!(
        streaming,
        [
            (path::RANGE_STREAM, false),
            (path::WATCH, true),
            (path::LEASE_KEEP_ALIVE, true),
            (path::SNAPSHOT, false),
            (path::ELECTION_OBSERVE, false),
            (path::HEALTH_WATCH, false),
            (path::REFLECTION, true),
            (path::REFLECTION_V1ALPHA, true),
        ]
    );
    assert!(METHODS.iter().all(|method| method.server_streaming || !method.client_streaming));
}

#[test]
fn requests_and_responses_that_do_not_carry_their_methods_name() {
    let pool = pool();
    let types = |service: &str, name: &str| {
        let service = pool.get_service_by_name(service).expect("service exists");
        let method = service.methods().find(|m| m.name() == name).expect("method exists");
        (method.input().full_name().to_owned(), method.output().full_name().to_owned())
    };
    let pair = |input: &str, output: &str| (input.to_owned(), output.to_owned());
    assert_eq!(
        types("etcdserverpb.KV", "Compact"),
        pair("etcdserverpb.CompactionRequest", "etcdserverpb.CompactionResponse")
    );
    assert_eq!(
        types("etcdserverpb.KV", "RangeStream"),
        pair("etcdserverpb.RangeRequest", "etcdserverpb.RangeStreamResponse")
    );
    assert_eq!(
        types("etcdserverpb.Auth", "Authenticate"),
        pair("etcdserverpb.AuthenticateRequest", "etcdserverpb.AuthenticateResponse")
    );
    assert_eq!(
        types("etcdserverpb.Auth", "UserAdd"),
        pair("etcdserverpb.AuthUserAddRequest", "etcdserverpb.AuthUserAddResponse")
    );
    assert_eq!(
        types("v3electionpb.Election", "Observe"),
        pair("v3electionpb.LeaderRequest", "v3electionpb.LeaderResponse")
    );
}

#[test]
fn numbers_that_do_not_follow_their_neighbours() {
    assert_fields(
        "etcdserverpb.Compare",
        &[
            (1, "result"),
            (2, "target"),
            (3, "key"),
            (4, "version"),
            (5, "create_revision"),
            (6, "mod_revision"),
            (7, "value"),
            (8, "lease"),
            (64, "range_end"),
        ],
    );
    assert_fields(
        "etcdserverpb.WatchResponse",
        &[
            (1, "header"),
            (2, "watch_id"),
            (3, "created"),
            (4, "canceled"),
            (5, "compact_revision"),
            (6, "cancel_reason"),
            (7, "fragment"),
            (11, "events"),
        ],
    );
    // TTL first when asking, ID first when answering.
    assert_fields("etcdserverpb.LeaseGrantRequest", &[(1, "TTL"), (2, "ID")]);
    assert_fields("etcdserverpb.LeaseGrantResponse", &[(1, "header"), (2, "ID"), (3, "TTL"), (4, "error")]);
}

#[test]
fn names_keep_etcds_letters() {
    assert_fields(
        "etcdserverpb.LeaseTimeToLiveResponse",
        &[(1, "header"), (2, "ID"), (3, "TTL"), (4, "grantedTTL"), (5, "keys")],
    );
    assert_fields("etcdserverpb.LeaseCheckpoint", &[(1, "ID"), (2, "remaining_TTL")]);
    assert_fields(
        "etcdserverpb.Member",
        &[(1, "ID"), (2, "name"), (3, "peerURLs"), (4, "clientURLs"), (5, "isLearner")],
    );
    assert_fields("etcdserverpb.AlarmMember", &[(1, "memberID"), (2, "alarm")]);
    assert_fields("etcdserverpb.MoveLeaderRequest", &[(1, "targetID")]);
    assert_fields("etcdserverpb.AuthUserGrantRoleRequest", &[(1, "user"), (2, "role")]);
    assert_fields("etcdserverpb.AuthUserRevokeRoleRequest", &[(1, "name"), (2, "role")]);
    assert_fields(
        "etcdserverpb.StatusResponse",
        &[
            (1, "header"),
            (2, "version"),
            (3, "dbSize"),
            (4, "leader"),
            (5, "raftIndex"),
            (6, "raftTerm"),
            (7, "raftAppliedIndex"),
            (8, "errors"),
            (9, "dbSizeInUse"),
            (10, "isLearner"),
            (11, "storageVersion"),
            (12, "dbSizeQuota"),
            (13, "downgradeInfo"),
        ],
    );
    assert_fields("authpb.Permission", &[(1, "permType"), (2, "key"), (3, "range_end")]);
    assert_fields("authpb.Role", &[(1, "name"), (2, "keyPermission")]);
    assert_fields("leasepb.Lease", &[(1, "ID"), (2, "TTL"), (3, "RemainingTTL")]);
    assert_fields("leasepb.LeaseInternalRequest", &[(1, "LeaseTimeToLiveRequest")]);
    assert_fields("leasepb.LeaseInternalResponse", &[(1, "LeaseTimeToLiveResponse")]);
    assert_fields("etcdserverpb.Metadata", &[(1, "NodeID"), (2, "ClusterID")]);
    assert_fields("snappb.snapshot", &[(1, "crc"), (2, "data")]);
    assert_fields("walpb.Record", &[(1, "type"), (2, "crc"), (3, "data")]);
    assert_fields("walpb.Snapshot", &[(1, "index"), (2, "term"), (3, "conf_state")]);
}

#[test]
fn the_logs_request_has_etcds_numbers() {
    assert_fields(
        "etcdserverpb.InternalRaftRequest",
        &[
            (1, "ID"),
            (3, "range"),
            (4, "put"),
            (5, "delete_range"),
            (6, "txn"),
            (7, "compaction"),
            (8, "lease_grant"),
            (9, "lease_revoke"),
            (10, "alarm"),
            (11, "lease_checkpoint"),
            (100, "header"),
            (1000, "auth_enable"),
            (1011, "auth_disable"),
            (1012, "authenticate"),
            (1013, "auth_status"),
            (1100, "auth_user_add"),
            (1101, "auth_user_delete"),
            (1102, "auth_user_get"),
            (1103, "auth_user_change_password"),
            (1104, "auth_user_grant_role"),
            (1105, "auth_user_revoke_role"),
            (1106, "auth_user_list"),
            (1107, "auth_role_list"),
            (1200, "auth_role_add"),
            (1201, "auth_role_delete"),
            (1202, "auth_role_get"),
            (1203, "auth_role_grant_permission"),
            (1204, "auth_role_revoke_permission"),
            (1300, "cluster_version_set"),
            (1301, "cluster_member_attr_set"),
            (1302, "downgrade_info_set"),
            (9900, "downgrade_version_test"),
        ],
    );
    assert_fields("etcdserverpb.RequestHeader", &[(1, "ID"), (2, "username"), (3, "auth_revision")]);
    assert_fields("etcdserverpb.InternalAuthenticateRequest", &[(1, "name"), (2, "password"), (3, "simple_token")]);
    assert_fields("membershippb.ClusterMemberAttrSetRequest", &[(1, "member_ID"), (2, "member_attributes")]);
    assert_fields("membershippb.Attributes", &[(1, "name"), (2, "client_urls")]);
    assert_fields("membershippb.ClusterVersionSetRequest", &[(1, "ver")]);
    assert_fields("membershippb.DowngradeInfoSetRequest", &[(1, "enabled"), (2, "ver")]);
}

#[test]
fn every_request_of_the_log_is_the_message_its_name_says() {
    let pool = pool();
    let request = pool.get_message_by_name("etcdserverpb.InternalRaftRequest").expect("the request exists");
    for field in request.fields().filter(|field| field.name() != "ID") {
        let Kind::Message(message) = field.kind() else {
            panic!("{} is not a message", field.name());
        };
        let words: String = message.name().chars().filter(|c| *c != '_').collect::<String>().to_lowercase();
        let name = field.name().replace('_', "");
        assert!(words.contains(&name), "{} is a {}", field.name(), message.name());
    }
}

#[test]
fn raft_has_etcds_numbers() {
    assert_fields("raftpb.Entry", &[(1, "Type"), (2, "Term"), (3, "Index"), (4, "Data")]);
    assert_fields("raftpb.SnapshotMetadata", &[(1, "conf_state"), (2, "index"), (3, "term")]);
    assert_fields("raftpb.Snapshot", &[(1, "data"), (2, "metadata")]);
    assert_fields(
        "raftpb.Message",
        &[
            (1, "type"),
            (2, "to"),
            (3, "from"),
            (4, "term"),
            (5, "logTerm"),
            (6, "index"),
            (7, "entries"),
            (8, "commit"),
            (9, "snapshot"),
            (10, "reject"),
            (11, "rejectHint"),
            (12, "context"),
            (13, "vote"),
            (14, "responses"),
        ],
    );
    assert_fields("raftpb.HardState", &[(1, "term"), (2, "vote"), (3, "commit")]);
    assert_fields(
        "raftpb.ConfState",
        &[(1, "voters"), (2, "learners"), (3, "voters_outgoing"), (4, "learners_next"), (5, "auto_leave")],
    );
    assert_fields("raftpb.ConfChange", &[(1, "id"), (2, "type"), (3, "node_id"), (4, "context")]);
    assert_fields("raftpb.ConfChangeSingle", &[(1, "type"), (2, "node_id")]);
    assert_fields("raftpb.ConfChangeV2", &[(1, "transition"), (2, "changes"), (3, "context")]);
    assert_values("raftpb.EntryType", &["EntryNormal", "EntryConfChange", "EntryConfChangeV2"]);
    assert_values(
        "raftpb.ConfChangeType",
        &["ConfChangeAddNode", "ConfChangeRemoveNode", "ConfChangeUpdateNode", "ConfChangeAddLearnerNode"],
    );
    assert_values(
        "raftpb.MessageType",
        &[
            "MsgHup",
            "MsgBeat",
            "MsgProp",
            "MsgApp",
            "MsgAppResp",
            "MsgVote",
            "MsgVoteResp",
            "MsgSnap",
            "MsgHeartbeat",
            "MsgHeartbeatResp",
            "MsgUnreachable",
            "MsgSnapStatus",
            "MsgCheckQuorum",
            "MsgTransferLeader",
            "MsgTimeoutNow",
            "MsgReadIndex",
            "MsgReadIndexResp",
            "MsgPreVote",
            "MsgPreVoteResp",
            "MsgStorageAppend",
            "MsgStorageAppendResp",
            "MsgStorageApply",
            "MsgStorageApplyResp",
            "MsgForgetLeader",
        ],
    );
}

#[test]
fn client_enums_have_etcds_numbers() {
    assert_values("etcdserverpb.RangeRequest.SortOrder", &["NONE", "ASCEND", "DESCEND"]);
    assert_values("etcdserverpb.RangeRequest.SortTarget", &["KEY", "VERSION", "CREATE", "MOD", "VALUE"]);
    assert_values("etcdserverpb.Compare.CompareResult", &["EQUAL", "GREATER", "LESS", "NOT_EQUAL"]);
    assert_values("etcdserverpb.Compare.CompareTarget", &["VERSION", "CREATE", "MOD", "VALUE", "LEASE"]);
    assert_values("etcdserverpb.WatchCreateRequest.FilterType", &["NOPUT", "NODELETE"]);
    assert_values("etcdserverpb.AlarmType", &["NONE", "NOSPACE", "CORRUPT"]);
    assert_values("etcdserverpb.AlarmRequest.AlarmAction", &["GET", "ACTIVATE", "DEACTIVATE"]);
    assert_values("etcdserverpb.DowngradeRequest.DowngradeAction", &["VALIDATE", "ENABLE", "CANCEL"]);
    assert_values("mvccpb.Event.EventType", &["PUT", "DELETE"]);
    assert_values("authpb.Permission.Type", &["READ", "WRITE", "READWRITE"]);
}

#[test]
fn version_options_are_described() {
    let found: BTreeSet<(u32, String)> =
        pool().all_extensions().map(|extension| (extension.number(), extension.full_name().to_owned())).collect();
    use proto::versionpb::*;
    let expected = [
        (ETCD_VERSION_MSG, "versionpb.etcd_version_msg"),
        (ETCD_VERSION_FIELD, "versionpb.etcd_version_field"),
        (ETCD_VERSION_ENUM, "versionpb.etcd_version_enum"),
        (ETCD_VERSION_ENUM_VALUE, "versionpb.etcd_version_enum_value"),
    ];
    assert_eq!(found, expected.map(|(number, name)| (number, name.to_owned())).into());
}
