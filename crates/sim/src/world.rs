//! The world: what happens next, to whom, until all is checked.

mod beyond;
mod clients;
mod comparing;
mod directed;
mod harms;
mod keeping;
mod operator;
mod parts;
mod queue;
mod rest;
mod sending;
mod slot;
mod trouble;
mod watchers;
mod watching;

use crate::chance::Chances;
use crate::check;
use crate::check::room::Waiting;
use crate::faults::Plan;
use crate::ledger::{Kinds, Lasting, Ledger, TroubleId};
use crate::load::Mix;
use crate::member::{Content, Habits, Image, Member, TICK};
use crate::mutant::Mutant;
use crate::net::{Net, Weather};
use crate::record::{Counts, Record};
use crate::trace::Trace;
use clients::Client;
use harms::Harm;
use member::hub::Response;
use prost::Message as _;
use proto::raftpb;
use queue::Queue;
use raft::Message;
use slot::Slot;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use watching::Watcher;

/// Simulated time since the beginning, in microseconds.
pub type Micros = u64;

const SECOND: Micros = 1_000_000;
/// The cluster's id.
const CLUSTER: u64 = 77;
/// Members whose first life begins within this of each other.
const BOOT_SPREAD: Micros = 200_000;

/// What a run is.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// All chance comes from here.
    pub seed: u64,
    /// How long faults and load last.
    pub storm: Micros,
    /// Print everything that happens.
    pub tell: bool,
    /// Break this rule on purpose.
    pub mutant: Option<Mutant>,
    /// How many members, if not as many as the seed says.
    pub members: Option<usize>,
    /// Disks may rot on any number of members.
    pub beyond: bool,
}

impl Settings {
    /// The run of a seed as `cargo x sim` makes it.
    pub fn of(seed: u64) -> Settings {
        Settings { seed, storm: 20 * SECOND, tell: false, mutant: None, members: None, beyond: false }
    }
}

/// What came of a run that broke no promise.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Folded from everything that happened.
    pub trace_hash: u64,
    /// Things that happened.
    pub happenings: u64,
    /// Simulated time until rest.
    pub simulated: Micros,
    /// How much of it was under faults and load.
    pub under_faults: Micros,
    /// Members of the cluster.
    pub members: usize,
    /// What was done.
    pub counts: Counts,
    /// What went wrong, by kind.
    pub kinds: Kinds,
    /// The most that ever waited inside a member.
    pub most_waiting: Waiting,
    /// A majority had ended for good at the end, which happens only beyond what is promised.
    pub halted: bool,
}

/// Runs a seed to its end.
///
/// # Panics
/// When a promise is broken. The words say which; the seed replays it.
pub fn run(settings: Settings) -> Outcome {
    let mut world = World::new(settings);
    world.storm();
    if settings.beyond { world.end_beyond() } else { world.finish() }
}

/// What may happen.
enum Event {
    Tick(usize, u32),
    Log(usize, u32),
    Store(usize, u32),
    /// The disk has synced what a life of a member's Store has begun to sync.
    Sync(usize, u32),
    Deliver(usize, Box<Message>, Option<Rc<Image>>),
    /// A life of a member hears that its snapshot for another has arrived, and which; or that none was made.
    SnapshotSent(usize, u32, u64, Option<u64>),
    Restart(usize),
    Ask(usize),
    GiveUp(usize, u64),
    Connect(usize),
    /// A client looks at its watches.
    Look(usize),
    /// A stream of a life of a member has read a response of so many bytes.
    Credit(usize, u32, u64, usize),
    Fault,
    /// One of this kind goes wrong too.
    FaultOf(usize),
    /// The operator looks at who belongs to the cluster.
    Operate,
    /// A life of a member compares its hash chain with its neighbours'.
    Compare(usize, u32),
    /// A link between two members changes, so many times more.
    Flap(usize, usize, u32, TroubleId),
    /// A full disk has room again.
    Room(usize, u32),
}

/// A cluster, its clients and what befalls them.
pub struct World {
    now: Micros,
    queue: Queue,
    chances: Chances,
    net: Net,
    plan: Plan,
    habits: Habits,
    mix: Mix,
    /// Longest rest of a client between two requests.
    client_rest: Micros,
    /// After this a client gives up.
    patience: Micros,
    /// Where clients ask, if not anywhere.
    clients_at: Option<usize>,
    /// Where watches connect, if not anywhere.
    watches_at: Option<usize>,
    slots: Vec<Slot>,
    first_changes: Vec<bytes::Bytes>,
    clients: Vec<Client>,
    watchers: Vec<Watcher>,
    next_stream: u64,
    /// Who waits for a request or read of a member.
    pending: BTreeMap<(usize, u64), usize>,
    storm_ends: Micros,
    calm: bool,
    /// Disks may rot on any number of members, and who has ended on one that does stays down.
    beyond: bool,
    /// Who stops is back soon.
    quick_restarts: bool,
    /// The checker of chains does not look, so that the members must find out by themselves.
    chains_unwatched: bool,
    /// Snapshots on their way, some of which have arrived.
    images: Vec<Weak<Image>>,
    /// A mutant's: the last snapshot that was made.
    content_before: Option<Content>,
    /// A mutant's: requests that were asked again, and the first of each.
    asked_before: BTreeMap<u64, u64>,
    /// A mutant's: what the newest heartbeat of each member said.
    newest_heartbeats: BTreeMap<usize, bytes::Bytes>,
    /// What streams were told that no watcher has.
    apart: BTreeMap<u64, Vec<Response>>,
    record: Record,
    trace: Trace,
    /// What has gone wrong.
    ledger: Ledger,
    /// Until then the pair of the run is left alone: it has just met.
    pair_rests: Micros,
    /// Whoever was last told to lead, until when that may have an effect.
    transfer: Lasting,
    /// Alarms on their way through the log: the request, when it was made, and by what.
    alarms_asked: Vec<(u64, Micros, TroubleId)>,
}

impl World {
    /// A cluster whose members are about to start.
    pub fn new(settings: Settings) -> World {
        let mut chances = Chances::new(settings.seed);
        let drawn = [3, 3, 3, 5, 5, 1, 2, 4, 6, 7][chances.faults.usize(..10)];
        let count = settings.members.unwrap_or(drawn);
        let weather = Weather::draw(&mut chances.net);
        let plan = match settings.beyond {
            true => Plan::draw_beyond(&mut chances.faults),
            false => Plan::draw(&mut chances.faults),
        };
        World::with(settings, chances, count, weather, plan)
    }

    fn with(settings: Settings, mut chances: Chances, count: usize, weather: Weather, plan: Plan) -> World {
        let mut slots: Vec<Slot> = (0..count).map(|_| Slot::new(&mut chances.births)).collect();
        if count >= 4 && !plan.is_none() && chances.births.bool() {
            let last = slots.last_mut().expect("four or more");
            (last.joins, last.learner) = (true, chances.births.bool());
        }
        let mut ids: Vec<u64> = slots.iter().filter(|slot| !slot.joins).map(|slot| slot.id).collect();
        ids.sort_unstable();
        let fastest_tick = slots.iter().map(|slot| slot.tick).min().unwrap_or(TICK);
        let record = Record { fastest_tick, ..Record::default() };
        let mut world = World {
            now: 1,
            queue: Queue::default(),
            net: Net::new(weather),
            plan,
            habits: Habits::draw(&mut chances.faults, settings.mutant),
            mix: Mix::default(),
            client_rest: [5_000, 20_000, 60_000, 250_000][chances.load.usize(..4)],
            patience: clients::PATIENCE,
            clients_at: None,
            watches_at: None,
            slots,
            first_changes: ids.iter().map(|&id| first_change(id)).collect(),
            clients: (0..chances.load.usize(2..8)).map(|_| Client::default()).collect(),
            watchers: watching::draw(&mut chances.load),
            next_stream: 1,
            pending: BTreeMap::new(),
            storm_ends: settings.storm,
            calm: false,
            beyond: settings.beyond,
            quick_restarts: false,
            chains_unwatched: false,
            images: Vec::new(),
            content_before: None,
            asked_before: BTreeMap::new(),
            newest_heartbeats: BTreeMap::new(),
            apart: BTreeMap::new(),
            record,
            trace: Trace::new(settings.tell),
            ledger: Ledger::default(),
            pair_rests: 0,
            transfer: Lasting::default(),
            alarms_asked: Vec::new(),
            chances,
        };
        check::raft::begins(&mut world.record, world.first_changes.len());
        for slot in 0..count {
            let at = world.chances.births.u64(1..BOOT_SPREAD);
            world.at(at, Event::Restart(slot));
        }
        for client in 0..world.clients.len() {
            world.at(SECOND, Event::Ask(client));
        }
        for watcher in 0..world.watchers.len() {
            world.at(SECOND * 2, Event::Connect(watcher));
            world.at(SECOND * 3, Event::Look(watcher));
        }
        world.at(SECOND, Event::Operate);
        let first = world.plan.wait(&mut world.chances.faults);
        world.at(first, Event::Fault);
        world
    }

    /// Faults and load together.
    fn storm(&mut self) {
        while let Some((at, event)) = self.queue.pop_before(self.storm_ends) {
            self.now = at;
            self.happen(event);
        }
        self.now = self.storm_ends;
    }

    fn at(&mut self, time: Micros, event: Event) {
        self.queue.push(time, event);
    }

    fn happen(&mut self, event: Event) {
        if let Some(slot) = event.concerns()
            && self.slots[slot].paused.lasts(self.now)
        {
            // A stopped process: everything waits for it.
            let place = &self.slots[slot];
            if place.alive.is_some() {
                place.paused.holds_up(&mut self.ledger, self.now);
            }
            return self.at(place.paused.until, event);
        }
        match event {
            Event::Tick(slot, life) => self.tick(slot, life),
            Event::Log(slot, life) => self.write_log(slot, life),
            Event::Store(slot, life) => self.work_store(slot, life),
            Event::Sync(slot, life) => self.work_sync(slot, life),
            Event::Deliver(slot, message, image) => self.deliver(slot, *message, image),
            Event::SnapshotSent(slot, life, to, arrived) => self.snapshot_sent(slot, life, to, arrived),
            Event::Restart(slot) => self.restart(slot),
            Event::Ask(client) => self.ask(client),
            Event::GiveUp(client, number) => self.give_up(client, number),
            Event::Connect(watcher) => self.connect(watcher),
            Event::Look(watcher) => self.look_at_watches(watcher),
            Event::Credit(slot, life, stream, bytes) => self.read(slot, life, stream, bytes),
            Event::Fault => self.fault(),
            Event::FaultOf(kind) => self.fault_of(kind),
            Event::Operate => self.operate(),
            Event::Compare(slot, life) => self.compare(slot, life),
            Event::Flap(from, to, left, by) => self.flap(from, to, left, by),
            Event::Room(slot, life) => {
                let place = &mut self.slots[slot];
                if place.life == life {
                    place.look_at_disk(&mut self.ledger, self.now);
                    place.mend_disk(Harm::Full);
                }
            }
        }
    }

    /// The member in a slot, if it is still in this life.
    fn life(&mut self, slot: usize, life: u32) -> Option<&mut Member> {
        let slot = &mut self.slots[slot];
        if slot.life == life { slot.alive.as_deref_mut() } else { None }
    }
}

impl Event {
    /// Whose process this needs.
    fn concerns(&self) -> Option<usize> {
        match self {
            Event::Tick(slot, _)
            | Event::Log(slot, _)
            | Event::Store(slot, _)
            | Event::Sync(slot, _)
            | Event::Deliver(slot, ..)
            | Event::SnapshotSent(slot, ..)
            | Event::Compare(slot, _)
            | Event::Credit(slot, ..) => Some(*slot),
            Event::Restart(_)
            | Event::Ask(_)
            | Event::GiveUp(..)
            | Event::Connect(_)
            | Event::Look(_)
            | Event::Fault
            | Event::FaultOf(_)
            | Event::Operate
            | Event::Flap(..)
            | Event::Room(..) => None,
        }
    }
}

/// The entry that adds a first member.
fn first_change(id: u64) -> bytes::Bytes {
    let context = format!(r#"{{"id":{id},"peerURLs":["http://{id:x}:1"],"name":"m{id:x}"}}"#);
    let change = raftpb::ConfChange { node_id: id, context: context.into(), ..raftpb::ConfChange::default() };
    change.encode_to_vec().into()
}
