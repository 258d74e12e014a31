//! Comparing the hash chains of the members, twice a second; the rules are `member/src/corruption.rs`.
//!
//! A member that differs gets the alarm CORRUPT through the log, as etcd raises it: from then on every member refuses
//! writes, and the one that is named refuses reads as well (`rpc/answer.rs`).

use super::store_door::StoreDoor;
use super::store_loop::StoreJob;
use crate::handle::Handle;
use member::corruption::{EVERY_MS, Known, Verdict, judge};
use proto::etcdserverpb::{AlarmRequest, InternalRaftRequest};
use std::sync::Arc;
use std::time::Duration;
use store::{Alarm, AlarmKind};

/// From one comparison to the next.
const EVERY: Duration = Duration::from_millis(EVERY_MS);
/// Who does not answer within this is left out.
const PATIENCE: Duration = Duration::from_millis(400);

/// Runs until the member stops.
pub async fn drive(handle: Handle, store: Arc<StoreDoor>) {
    let mut due = tokio::time::interval(EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut undecided = 0;
    while !handle.is_stopping() {
        due.tick().await;
        let mut reports = handle.peers().chains(PATIENCE).await;
        if reports.is_empty() {
            continue;
        }
        let me = handle.settings().member_id;
        let view = handle.view();
        reports.insert(me, view.chain());
        let members = view.roster().members().len();
        let verdict = judge(Known { me, leader: handle.status().leader, members, reports: &reports, undecided });
        undecided = if verdict.undecided { undecided + 1 } else { 0 };
        if undecided == 1 {
            tracing::warn!(
                index = verdict.index,
                "members differ in what they hold; members that are silent could tell who is right, and are waited for"
            );
        }
        if let Some(adoption) = verdict.adopt
            && store.put(StoreJob::Adopt(adoption)).is_err()
        {
            return;
        }
        raise(&handle, &verdict).await;
    }
}

/// Raises the alarm of whoever is named and has none yet.
async fn raise(handle: &Handle, verdict: &Verdict) {
    for &member in &verdict.corrupt {
        let alarm = Alarm { member, kind: AlarmKind::CORRUPT };
        if handle.view().alarms().iter().any(|active| active == alarm) {
            continue;
        }
        tracing::error!(
            "member-id" = %format!("{member:x}"),
            index = verdict.index,
            "what this member holds differs from what the majority holds; a member id of 0 means that nobody can say which"
        );
        if verdict.speaks {
            let alarm = AlarmRequest { action: 1, member_id: member, alarm: AlarmKind::CORRUPT.0 };
            let raise = InternalRaftRequest { alarm: Some(alarm), ..InternalRaftRequest::default() };
            if let Err(error) = handle.propose(raise).await {
                tracing::warn!(error = %error, "the alarm is not raised yet; it is tried again");
            }
        }
    }
}
