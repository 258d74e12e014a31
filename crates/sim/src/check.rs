//! The promises, one file each, over the record of a run.

pub mod agree;
pub mod answers;
pub mod chain;
pub mod ends;
pub mod lease;
pub mod raft;
pub mod reads;
pub mod room;
pub mod watch;

use crate::model::{Model, Said};
use crate::record::Record;
use disk::SimDisk;
use prost::Message;
use proto::etcdserverpb::InternalRaftRequest;
use std::collections::BTreeMap;
use store::{Entry, EntryKind, Refusal, View};

/// Checks everything.
///
/// # Panics
/// When a promise is broken; the words say which.
pub fn all(record: &Record, views: Vec<View<SimDisk>>) {
    agree::check(&views);
    for (expected, &index) in (1..).zip(record.committed.keys()) {
        assert_eq!(index, expected, "the committed log has no holes");
    }
    let model = said(record);
    agree::with_model(&views, &model);
}

/// Checks that nothing false was ever said, which is all that can be checked of a cluster that has lost too much to come to
/// rest. What the committed log comes to.
///
/// # Panics
/// When a promise is broken.
pub fn said(record: &Record) -> Model {
    let mut model = Model::default();
    let mut reads = reads::Reads::new(record);
    reads.at(0, &model);
    for (&index, entry) in &record.committed {
        if let Some((id, said)) = carry_out(record, &mut model, entry) {
            answers::check(record, id, index, &said);
        }
        reads.at(index, &model);
    }
    reads.finish();
    answers::none_invented(record);
    watch::check(record, &model);
    model
}

/// Checks a cluster that may have lost too much: nothing false was ever said, and each member that runs holds what the
/// committed log says up to where it is, or says that it cannot read it.
///
/// # Panics
/// When a promise is broken.
pub fn served(record: &Record, views: Vec<View<SimDisk>>) {
    said(record);
    let mut waiting: BTreeMap<u64, Vec<View<SimDisk>>> = BTreeMap::new();
    views.into_iter().for_each(|view| waiting.entry(view.applied()).or_default().push(view));
    let mut model = Model::default();
    for (&index, entry) in &record.committed {
        carry_out(record, &mut model, entry);
        for view in waiting.remove(&index).unwrap_or_default() {
            agree::so_far(&view, &model);
        }
    }
    assert!(waiting.keys().all(|index| *index == 0), "members stand at what nobody committed: {:?}", waiting.keys());
}

/// What a committed entry does to the model; its request id and answer, if it
/// is a command.
fn carry_out(record: &Record, model: &mut Model, entry: &Entry) -> Option<(u64, Result<Said, Refusal>)> {
    if entry.kind != EntryKind::Normal || entry.data.is_empty() {
        return None;
    }
    let request = InternalRaftRequest::decode(entry.data.clone()).expect("the load proposes what decodes");
    let id = request.header.as_ref().map_or(0, |header| header.id);
    ends::check(record, model, id, &request);
    Some((id, model.apply(&request)))
}
