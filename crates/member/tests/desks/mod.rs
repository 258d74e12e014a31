//! Cores on desks: what a Core gives away stays in trays until the test moves
//! it on.

#![allow(dead_code, reason = "each test file uses its own part")]

use bytes::Bytes;
use member::core::{Applied, Apply, Config, Core, Input, Outputs, Proposal, Strange, TurnedBack};
use raft::{Append, ConfState, Message, Restored, Role, SnapshotMeta};
use std::collections::{BTreeMap, VecDeque};

pub const HOLD_TICKS: u32 = 70;
pub const RETRY_TICKS: u32 = 5;
pub const CATCH_UP: u64 = 16;
pub const BACKLOG_BYTES: u64 = 1 << 20;

pub fn config(id: u64) -> Config {
    Config {
        raft: raft::Config::new(id, id * 7_919),
        catch_up_entries: CATCH_UP,
        read_retry_ticks: RETRY_TICKS,
        hold_ticks: HOLD_TICKS,
        bounds: member::core::Bounds::default(),
        backlog_bytes_max: BACKLOG_BYTES,
        birth: 1_000,
    }
}

pub fn proposal(id: u64) -> Proposal {
    Proposal { id, data: Bytes::from(format!("proposal {id}")), only_in: None }
}

/// One Core and its trays.
pub struct Desk {
    pub core: Core,
    /// For the log, not yet durable.
    pub appends: VecDeque<Append>,
    /// For the store, not yet applied.
    pub applies: VecDeque<Apply>,
    /// Entries applied: index and words.
    pub applied: Vec<(u64, String)>,
    pub reads: Vec<u64>,
    pub failed_reads: Vec<(u64, TurnedBack)>,
    pub turned_back: Vec<(u64, TurnedBack)>,
    pub releases: Vec<u64>,
    pub sent: Vec<Message>,
    pub strange: Vec<Strange>,
    pub unwanted_snapshots: Vec<u64>,
    /// Writes wait until the test says they are done.
    pub hold_log: bool,
    /// So does applying.
    pub hold_store: bool,
    durable: u64,
}

impl Desk {
    /// A member of `voters` as it is before anything has happened.
    pub fn new(id: u64, voters: &[u64]) -> Desk {
        let conf_state = ConfState { voters: voters.to_vec(), ..ConfState::default() };
        Desk::restored(
            id,
            Restored { snapshot: SnapshotMeta { conf_state, ..Default::default() }, ..Default::default() },
        )
    }

    pub fn restored(id: u64, restored: Restored) -> Desk {
        Desk {
            durable: restored.snapshot.index + restored.entries.len() as u64,
            core: Core::new(config(id), restored),
            appends: VecDeque::new(),
            applies: VecDeque::new(),
            applied: Vec::new(),
            reads: Vec::new(),
            failed_reads: Vec::new(),
            turned_back: Vec::new(),
            releases: Vec::new(),
            sent: Vec::new(),
            strange: Vec::new(),
            unwanted_snapshots: Vec::new(),
            hold_log: false,
            hold_store: false,
        }
    }

    pub fn step(&mut self, input: Input) {
        self.core.step(input);
        self.settle();
    }

    pub fn propose(&mut self, id: u64) {
        self.step(Input::Propose(proposal(id)));
    }

    pub fn read(&mut self, id: u64) {
        self.step(Input::Read(id));
    }

    pub fn ticks(&mut self, count: u32) {
        for _ in 0..count {
            self.step(Input::Tick);
        }
    }

    /// Moves all on that is not held.
    pub fn settle(&mut self) {
        loop {
            let mut outputs = Outputs::default();
            self.core.take(&mut outputs);
            let quiet = outputs.is_empty();
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
            self.unwanted_snapshots.extend(unwanted_snapshots);
            self.sent.extend(messages);
            self.strange.extend(strange);
            self.appends.extend(appends);
            for apply in &applies {
                self.check_bounds(apply);
            }
            self.applies.extend(applies);
            self.reads.extend(reads);
            self.failed_reads.extend(failed_reads);
            self.turned_back.extend(turned_back);
            self.releases.extend(release);
            let mut moved = false;
            if !self.hold_log {
                moved |= self.write_one();
            }
            if !self.hold_store {
                moved |= self.apply_one();
            }
            if quiet && !moved {
                return;
            }
        }
    }

    /// The promise of Core: never beyond min(commit, durable).
    fn check_bounds(&self, apply: &Apply) {
        let upto = match apply {
            Apply::Entries(entries) => entries.last().expect("no empty batch").index,
            Apply::Restore(meta) => meta.index,
        };
        assert!(upto <= self.core.status().commit, "{upto} is handed on and not committed");
        assert!(upto <= self.durable, "{upto} is handed on and durable is {}", self.durable);
    }

    pub fn write_one(&mut self) -> bool {
        let Some(append) = self.appends.pop_front() else { return false };
        if let Some(snapshot) = &append.snapshot {
            self.durable = snapshot.index;
        }
        if let Some(last) = append.entries.last() {
            self.durable = last.index;
        }
        self.core.step(Input::Appended(append.mark));
        true
    }

    pub fn apply_one(&mut self) -> bool {
        let Some(apply) = self.applies.pop_front() else { return false };
        let index = match apply {
            Apply::Entries(entries) => {
                let words = |entry: &store::Entry| (entry.index, String::from_utf8_lossy(&entry.data).into_owned());
                self.applied.extend(entries.iter().map(words));
                entries.last().expect("no empty batch").index
            }
            Apply::Restore(meta) => meta.index,
        };
        self.core.step(Input::Applied(Applied { index, changes: Vec::new() }));
        true
    }

    pub fn role(&self) -> Role {
        self.core.status().role
    }

    pub fn term(&self) -> u64 {
        self.core.status().term
    }

    /// What was applied, without a leader's empty entries.
    pub fn words(&self) -> Vec<&str> {
        self.applied.iter().map(|(_, words)| words.as_str()).filter(|words| !words.is_empty()).collect()
    }
}

/// Some desks and the messages between them.
pub struct Office {
    pub desks: BTreeMap<u64, Desk>,
    /// Links that carry nothing.
    pub cut: Vec<(u64, u64)>,
    /// Everything that was delivered.
    pub delivered: Vec<Message>,
}

impl Office {
    pub fn new(count: u64) -> Office {
        let voters: Vec<u64> = (1..=count).collect();
        let desks = voters.iter().map(|&id| (id, Desk::new(id, &voters))).collect();
        Office { desks, cut: Vec::new(), delivered: Vec::new() }
    }

    /// With member 1 as leader.
    pub fn led(count: u64) -> Office {
        let mut office = Office::new(count);
        office.campaign(1);
        office
    }

    pub fn campaign(&mut self, id: u64) {
        self.at(id).step(Input::Campaign);
        self.deliver();
        assert_eq!(self.at(id).role(), Role::Leader, "{id} campaigned");
    }

    pub fn at(&mut self, id: u64) -> &mut Desk {
        self.desks.get_mut(&id).expect("a desk")
    }

    pub fn isolate(&mut self, id: u64) {
        for &other in self.desks.keys().filter(|&&other| other != id) {
            self.cut.extend([(id, other), (other, id)]);
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Delivers until no message is on its way.
    pub fn deliver(&mut self) {
        for _ in 0..10_000 {
            let messages: Vec<Message> =
                self.desks.values_mut().flat_map(|desk| std::mem::take(&mut desk.sent)).collect();
            if messages.is_empty() {
                return;
            }
            for message in messages {
                if self.cut.contains(&(message.from, message.to)) {
                    continue;
                }
                self.delivered.push(message.clone());
                self.at(message.to).step(Input::Message(message));
            }
        }
        panic!("messages have no end");
    }

    /// Ticks all desks and delivers after each tick.
    pub fn ticks(&mut self, count: u32) {
        for _ in 0..count {
            for desk in self.desks.values_mut() {
                desk.step(Input::Tick);
            }
            self.deliver();
        }
    }
}
