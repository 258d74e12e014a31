//! `/livez` and `/readyz`: named checks, all or one. They are etcd's, and one more: whether the disk is full.
//!
//! Who is not live is started again, and a member with a full disk would not come up; who is not ready is only not asked.

use super::page::{error, not_found, text};
use super::query_values;
use crate::handle::Handle;
use crate::metrics;
use crate::run::fail::FULL;
use bytes::Bytes;
use http::{Response, StatusCode};
use store::AlarmKind;

/// One thing that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
    DiskSpace,
}

const LIVE: [Check; 1] = [Check::SerializableRead];
/// The disk before what may wait for it: a prober that has gone by then has left the metric right.
const READY: [Check; 5] =
    [Check::DataCorruption, Check::SerializableRead, Check::DiskSpace, Check::LinearizableRead, Check::NonLearner];

impl Check {
    fn name(self) -> &'static str {
        match self {
            Check::DataCorruption => "data_corruption",
            Check::SerializableRead => "serializable_read",
            Check::LinearizableRead => "linearizable_read",
            Check::NonLearner => "non_learner",
            Check::DiskSpace => "disk_space",
        }
    }

    async fn run(self, handle: &Handle) -> Result<(), String> {
        match self {
            Check::DataCorruption if handle.view().alarms().any(AlarmKind::CORRUPT) => {
                Err("alarm activated: CORRUPT".to_owned())
            }
            Check::NonLearner if handle.status().is_learner => Err("not supported for learner".to_owned()),
            Check::DiskSpace if handle.is_full() => Err(FULL.to_owned()),
            Check::LinearizableRead => handle.linearizable().await.map_err(|error| error.message().into_owned()),
            // A View that can be had can be read.
            Check::DataCorruption | Check::NonLearner | Check::DiskSpace | Check::SerializableRead => Ok(()),
        }
    }
}

/// The checks of a path, of which `/livez/<check>` has one; `None` if there is no such path.
fn chosen(path: &str) -> Option<(&'static str, Vec<Check>)> {
    let (kind, rest, all) = match (path.strip_prefix("/livez"), path.strip_prefix("/readyz")) {
        (Some(rest), _) => ("livez", rest, &LIVE[..]),
        (_, Some(rest)) => ("readyz", rest, &READY[..]),
        (None, None) => return None,
    };
    if rest.is_empty() {
        return Some((kind, all.to_vec()));
    }
    let name = rest.strip_prefix('/')?;
    let check = all.iter().find(|check| check.name() == name)?;
    Some((kind, vec![*check]))
}

pub(super) async fn answer(handle: &Handle, path: &str, query: &str) -> Response<Bytes> {
    let Some((kind, mut checks)) = chosen(path) else { return not_found() };
    let excluded: Vec<String> = query_values(query, "exclude").collect();
    checks.retain(|check| !excluded.iter().any(|name| name == check.name()));
    let is_verbose = query_values(query, "verbose").next().is_some();
    let mut lines = String::new();
    let mut is_good = true;
    for check in checks {
        let outcome = check.run(handle).await;
        let name = check.name();
        metrics::health_check(kind, name, outcome.is_ok());
        match outcome {
            Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
            Err(why) => {
                is_good = false;
                lines.push_str(&format!("[-]{name} failed: {why}\n"));
            }
        }
    }
    match (is_good, is_verbose) {
        (true, true) => text(lines + "ok\n"),
        (true, false) => text("ok\n".to_owned()),
        (false, _) => error(StatusCode::SERVICE_UNAVAILABLE, &lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_choose_checks() {
        assert_eq!(chosen("/livez"), Some(("livez", vec![Check::SerializableRead])));
        assert_eq!(chosen("/readyz").unwrap().1.len(), 5);
        assert_eq!(chosen("/readyz/non_learner"), Some(("readyz", vec![Check::NonLearner])));
        assert_eq!(chosen("/livez/non_learner"), None);
        assert_eq!(chosen("/livez/disk_space"), None, "a restart would not make room");
        assert_eq!(chosen("/readyz/"), None);
        assert_eq!(chosen("/livezz"), None);
    }
}
