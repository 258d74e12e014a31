//! What drives Core, one round at a time, and the thread that keeps its time.
//! Its twin in the simulator is `sim/src/member.rs`; who changes one reads the
//! other.

use super::inbox::{Inbox, Turn, Waiting};
use super::keeper_loop::KeeperInput;
use super::log_door::{LogDoor, LogJob};
use super::owed::Owed;
use super::remarks::{self, Remarks};
use super::store_door::StoreDoor;
use super::store_loop::StoreJob;
use super::waiters::AllWaiters;
use crate::peer::Peers;
use arc_swap::ArcSwap;
use member::core::{Core, Input, Outputs, Status};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Where Core's outputs go.
pub struct Below {
    pub log: Arc<LogDoor>,
    pub store: Arc<StoreDoor>,
    pub keeper: Sender<KeeperInput>,
    pub peers: Peers,
    pub waiters: Arc<AllWaiters>,
    /// Others have not heard of a commit yet; Store's thread looks after it.
    pub owed: Arc<Owed>,
    /// The present numbers.
    pub numbers: Arc<ArcSwap<Status>>,
    /// Told only when leader (or its silence), role or term change: whoever listens is woken.
    pub status: watch::Sender<Arc<Status>>,
}

impl Drop for Below {
    fn drop(&mut self) {
        self.log.close();
        // A store that has gone needs no telling.
        let _ = self.store.put(StoreJob::End);
    }
}

/// Core and all that a round of it needs. The inbox sees to it that one thread
/// at a time has it.
pub struct Driver {
    core: Core,
    below: Below,
    /// What the next round works on.
    pub taken: Waiting,
    outputs: Outputs,
    shown: Arc<Status>,
    remarks: Remarks,
}

impl Driver {
    /// Shows the first numbers.
    pub fn new(core: Core, below: Below) -> Driver {
        let shown = Arc::new(core.status());
        below.numbers.store(shown.clone());
        below.status.send_replace(shown.clone());
        Driver {
            core,
            below,
            taken: Waiting::default(),
            outputs: Outputs::default(),
            shown,
            remarks: Remarks::default(),
        }
    }

    /// Steps Core through all that was taken and hands on what comes of it.
    /// False when a loop below has gone: the member is stopping.
    pub fn round(&mut self) -> bool {
        let Driver { core, taken, outputs, .. } = self;
        taken.numbers.drain(..).for_each(|input| core.step(input));
        taken.messages.drain(..).for_each(|message| core.step(Input::Message(message)));
        taken.requests.drain(..).for_each(|input| core.step(input));
        (taken.message_bytes, taken.request_bytes) = (0, 0);
        core.take(outputs);
        self.below.owed.note(core.owes_commits());
        self.show();
        self.hand_on()
    }

    /// Whether Core waits for Store to apply something.
    pub fn waits_for_applied(&self) -> bool {
        self.core.waits_for_applied()
    }

    /// False when a loop below has gone: the member is stopping.
    fn hand_on(&mut self) -> bool {
        let Driver { outputs, below, remarks, .. } = self;
        // Whatever comes to be handed on besides is missed here.
        let Outputs {
            messages,
            appends,
            applies,
            reads,
            failed_reads,
            turned_back,
            release,
            strange,
            unwanted_snapshots,
        } = outputs;
        let mut alive = true;
        // Others first: what they write has the longer way, and the own log's
        // thread, once woken, may take the processor from this one. A lone entry
        // is written while a second member is told.
        let lone = appends.iter().map(|append| append.entries.len()).sum::<usize>() == 1;
        let first = if lone { messages.len().min(1) } else { messages.len() };
        below.peers.send(messages.drain(..first));
        if !appends.is_empty() {
            alive &= below.log.put(LogJob::Append(std::mem::take(appends))).is_ok();
        }
        below.peers.send(messages.drain(..));
        // Others are served first: what is brief is applied here.
        for apply in applies.drain(..) {
            alive &= below.store.pass(StoreJob::Apply(apply)).is_ok();
        }
        for index in unwanted_snapshots.drain(..) {
            below.peers.discard_snapshot(index);
        }
        if let Some(index) = release.take() {
            alive &= below.log.put(LogJob::Release(index)).is_ok();
        }
        for id in reads.drain(..) {
            below.waiters.read(id, Ok(()));
        }
        for (id, why) in failed_reads.drain(..) {
            below.waiters.read(id, Err(why));
        }
        for (id, why) in turned_back.drain(..) {
            if !below.waiters.proposals.answer(id, Err(why)) {
                let _ = below.keeper.send(KeeperInput::TurnedBack(id));
            }
        }
        remarks.on_strange(strange, Instant::now());
        alive
    }

    fn show(&mut self) {
        let status = self.core.status();
        if status == *self.shown {
            return;
        }
        let leads = |status: &Status| (status.role == raft::Role::Leader).then_some(status.term);
        if leads(&status) != leads(&self.shown) {
            // Nobody counts lease time without knowing that it leads.
            let _ = self.below.keeper.send(KeeperInput::Leads(leads(&status)));
        }
        remarks::on_leader(self.shown.leader, &status);
        let what = |status: &Status| (status.leader, status.leader_is_silent, status.term, status.role);
        let news = what(&status) != what(&self.shown);
        self.shown = Arc::new(status);
        self.below.numbers.store(self.shown.clone());
        if news {
            self.below.status.send_replace(self.shown.clone());
        }
    }
}

/// Core's own thread: ticks, and goes on where a passing thread has left work.
/// Runs until the inbox closes.
pub fn drive(inbox: &Inbox, tick: Duration) {
    let mut next_tick = Instant::now() + tick;
    loop {
        let turn = inbox.wait(next_tick);
        let now = Instant::now();
        if now >= next_tick {
            // After a pause there is one tick, not a hundred: a member that
            // slept does not know that others were silent.
            next_tick = if now - next_tick > tick { now + tick } else { next_tick + tick };
            inbox.number(Input::Tick);
        }
        match turn {
            Turn::Baton => inbox.work(),
            Turn::Due => {}
            Turn::Closed => return inbox.shut(),
        }
    }
}
