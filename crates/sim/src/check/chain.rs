//! The hash chain: after every entry all members have the same, whether they applied it, replayed it from their disk or had
//! it from a snapshot. It covers keys with every change, leases, roster, alarms, revision and compaction.

use crate::record::Record;
use store::chain::Link;

/// A member has applied, replayed or installed the entry at `index`.
///
/// # Panics
/// When another member had another chain there.
pub fn applied(record: &mut Record, member: usize, index: u64, link: Link) {
    let first = *record.links.entry(index).or_insert(link);
    assert_eq!(first.keys, link.keys, "member {member} differs in its keys after index {index}");
    assert_eq!(first.rest, link.rest, "member {member} differs in leases, roster or alarms after index {index}");
}
