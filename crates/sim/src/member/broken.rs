//! What the mutants do to a member: each breaks a rule here, in the driver, and nowhere in what ships.

use super::Member;
use crate::mutant::Mutant;
use member::hub::Response;
use prost::Message as _;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{InternalRaftRequest, PutRequest, TxnRequest, WatchCreateRequest};
use store::{Entry, EntryKind};

impl Member {
    /// Half of the members are those that a mutant makes differ.
    pub(super) fn is_even(&self) -> bool {
        self.log.identity().member_id.is_multiple_of(2)
    }

    /// What the mutants do to what one member applies.
    pub(super) fn tamper(&self, entries: &mut [Entry]) {
        if self.habits.mutant.is_none() || !self.is_even() {
            return;
        }
        let mut before = bytes::Bytes::new();
        for entry in entries.iter_mut().filter(|entry| entry.kind == EntryKind::Normal && !entry.data.is_empty()) {
            let mut request = InternalRaftRequest::decode(entry.data.clone()).expect("the load proposes what decodes");
            let own = entry.data.clone();
            let seldom = entry.index.is_multiple_of(50);
            match self.habits.mutant {
                Some(Mutant::SkipsEntry) if seldom => entry.data.clear(),
                Some(Mutant::RepeatsEntry) if seldom => entry.data = before,
                Some(Mutant::SkipsCompaction) if request.compaction.is_some() => entry.data.clear(),
                Some(Mutant::SkipsGrant) if request.lease_grant.is_some() && entry.index % 5 == 0 => entry.data.clear(),
                Some(Mutant::DropsNegativeLeases) if request.lease_grant.as_ref().is_some_and(|grant| grant.id < 0) => {
                    entry.data.clear();
                }
                Some(Mutant::StripsReads) => {
                    if let Some(txn) = &mut request.txn {
                        strip_reads(txn);
                        entry.data = request.encode_to_vec().into();
                    }
                }
                Some(Mutant::SkipsAlarm) if request.alarm.is_some() => entry.data.clear(),
                Some(Mutant::DropsAlarmsOfNobody)
                    if request.alarm.as_ref().is_some_and(|alarm| alarm.member_id == 0) =>
                {
                    entry.data.clear();
                }
                Some(Mutant::AlarmsTwice) => {
                    let stands = |id: u64| self.published.alarms().iter().any(|active| active.member == id);
                    if let Some(alarm) =
                        request.alarm.as_mut().filter(|alarm| alarm.action == 1 && stands(alarm.member_id))
                    {
                        alarm.member_id ^= 1;
                        entry.data = request.encode_to_vec().into();
                    }
                }
                Some(Mutant::FlipsBit) if seldom => {
                    spoil(entry);
                }
                _ => {}
            }
            before = own;
        }
    }

    /// What the mutants do to a watch that is asked for.
    pub fn break_watch(&self, request: &mut WatchCreateRequest, present: i64, resumes: bool) {
        match self.habits.mutant {
            Some(Mutant::IgnoresFilters) => request.filters.clear(),
            Some(Mutant::FutureIsNow) if request.start_revision > present + 1 => request.start_revision = 0,
            Some(Mutant::NowIsBefore) if request.start_revision == 0 => request.start_revision = present.max(1),
            Some(Mutant::ResumesLate) if resumes => request.start_revision += 1,
            Some(Mutant::FragmentsAll) => request.fragment = true,
            _ => {}
        }
    }

    /// Each response with events waits until there are more, and all else goes before it.
    fn held_back(&mut self, out: Vec<(u64, Response)>) -> Vec<(u64, Response)> {
        let mut told = Vec::new();
        for (stream, response) in out {
            if response.events.is_empty() {
                told.push((stream, response));
            } else if let Some(before) = self.held.insert(stream, response) {
                told.push((stream, before));
            }
        }
        told
    }

    /// What the mutants do to what Hub has to say.
    pub(super) fn break_told(&mut self, mut out: Vec<(u64, Response)>) -> Vec<(u64, Response)> {
        if self.breaks(Mutant::ProgressOfTheView) {
            let revision = self.published.revision();
            let answers = out.iter_mut().filter(|(_, response)| response.watch_id == -1 && !response.created);
            answers.for_each(|(_, response)| response.revision = revision);
        }
        if self.breaks(Mutant::ForgetsPrevious) {
            let some = |revision: i64| revision % 10 == 0;
            let told = out.iter_mut().filter(|(_, response)| some(response.revision));
            told.for_each(|(_, response)| response.events.iter_mut().for_each(|event| event.previous = None));
        }
        if self.breaks(Mutant::ProgressOvertakes) {
            out = self.held_back(out);
        }
        if self.breaks(Mutant::DoublesEvents) {
            let again = |told: &&(u64, Response)| !told.1.events.is_empty() && told.1.revision % 7 == 0;
            out = out.iter().flat_map(|told| std::iter::once(told).chain(Some(told).filter(again))).cloned().collect();
        }
        if self.breaks(Mutant::CompactedUntold) {
            out.retain(|(_, response)| !response.canceled);
        }
        if self.breaks(Mutant::LosesFragments) {
            out.retain(|(_, response)| !response.fragment);
        }
        out
    }
}

/// Leaves the ranges of a transaction out.
fn strip_reads(txn: &mut TxnRequest) {
    for operations in [&mut txn.success, &mut txn.failure] {
        operations.retain(|operation| !matches!(operation.request, Some(Request::RequestRange(_))));
        for operation in operations {
            if let Some(Request::RequestTxn(nested)) = &mut operation.request {
                strip_reads(nested);
            }
        }
    }
}

/// Turns a bit in the value of a put that takes effect whatever stands there; false for anything else.
pub(super) fn spoil(entry: &mut Entry) -> bool {
    if entry.kind != EntryKind::Normal || entry.data.is_empty() {
        return false;
    }
    let mut request = InternalRaftRequest::decode(entry.data.clone()).expect("the load proposes what decodes");
    // Of one that cannot be refused: otherwise nothing would differ.
    let certain = |put: &&mut PutRequest| !put.value.is_empty() && !put.ignore_lease && put.lease == 0;
    let Some(put) = request.put.as_mut().filter(certain) else { return false };
    let mut value = put.value.to_vec();
    value[0] ^= 1;
    put.value = value.into();
    entry.data = request.encode_to_vec().into();
    true
}
