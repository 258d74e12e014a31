//! What 3.6 and 3.7 changed since 3.5.1: not compared, because ours is 3.7.
//! Each has its line in COMPAT.md.

use crate::answer::Answer;
use crate::grammar;
use crate::request::Request;

const INVALID_SORT: &str = "etcdserver: invalid sort option";

/// Names and reasons, as COMPAT.md has them.
pub const EXCLUDED: [(&str, &str); 15] = [
    ("keys-only-lease", "3.7 answers keys_only from the index, so the lease is 0; 3.5 gives it"),
    ("hash-revision", "3.6 added hash_revision to HashKV's answer"),
    ("hash-at-compacted", "3.6 answers HashKV at the compacted revision itself; 3.5 refuses it"),
    (
        "hash-while-compacting",
        "when no key lives, 3.5 hashes all rows that a compaction has not deleted yet; compared when it has",
    ),
    ("sort-option", "3.5.5 refuses unknown sort orders and targets; 3.5.1 takes such orders, and dies of such targets"),
    ("watch-negative-start", "3.6 refuses a negative start revision at once; 3.5 creates the watch"),
    ("sort-ties", "how Go's sort orders equal keys changed with Go 1.19; ours keeps their order, as 3.7 with few keys"),
    ("txn-range-refused", "3.5 diverges: only the member that answers refuses a write for its range's revision"),
    (
        "watch-id-minus-one",
        "3.5 loses events of a watch whose client chose -1, the id it answers refusals and progress with; ours delivers them",
    ),
    (
        "txn-keeps-deleted",
        "etcd dies of a transaction that deletes a key by a range without end and then keeps its value or lease",
    ),
    ("tombstone-at-compacted", "3.5.16 keeps a deletion at the compacted revision, for watches that begin there"),
    (
        "lease-ids-at-restart",
        "3.5.1 forgets leases with a negative id, or the greatest, when it starts; 3.5.5 reads all",
    ),
    ("token-while-auth-off", "3.5.1 refuses a token that it does not know also while nobody needs one"),
    ("alarm-kind", "etcd dies of an alarm that is raised and of a kind it does not know"),
    ("progress-unsynced", "3.5.8 answers a progress request only when all watchers of the stream are synced"),
];

/// Whether this difference is one of them, as far as it shows in the answers.
/// The others are taken out where requests are written and answers compared.
pub fn is(request: &Request, real: &Answer, ours: &Answer) -> bool {
    match (request, real, ours) {
        (Request::HashKv(asked), Answer::Refused { code: tonic::Code::OutOfRange, .. }, Answer::HashKv(hashed)) => {
            asked.revision == hashed.compact_revision
        }
        (Request::Range(asked), _, Answer::Refused { message, .. }) => {
            message == INVALID_SORT && !grammar::is_known_order(asked.sort_order)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each has its line in COMPAT.md, with the story that shows both sides.
    #[test]
    fn every_name_has_its_line_and_its_story() {
        let table = include_str!("../../../COMPAT.md");
        let stories = include_str!("../../etcd/tests/cluster/since_3_5.rs");
        for (name, _) in EXCLUDED {
            let story = name.replace('-', "_");
            assert!(stories.contains(&format!("async fn {story}()")), "no story {story}");
            let row = table.lines().find(|line| line.starts_with(&format!("| {name} |")));
            assert!(row.is_some_and(|row| row.contains(&format!("`{story}`"))), "no row {name}: {row:?}");
        }
    }
}
