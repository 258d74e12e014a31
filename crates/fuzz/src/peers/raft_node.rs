//! What is done with what the peer port has let in: raft hears it, and a snapshot is installed.

use super::desk::{Heard, ME, OTHERS};
use bytes::Bytes;
use raft::{ConfChange, ConfState, Config, Entry, EntryKind, HardState, Output, Raft, Restored, SnapshotMeta};

/// A follower of three with a short log hears all messages; snapshots go to an empty store.
pub fn hears(heard: &Heard) {
    for (beside, image) in &heard.snapshots {
        crate::snapshot::image(&[&(beside.len() as u32).to_le_bytes(), &beside[..], image].concat());
    }
    if heard.messages.is_empty() {
        return;
    }
    let conf_state = ConfState { voters: vec![ME, OTHERS[0], OTHERS[1]], ..ConfState::default() };
    let snapshot = SnapshotMeta { index: 0, term: 0, conf_state };
    let entry = |(term, index)| Entry { kind: EntryKind::Normal, term, index, data: Bytes::from_static(b"x") };
    let entries = [1, 1, 2, 2].into_iter().zip(1..).map(entry).collect();
    let hard_state = HardState { term: 2, vote: 0, commit: 2 };
    let config = Config { pre_vote: true, check_quorum: true, ..Config::new(ME, 1) };
    let mut raft = Raft::new(config, Restored { hard_state, snapshot, entries, applied: 0 });
    settle(&mut raft);
    for message in &heard.messages {
        let commit = raft.status().commit;
        // What contradicts something is refused.
        let _ = raft.step(message.clone());
        settle(&mut raft);
        assert!(raft.status().commit >= commit, "what is committed stays so: {message:?}");
    }
}

fn settle(raft: &mut Raft) {
    while raft.has_work() {
        let mut out = Output::default();
        raft.take(&mut out);
        if let Some(append) = out.appends.last() {
            raft.appended(append.mark);
        }
        if let Some(snapshot) = out.restore {
            raft.applied(snapshot.meta.index);
        }
        for entry in out.committed {
            if entry.kind.is_change() {
                raft.apply_change(ConfChange::refused());
            }
            raft.applied(entry.index);
        }
    }
}
