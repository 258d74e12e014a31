//! How soon a member that was killed answers again.
//!
//! One member with many keys, each put once. It is killed, as a power cut
//! would, and started on its data; what counts is the time from the start of
//! the process to the first linearizable range that is answered. Files are
//! still in the kernel's cache, on both sides.

use std::path::Path;
use std::rc::Rc;

use anyhow::{Result, anyhow, ensure};
use proto::etcdserverpb::{RangeRequest, RangeResponse};

use crate::cluster::{self, Cluster};
use crate::compare::Plan;
use crate::figure::Measurement;
use crate::grpc;
use crate::keyspace::Keyspace;
use crate::load::{self, Load};
use crate::request::Kind;

/// Fills one member of this program, kills it and starts it again.
///
/// # Errors
/// When it cannot be filled, does not come back, or has lost anything.
pub fn measure(program: &Path, directory: &Path, plan: &Plan) -> Result<Measurement> {
    let keyspace = Rc::new(Keyspace::new(plan.fill as usize, plan.value_bytes));
    let mut cluster = Cluster::start(program, 1, directory, &plan.extra)?;
    let filled = load::run(&[cluster.endpoint(0).to_owned()], &keyspace, &Load::fill(Kind::Put, plan.fill))?;
    ensure!(filled.failures.is_empty(), "filling failed: {:?}", filled.failures);
    let revision = cluster::revision(cluster.endpoint(0))?;
    let resident_before = cluster.resident_bytes();

    // The key that was put first; the load counts down.
    let number = keyspace.len() - 1;
    let ask = RangeRequest { key: keyspace.key(number), ..Default::default() };
    let (took, first) = cluster.restart(0, |endpoint| load::call(endpoint, Kind::Range.path(), &ask))?;
    check_first(&keyspace, number, revision, &first).map_err(|words| anyhow!(words))?;
    let everything = RangeRequest {
        key: b"\0".as_slice().into(),
        range_end: b"\0".as_slice().into(),
        count_only: true,
        ..Default::default()
    };
    let all: RangeResponse = load::call(cluster.endpoint(0), Kind::Range.path(), &everything)?;
    ensure!(all.count == keyspace.len() as i64, "of {} keys {} are there after the restart", keyspace.len(), all.count);
    let resident_after = cluster.resident_bytes();
    let first_read_us = took.as_secs_f64() * 1e6;
    Ok(Measurement { first_read_us, resident_before, resident_after, answered: filled.answered, ..Default::default() })
}

/// Doubts the first answer: nothing that was acknowledged may be gone.
fn check_first(keyspace: &Keyspace, number: usize, revision: i64, first: &RangeResponse) -> Result<(), String> {
    let mut body = Vec::new();
    grpc::frame(first, &mut body);
    let found = Kind::Range.check(keyspace, number, revision, &body)?;
    if found != revision {
        return Err(format!("revision {found} after the restart, {revision} before"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::etcdserverpb::ResponseHeader;
    use proto::mvccpb::KeyValue;

    use super::*;

    #[test]
    fn the_first_answer_has_everything_that_was_acknowledged() {
        let keyspace = Keyspace::new(3, 256);
        let answer = |number, revision| {
            let (key, value) = (keyspace.key(number), keyspace.value(number));
            let kv = KeyValue { key, value, mod_revision: 2, version: 1, ..Default::default() };
            let header = Some(ResponseHeader { revision, ..Default::default() });
            RangeResponse { header, kvs: vec![kv], count: 1, ..Default::default() }
        };
        assert_eq!(check_first(&keyspace, 2, 9, &answer(2, 9)), Ok(()));
        assert!(check_first(&keyspace, 2, 9, &answer(1, 9)).is_err());
        assert!(check_first(&keyspace, 2, 9, &answer(2, 8)).unwrap_err().contains("stale"));
        assert!(check_first(&keyspace, 2, 9, &answer(2, 10)).unwrap_err().contains("9 before"));
        let empty = RangeResponse { kvs: vec![], count: 0, ..answer(2, 9) };
        assert!(check_first(&keyspace, 2, 9, &empty).is_err());
    }
}
