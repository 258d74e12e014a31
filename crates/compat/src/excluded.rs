//! What 3.6 and 3.7 changed since 3.5.1: not compared, because ours is 3.7.
//! Each has its line in COMPAT.md.

use crate::answer::Answer;
use crate::request::Request;

/// Names and reasons, as COMPAT.md has them.
pub const EXCLUDED: [(&str, &str); 10] = [
    ("keys-only-lease", "3.7 answers keys_only from the index, so the lease is 0; 3.5 gives it"),
    ("hash-revision", "3.6 added hash_revision to HashKV's answer"),
    ("hash-at-compacted", "3.6 answers HashKV at the compacted revision itself; 3.5 refuses it"),
    (
        "hash-while-compacting",
        "when no key lives, 3.5 hashes all rows that a compaction has not deleted yet; compared when it has",
    ),
    ("sort-option", "3.5.5 refuses unknown sort orders and targets; 3.5.1 takes them"),
    ("watch-negative-start", "3.6 refuses a negative start revision at once; 3.5 creates the watch"),
    ("sort-ties", "how Go's sort orders equal keys changed with Go 1.19; ours keeps their order, as 3.7 with few keys"),
    ("txn-range-refused", "3.5 diverges: only the member that answers refuses a write for its range's revision"),
    (
        "watch-id-minus-one",
        "3.5 loses events of a watch whose client chose -1, the id it answers refusals and progress with; ours delivers them",
    ),
    ("progress-unsynced", "3.5.8 answers a progress request only when all watchers of the stream are synced"),
];

/// Whether this difference is one of them, as far as it shows in the answers.
/// The others are taken out where requests are written and answers compared.
pub fn is(request: &Request, real: &Answer, ours: &Answer) -> bool {
    match (request, real, ours) {
        (Request::HashKv(asked), Answer::Refused { code: tonic::Code::OutOfRange, .. }, Answer::HashKv(hashed)) => {
            asked.revision == hashed.compact_revision
        }
        _ => false,
    }
}
