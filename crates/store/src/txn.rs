//! Deciding a transaction: which branches are taken, and whether everything in them can be done.
//!
//! All compares, also those of nested txns along the way, see the state before the txn; so do the doubts about its puts
//! and ranges. What comes out is a [`Plan`] that only has to be carried out, and cannot be refused any more (etcd
//! `server/etcdserver/txn/txn.go`).

use std::cmp::Ordering;

use disk::DiskFile;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest};

use crate::fault::Fault;
use crate::keys::{Head, KeyRange};
use crate::lease::{Leases, NO_LEASE};
use crate::moment::Moment;
use crate::range::range;
use crate::refusal::Refusal;
use crate::reply::{OpReply, RangeReply, TxnReply};
use crate::revlog::log::is_leased;
use crate::store::ReadError;

/// A txn whose compares have been evaluated: the operations of the branches taken.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// All compares held.
    pub(crate) succeeded: bool,
    pub(crate) operations: Vec<Operation<'a>>,
}

/// One operation of a branch that is taken.
#[derive(Debug)]
pub(crate) enum Operation<'a> {
    Range(&'a RangeRequest),
    Put(&'a PutRequest),
    DeleteRange(&'a DeleteRangeRequest),
    Txn(Plan<'a>),
    /// Asks for nothing. The checks before a proposal let none through.
    Nothing,
}

impl<'a> Plan<'a> {
    /// Evaluates the compares of a txn and of those nested in the branches taken.
    pub(crate) fn new<F: DiskFile>(moment: &Moment<'_, F>, request: &'a TxnRequest) -> Result<Plan<'a>, Fault> {
        let mut succeeded = true;
        for guard in &request.compare {
            succeeded = succeeded && holds(moment, guard)?;
        }
        let branch = if succeeded { &request.success } else { &request.failure };
        let mut operations = Vec::with_capacity(branch.len());
        for operation in branch {
            operations.push(match &operation.request {
                Some(Request::RequestRange(request)) => Operation::Range(request),
                Some(Request::RequestPut(request)) => Operation::Put(request),
                Some(Request::RequestDeleteRange(request)) => Operation::DeleteRange(request),
                Some(Request::RequestTxn(request)) => Operation::Txn(Plan::new(moment, request)?),
                None => Operation::Nothing,
            });
        }
        Ok(Plan { succeeded, operations })
    }

    /// Whether everything in the branches taken can be done: first all puts, then all ranges.
    pub(crate) fn check<F: DiskFile>(&self, moment: &Moment<'_, F>, leases: &Leases) -> Result<(), Refusal> {
        self.check_each(&|operation| match operation {
            Operation::Put(request) => check_put_in_txn(moment, leases, request),
            _ => Ok(()),
        })?;
        self.check_each(&|operation| match operation {
            Operation::Range(request) => check_range(moment, request),
            _ => Ok(()),
        })
    }

    /// Whether a put in it keeps the value or the lease that its key has.
    pub(crate) fn keeps(&self) -> bool {
        self.operations.iter().any(|operation| match operation {
            Operation::Put(request) => request.ignore_value || request.ignore_lease,
            Operation::Txn(nested) => nested.keeps(),
            _ => false,
        })
    }

    fn check_each(&self, check: &impl Fn(&Operation<'_>) -> Result<(), Refusal>) -> Result<(), Refusal> {
        for operation in &self.operations {
            match operation {
                Operation::Txn(nested) => nested.check_each(check)?,
                other => check(other)?,
            }
        }
        Ok(())
    }
}

/// Answers a txn that only reads.
pub(crate) fn read_only<F: DiskFile>(moment: &Moment<'_, F>, request: &TxnRequest) -> Result<TxnReply, ReadError> {
    let plan = Plan::new(moment, request)?;
    plan.check(moment, &Leases::default())?;
    let mut responses = Vec::with_capacity(plan.operations.len());
    for operation in &plan.operations {
        responses.push(OpReply::Range(match operation {
            Operation::Range(request) => range(moment, request)?,
            _ => RangeReply { revision: moment.revision, ..RangeReply::default() },
        }));
    }
    Ok(TxnReply { revision: moment.revision, succeeded: plan.succeeded, responses })
}

/// Whether a put that stands alone can be done. The lease is looked for before the key.
pub(crate) fn check_put<F: DiskFile>(
    moment: &Moment<'_, F>,
    leases: &Leases,
    request: &PutRequest,
) -> Result<(), Refusal> {
    check_lease(leases, request)?;
    check_kept(moment, request)
}

/// Whether a put inside a txn can be done. The key is looked for before the lease.
fn check_put_in_txn<F: DiskFile>(moment: &Moment<'_, F>, leases: &Leases, request: &PutRequest) -> Result<(), Refusal> {
    check_kept(moment, request)?;
    check_lease(leases, request)
}

fn check_lease(leases: &Leases, request: &PutRequest) -> Result<(), Refusal> {
    if request.lease != NO_LEASE && !leases.exists(request.lease) {
        return Err(Refusal::LeaseNotFound);
    }
    Ok(())
}

/// A put that keeps something of the key needs the key.
fn check_kept<F: DiskFile>(moment: &Moment<'_, F>, request: &PutRequest) -> Result<(), Refusal> {
    if !request.ignore_value && !request.ignore_lease {
        return Ok(());
    }
    match moment.keys.get(&request.key) {
        Some(head) if !head.is_tombstone() => Ok(()),
        _ => Err(Refusal::KeyNotFound),
    }
}

/// As etcd asks inside a txn: only 0 means "now", so that a negative revision is compacted once anything was.
fn check_range<F: DiskFile>(moment: &Moment<'_, F>, request: &RangeRequest) -> Result<(), Refusal> {
    match request.revision {
        0 => Ok(()),
        revision if revision > moment.revision => Err(Refusal::FutureRev),
        revision if revision < moment.compacted => Err(Refusal::Compacted),
        _ => Ok(()),
    }
}

/// Whether a compare holds for every key of its range, or for the missing key if there is none.
fn holds<F: DiskFile>(moment: &Moment<'_, F>, compare: &Compare) -> Result<bool, Fault> {
    let keys = KeyRange::from_wire(&compare.key, &compare.range_end);
    if let KeyRange::One(key) = keys {
        return match moment.keys.get(key) {
            Some(head) if !head.is_tombstone() => holds_for(moment, compare, &head),
            _ => Ok(holds_for_missing(compare)),
        };
    }
    let mut missing = true;
    let mut scan = moment.keys.scan(keys);
    while let Some((_, head)) = scan.next() {
        if head.is_tombstone() {
            continue;
        }
        missing = false;
        if !holds_for(moment, compare, &head)? {
            return Ok(false);
        }
    }
    Ok(!missing || holds_for_missing(compare))
}

/// A missing key has no value that could be compared; its numbers are 0.
fn holds_for_missing(compare: &Compare) -> bool {
    match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Value) => false,
        Ok(_) => answers(compare, 0.cmp(&wanted(compare))),
        Err(_) => answers(compare, Ordering::Equal),
    }
}

fn holds_for<F: DiskFile>(moment: &Moment<'_, F>, compare: &Compare, head: &Head) -> Result<bool, Fault> {
    let number = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => head.version,
        Ok(CompareTarget::Create) => head.created,
        Ok(CompareTarget::Mod) => head.modified.main,
        Ok(CompareTarget::Lease) if !is_leased(head.place) => NO_LEASE,
        Ok(CompareTarget::Lease) => moment.record(head.place, head.modified)?.change().kv_fields.lease,
        Ok(CompareTarget::Value) => {
            let record = moment.record(head.place, head.modified)?;
            let wanted: &[u8] = match &compare.target_union {
                Some(TargetUnion::Value(value)) => value,
                _ => &[],
            };
            return Ok(answers(compare, record.change().kv_fields.value.cmp(wanted)));
        }
        Err(_) => return Ok(answers(compare, Ordering::Equal)),
    };
    Ok(answers(compare, number.cmp(&wanted(compare))))
}

/// The number to compare with; 0 when none is given, or one for another target.
fn wanted(compare: &Compare) -> i64 {
    match (CompareTarget::try_from(compare.target), &compare.target_union) {
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(number)))
        | (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(number)))
        | (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(number)))
        | (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(number))) => *number,
        _ => 0,
    }
}

fn answers(compare: &Compare, ordering: Ordering) -> bool {
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Err(_) => true,
    }
}
