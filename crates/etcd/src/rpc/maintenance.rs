//! `etcdserverpb.Maintenance`: what operators ask of one member.

use super::answer::{blocking, encoded, end, propose, status_of, unread, wire_header};
use crate::grpc::Status;
use crate::handle::Handle;
use crate::run::fail::FULL;
use crate::version;
use bytes::Bytes;
use proto::etcdserverpb::{
    AlarmRequest, DowngradeInfo, HashKvRequest, HashKvResponse, HashResponse, InternalRaftRequest, MoveLeaderRequest,
    MoveLeaderResponse, StatusResponse,
};
use store::Alarm;

pub(super) async fn alarm(handle: &Handle, request: AlarmRequest) -> Result<Bytes, Status> {
    propose(handle, InternalRaftRequest { alarm: Some(request), ..Default::default() }).await
}

pub(super) fn status(handle: &Handle) -> Bytes {
    let view = handle.view();
    let numbers = handle.status();
    let roster = view.roster();
    let no_leader = (numbers.leader == 0).then(|| "etcdserver: no leader".to_owned());
    let full = handle.is_full().then(|| FULL.to_owned());
    let downgrade = roster.downgrade().cloned().unwrap_or_default();
    encoded(&StatusResponse {
        header: Some(wire_header(&handle.header(view.revision()))),
        version: version::SERVER.to_owned(),
        db_size: bytes_on_wire(view.size_bytes()),
        leader: numbers.leader,
        raft_index: numbers.commit,
        raft_term: numbers.term,
        raft_applied_index: numbers.applied,
        errors: no_leader.into_iter().chain(full).chain(view.alarms().iter().map(alarm_text)).collect(),
        db_size_in_use: bytes_on_wire(view.size_in_use_bytes()),
        is_learner: numbers.is_learner,
        // Our data has no version of its own; it follows the cluster's.
        storage_version: roster.cluster_version().unwrap_or_default().to_owned(),
        db_size_quota: handle.settings().quota_bytes.map_or(-1, bytes_on_wire),
        downgrade_info: Some(DowngradeInfo { enabled: downgrade.enabled, target_version: downgrade.target_version }),
    })
}

pub(super) async fn hash(handle: &Handle) -> Result<Bytes, Status> {
    let view = handle.view();
    let header = handle.header(view.revision());
    let hash = blocking(move || view.hash().unwrap_or_else(|fault| end(&fault))).await;
    Ok(encoded(&HashResponse { header: Some(wire_header(&header)), hash }))
}

pub(super) async fn hash_kv(handle: &Handle, request: HashKvRequest) -> Result<Bytes, Status> {
    let view = handle.view();
    let header = handle.header(view.revision());
    let revision = request.revision;
    let hashed = blocking(move || view.hash_kv(revision)).await.map_err(unread)?;
    Ok(encoded(&HashKvResponse {
        header: Some(wire_header(&header)),
        hash: hashed.hash,
        compact_revision: hashed.compact_revision,
        hash_revision: hashed.hash_revision,
    }))
}

/// The answer has no header, as with etcd.
pub(super) async fn move_leader(handle: &Handle, request: MoveLeaderRequest) -> Result<Bytes, Status> {
    handle.move_leader(request.target_id).await.map_err(|error| status_of(&error))?;
    Ok(encoded(&MoveLeaderResponse::default()))
}

/// As etcd prints an alarm among a status's errors.
fn alarm_text(alarm: Alarm) -> String {
    format!("memberID:{} alarm:{}", alarm.member, alarm_name(alarm.kind.0))
}

/// The name of an alarm in `AlarmType`.
pub(crate) fn alarm_name(kind: i32) -> String {
    match kind {
        0 => "NONE".to_owned(),
        1 => "NOSPACE".to_owned(),
        2 => "CORRUPT".to_owned(),
        other => other.to_string(),
    }
}

fn bytes_on_wire(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
