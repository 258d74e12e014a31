//! What alarms and quota forbid, decided before anything is changed.
//!
//! Alarms are replicated, so every member refuses the same entries. The quota is this member's own: what it says changes
//! the answer of an entry and never its effect, because the other members have applied it too (etcd `apply.go`, `quota.go`).

use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest};

use crate::alarm::{AlarmKind, Alarms};
use crate::command::Command;
use crate::refusal::Refusal;

/// What a put costs beyond its key and value, in bytes.
const PUT_OVERHEAD_BYTES: u64 = 256;
/// What a lease costs, in bytes.
const LEASE_BYTES: u64 = 64;

/// Whether the active alarms let a command pass.
pub(crate) fn admit(alarms: &Alarms, command: &Command) -> Result<(), Refusal> {
    if alarms.is_empty() {
        return Ok(());
    }
    if alarms.any(AlarmKind::CORRUPT) && touches_keys(command) {
        return Err(Refusal::Corrupt);
    }
    if alarms.any(AlarmKind::NO_SPACE) && grows(command) {
        return Err(Refusal::NoSpace);
    }
    Ok(())
}

/// Whether an alarm for want of space refuses a command. Puts of nested txns pass: etcd does not see them here, and what
/// is refused must be the same on all members of a mixed cluster.
fn grows(command: &Command) -> bool {
    let puts = |operation: &RequestOp| matches!(operation.request, Some(Request::RequestPut(_)));
    match command {
        Command::Put(_) | Command::LeaseGrant(_) => true,
        Command::Txn(request) => request.success.iter().chain(&request.failure).any(puts),
        _ => false,
    }
}

fn touches_keys(command: &Command) -> bool {
    matches!(
        command,
        Command::Range(_)
            | Command::Put(_)
            | Command::DeleteRange(_)
            | Command::Txn(_)
            | Command::Compaction(_)
            | Command::LeaseGrant(_)
            | Command::LeaseRevoke(_)
    )
}

/// How much a command may add to the store, in bytes, as the quota counts: as etcd, and nested txns too, which would
/// otherwise pass it by.
pub(crate) fn cost_bytes(command: &Command) -> u64 {
    match command {
        Command::Put(request) => put_bytes(request),
        Command::Txn(request) => txn_bytes(request),
        Command::LeaseGrant(_) => LEASE_BYTES,
        _ => 0,
    }
}

fn put_bytes(request: &PutRequest) -> u64 {
    PUT_OVERHEAD_BYTES + request.key.len() as u64 + request.value.len() as u64
}

/// The dearer of the two branches, with all that is nested in them.
fn txn_bytes(request: &TxnRequest) -> u64 {
    let branch = |operations: &[RequestOp]| -> u64 {
        operations
            .iter()
            .map(|operation| match &operation.request {
                Some(Request::RequestPut(request)) => put_bytes(request),
                Some(Request::RequestTxn(request)) => txn_bytes(request),
                _ => 0,
            })
            .sum()
    };
    branch(&request.success).max(branch(&request.failure))
}
