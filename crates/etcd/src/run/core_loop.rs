//! The loop that drives Core. Its twin in the simulator is `sim/src/member.rs`;
//! who changes one reads the other.

use super::inbox::{Inbox, Waiting};
use super::keeper_loop::KeeperInput;
use super::log_loop::LogJob;
use super::remarks::Remarks;
use super::waiters::AllWaiters;
use crate::peer::Peers;
use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use member::core::{Apply, Core, Input, Outputs, Status};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Where Core's outputs go.
pub struct Below {
    pub inbox: Arc<Inbox>,
    pub log: Sender<LogJob>,
    pub store: Sender<Apply>,
    pub keeper: Sender<KeeperInput>,
    pub peers: Peers,
    pub waiters: Arc<AllWaiters>,
    /// The present numbers.
    pub numbers: Arc<ArcSwap<Status>>,
    /// Told only when leader, role or term change: whoever listens is woken.
    pub status: watch::Sender<Arc<Status>>,
}

/// Runs until the inbox closes.
pub fn drive(mut core: Core, below: Below, tick: Duration) {
    let mut taken = Waiting::default();
    let mut outputs = Outputs::default();
    let mut next_tick = Instant::now() + tick;
    let mut remarks = Remarks::default();
    let mut shown = Arc::new(core.status());
    below.numbers.store(shown.clone());
    below.status.send_replace(shown.clone());
    while below.inbox.take(&mut taken, next_tick, core.waits_for_applied()) {
        let now = Instant::now();
        if now >= next_tick {
            core.step(Input::Tick);
            // After a pause there is one tick, not a hundred: a member that
            // slept does not know that others were silent.
            next_tick = if now - next_tick > tick { now + tick } else { next_tick + tick };
        }
        taken.numbers.drain(..).for_each(|input| core.step(input));
        taken.messages.drain(..).for_each(|message| core.step(Input::Message(message)));
        taken.requests.drain(..).for_each(|input| core.step(input));
        core.take(&mut outputs);
        remarks.on_strange(&mut outputs.strange, now);
        let status = core.status();
        if status != *shown {
            let leads = |status: &Status| (status.role == raft::Role::Leader).then_some(status.term);
            if leads(&status) != leads(&shown) {
                // Nobody counts lease time without knowing that it leads.
                let _ = below.keeper.send(KeeperInput::Leads(leads(&status)));
            }
            let news = (status.leader, status.term, status.role) != (shown.leader, shown.term, shown.role);
            shown = Arc::new(status);
            below.numbers.store(shown.clone());
            if news {
                below.status.send_replace(shown.clone());
            }
        }
        if !hand_on(&mut outputs, &below) {
            return;
        }
    }
}

/// False when a loop below has gone: the member is stopping.
fn hand_on(outputs: &mut Outputs, below: &Below) -> bool {
    // Others first: their disks may write while ours does.
    if !outputs.messages.is_empty() {
        below.peers.send(&mut outputs.messages);
    }
    let mut alive = true;
    if !outputs.appends.is_empty() {
        alive &= below.log.send(LogJob::Append(std::mem::take(&mut outputs.appends))).is_ok();
    }
    if let Some(index) = outputs.release.take() {
        alive &= below.log.send(LogJob::Release(index)).is_ok();
    }
    for apply in outputs.applies.drain(..) {
        alive &= below.store.send(apply).is_ok();
    }
    for id in outputs.reads.drain(..) {
        below.waiters.read(id, Ok(()));
    }
    for (id, why) in outputs.failed_reads.drain(..) {
        below.waiters.read(id, Err(why));
    }
    for (id, why) in outputs.turned_back.drain(..) {
        if !below.waiters.proposals.answer(id, Err(why)) {
            let _ = below.keeper.send(KeeperInput::TurnedBack(id));
        }
    }
    alive
}
