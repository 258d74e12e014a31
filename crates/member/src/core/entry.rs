//! An entry as raft has it and as Store takes it.

/// Whether this version can carry out what another member wants to have in the log.
///
/// # Errors
/// What is wrong with it, in words.
pub fn understood(entry: &raft::Entry) -> Result<(), String> {
    store::understood(&store_entry(entry.clone()))
}

pub(super) fn store_entry(entry: raft::Entry) -> store::Entry {
    store::Entry {
        index: entry.index,
        term: entry.term,
        kind: match entry.kind {
            raft::EntryKind::Normal => store::EntryKind::Normal,
            raft::EntryKind::ConfChange => store::EntryKind::ConfChange,
            raft::EntryKind::ConfChangeV2 => store::EntryKind::ConfChangeV2,
        },
        data: entry.data,
    }
}
