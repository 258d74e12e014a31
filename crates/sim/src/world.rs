//! The world: what happens next, to whom, until all is checked.

mod beyond;
mod clients;
mod comparing;
mod directed;
mod keeping;
mod operator;
mod queue;
mod trouble;
mod watchers;

use crate::chance::{Chances, between};
use crate::check;
use crate::check::room::Waiting;
use crate::faults::{Fault, Plan};
use crate::load::Mix;
use crate::member::{Habits, Image, Member, TICK};
use crate::mutant::Mutant;
use crate::net::{Net, Weather};
use crate::record::{Counts, Record};
use crate::trace::Trace;
use clients::Client;
use disk::{SimDisk, SimFaults};
use member::core::{Apply, Input, Outputs};
use member::hub::Response;
use prost::Message as _;
use proto::etcdserverpb::InternalRaftRequest;
use proto::raftpb;
use queue::Queue;
use raft::{Message, MessageKind};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};
use watchers::Watcher;

/// Simulated time since the beginning, in microseconds.
pub type Micros = u64;

const SECOND: Micros = 1_000_000;
/// After the faults have ended the cluster must come to rest within this.
const REST: Micros = 180 * SECOND;
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
    /// Members of the cluster.
    pub members: usize,
    /// What was done.
    pub counts: Counts,
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
    Deliver(usize, Box<Message>, Option<Rc<Image>>),
    SnapshotSent(usize, u32, u64, bool),
    Restart(usize),
    Ask(usize),
    GiveUp(usize, u64),
    Connect(usize),
    /// A stream of a life of a member has read a response of so many bytes.
    Credit(usize, u32, u64, usize),
    Fault,
    /// The operator looks at who belongs to the cluster.
    Operate,
    /// A life of a member compares its hash chain with its neighbours'.
    Compare(usize, u32),
    /// A link between two members changes, so many times more.
    Flap(usize, usize, u32),
    /// A full disk has room again.
    Room(usize, u32),
}

/// A member's place: its machine outlives its processes.
struct Slot {
    id: u64,
    disk: SimDisk,
    life: u32,
    alive: Option<Box<Member>>,
    paused_until: Micros,
    slow_until: Micros,
    store_slow_until: Micros,
    /// Its disk fails on purpose.
    bad_disk: bool,
    /// Bits have turned on its disk: it is thrown away when the process ends.
    rotten: bool,
    /// It has ended on a disk that rots, or has lost it, and nobody replaces it.
    down: bool,
    /// Its first start in this place is a joining of the others.
    joins: bool,
    /// It is meant to learn and never to vote.
    learner: bool,
    /// Its machine loses power when it has given its next vote.
    dies_at_vote: bool,
    /// Its process dies after giving out so many more things.
    outputs_left: Option<u32>,
    stalled_until: Micros,
    full_until: Micros,
    clients_cut_until: Micros,
    answers_lost_until: Micros,
    /// How many of its next processes end soon after their start.
    crashes_left: u32,
    frozen_until: Micros,
    /// How wrong its wall clock is.
    wall_offset_ms: i64,
    /// Its clock runs this much faster or slower.
    tick: Micros,
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
    image_before: Option<Rc<Image>>,
    /// A mutant's: requests that were asked again, and the first of each.
    asked_before: BTreeMap<u64, u64>,
    /// What streams were told that no watcher has.
    apart: BTreeMap<u64, Vec<Response>>,
    record: Record,
    trace: Trace,
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
        let mut slots: Vec<Slot> = (0..count)
            .map(|_| Slot {
                id: chances.births.u64(1..=u64::MAX),
                disk: SimDisk::new(chances.births.u64(..), SimFaults::default()),
                life: 0,
                alive: None,
                paused_until: 0,
                slow_until: 0,
                store_slow_until: 0,
                bad_disk: false,
                rotten: false,
                down: false,
                joins: false,
                learner: false,
                dies_at_vote: false,
                outputs_left: None,
                stalled_until: 0,
                full_until: 0,
                clients_cut_until: 0,
                answers_lost_until: 0,
                crashes_left: 0,
                frozen_until: 0,
                wall_offset_ms: 0,
                tick: TICK - 4_000 + chances.births.u64(0..8_000),
            })
            .collect();
        if count >= 4 && !plan.is_none() && chances.births.bool() {
            let last = slots.last_mut().expect("four or more");
            (last.joins, last.learner) = (true, chances.births.bool());
        }
        let mut ids: Vec<u64> = slots.iter().filter(|slot| !slot.joins).map(|slot| slot.id).collect();
        ids.sort_unstable();
        let mut world = World {
            now: 1,
            queue: Queue::default(),
            net: Net::new(weather),
            plan,
            habits: Habits::draw(&mut chances.faults, settings.mutant),
            mix: Mix::default(),
            client_rest: [5_000, 20_000, 60_000, 250_000][chances.load.usize(..4)],
            clients_at: None,
            watches_at: None,
            slots,
            first_changes: ids.iter().map(|&id| first_change(id)).collect(),
            clients: (0..chances.load.usize(2..8)).map(|_| Client::default()).collect(),
            watchers: watchers::draw(&mut chances.load),
            next_stream: 1,
            pending: BTreeMap::new(),
            storm_ends: settings.storm,
            calm: false,
            beyond: settings.beyond,
            quick_restarts: false,
            chains_unwatched: false,
            images: Vec::new(),
            image_before: None,
            asked_before: BTreeMap::new(),
            apart: BTreeMap::new(),
            record: Record::default(),
            trace: Trace::new(settings.tell),
            chances,
        };
        for slot in 0..count {
            let at = world.chances.births.u64(1..BOOT_SPREAD);
            world.at(at, Event::Restart(slot));
        }
        for client in 0..world.clients.len() {
            world.at(SECOND, Event::Ask(client));
        }
        for watcher in 0..world.watchers.len() {
            world.at(SECOND * 2, Event::Connect(watcher));
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

    /// Ends the faults, waits for rest, and checks all that was promised.
    ///
    /// # Panics
    /// When a promise was broken.
    pub fn finish(self) -> Outcome {
        self.finish_noting(|| {})
    }

    /// [`World::finish`], and a word in between: all is at rest, and nothing has been checked yet.
    ///
    /// # Panics
    /// When a promise was broken.
    pub fn finish_noting(mut self, at_rest: impl FnOnce()) -> Outcome {
        self.rest();
        at_rest();
        check::all(&self.record, self.views());
        for (slot, place) in self.slots.iter().enumerate() {
            check::room::at_rest(slot, &place.disk);
        }
        self.outcome()
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            trace_hash: self.trace.hash(),
            happenings: self.trace.lines(),
            simulated: self.now,
            members: self.slots.len(),
            counts: self.record.counts,
            most_waiting: self.record.most_waiting,
            halted: self.has_halted(),
        }
    }

    /// No more faults, no more load: everything that was begun must end, and
    /// all members must come to the same state.
    fn rest(&mut self) {
        self.calm = true;
        self.net = Net::new(Weather::fair());
        for slot in 0..self.slots.len() {
            self.slots[slot].paused_until = 0;
            self.slots[slot].slow_until = 0;
            self.slots[slot].store_slow_until = 0;
            self.slots[slot].disk.set_faults(SimFaults::default());
            self.slots[slot].bad_disk = false;
            (self.slots[slot].outputs_left, self.slots[slot].dies_at_vote) = (None, false);
            self.slots[slot].clients_cut_until = 0;
            self.slots[slot].answers_lost_until = 0;
            if self.slots[slot].rotten {
                self.crash(slot, false);
            }
        }
        let deadline = self.now + REST;
        let mut look = self.now + SECOND;
        while let Some((at, event)) = self.queue.pop_before(deadline) {
            self.now = at;
            self.happen(event);
            if self.now >= look {
                look = self.now + SECOND;
                if self.is_at_rest() {
                    return;
                }
            }
        }
        let states: Vec<String> = self.slots.iter().map(|slot| slot.describe()).collect();
        let open: Vec<&Client> = self.clients.iter().filter(|client| client.open.is_some()).collect();
        panic!(
            "the faults ended {} s ago and the cluster has not come to rest: {states:#?}; open requests {open:?}; watchers {:?}",
            REST / SECOND,
            self.watchers
        );
    }

    fn is_at_rest(&self) -> bool {
        let mut applied = BTreeSet::new();
        for slot in &self.slots {
            let Some(member) = &slot.alive else { return false };
            let status = member.core.status();
            if status.leader == 0 || status.applied != status.commit {
                return false;
            }
            applied.insert(status.applied);
        }
        let revision = self.slots[0].alive.as_ref().map_or(0, |member| member.present().revision());
        applied.len() == 1
            && self.leader().is_some_and(|leader| self.next_change(leader).is_none())
            && self.clients.iter().all(|client| client.open.is_none())
            && self.watchers.iter().all(|watcher| watcher.has_seen(revision))
    }

    /// The last moment of every member.
    fn views(&self) -> Vec<store::View<SimDisk>> {
        self.slots.iter().filter_map(|slot| slot.alive.as_ref()).map(|member| member.present()).collect()
    }

    fn at(&mut self, time: Micros, event: Event) {
        self.queue.push(time, event);
    }

    fn happen(&mut self, event: Event) {
        if let Some(slot) = event.concerns()
            && self.slots[slot].paused_until > self.now
        {
            // A stopped process: everything waits for it.
            let until = self.slots[slot].paused_until;
            return self.at(until, event);
        }
        match event {
            Event::Tick(slot, life) => self.tick(slot, life),
            Event::Log(slot, life) => self.write_log(slot, life),
            Event::Store(slot, life) => self.work_store(slot, life),
            Event::Deliver(slot, message, image) => self.deliver(slot, *message, image),
            Event::SnapshotSent(slot, life, to, ok) => {
                if let Some(member) = self.life(slot, life) {
                    member.core.step(Input::SnapshotSent(to, ok));
                    self.settle(slot);
                }
            }
            Event::Restart(slot) => self.restart(slot),
            Event::Ask(client) => self.ask(client),
            Event::GiveUp(client, number) => self.give_up(client, number),
            Event::Connect(watcher) => self.connect(watcher),
            Event::Credit(slot, life, stream, bytes) => self.read(slot, life, stream, bytes),
            Event::Fault => self.fault(),
            Event::Operate => self.operate(),
            Event::Compare(slot, life) => self.compare(slot, life),
            Event::Flap(from, to, left) => self.flap(from, to, left),
            Event::Room(slot, life) => {
                if self.life(slot, life).is_some() {
                    self.slots[slot].disk.set_faults(SimFaults::default());
                }
            }
        }
    }

    /// The member in a slot, if it is still in this life.
    fn life(&mut self, slot: usize, life: u32) -> Option<&mut Member> {
        let slot = &mut self.slots[slot];
        if slot.life == life { slot.alive.as_deref_mut() } else { None }
    }

    fn tick(&mut self, slot: usize, life: u32) {
        let now = self.now;
        let frozen_until = self.slots[slot].frozen_until;
        let calm = self.calm;
        let Some(member) = self.life(slot, life) else { return };
        if frozen_until > now && !calm {
            return self.at(frozen_until, Event::Tick(slot, life));
        }
        member.core.step(Input::Tick);
        member.hub.tick(now / 1_000);
        for _ in 0..4 {
            if member.hub.has_work()
                && let Err(fault) = member.hub.catch_up()
            {
                return self.failed(slot, &fault.to_string());
            }
        }
        let (wanted, kept) = (member.house.look(now), member.kept());
        check::room::settled(&mut self.record, &kept);
        wanted.into_iter().for_each(|wanted| self.keep_house_by(slot, wanted));
        let next = now + self.slots[slot].tick;
        self.at(next, Event::Tick(slot, life));
        self.settle(slot);
    }

    fn write_log(&mut self, slot: usize, life: u32) {
        let Some(member) = self.life(slot, life) else { return };
        member.log_busy = false;
        if let Err(fault) = member.write_log() {
            return self.failed(slot, &fault.to_string());
        }
        self.settle(slot);
    }

    fn work_store(&mut self, slot: usize, life: u32) {
        let now = self.now;
        let Some(member) = self.life(slot, life) else { return };
        member.store_busy = false;
        let done = match member.work_store(now) {
            Ok(done) => done,
            Err(fault) => return self.failed(slot, &fault.to_string()),
        };
        for (index, link) in done.links.iter().filter(|_| !self.chains_unwatched) {
            check::chain::applied(&mut self.record, slot, *index, *link);
        }
        for change in &done.leases {
            check::lease::changed(&mut self.record, now, change);
        }
        for change in &done.leases {
            check::ends::told(&mut self.record, (slot, life), change);
        }
        for (id, outcome) in done.outcomes {
            self.answered_write(slot, id, outcome);
        }
        self.settle(slot);
    }

    fn deliver(&mut self, slot: usize, message: Message, image: Option<Rc<Image>>) {
        if message.to != self.slots[slot].id {
            return; // For the member that had this place before.
        }
        if let (Some(image), Some(snapshot)) = (&image, &message.snapshot) {
            if !self.calm && self.plan.strikes_snapshots(&mut self.chances.faults) {
                // The most delicate moment of a member's life.
                let operations = self.chances.faults.u64(1..40);
                self.befall(Fault::PowerLossSoon(slot, operations));
            }
            let Some(member) = self.slots[slot].alive.as_mut() else { return };
            if let Err(error) = member.receive_snapshot(snapshot.meta.index, image) {
                return self.failed(slot, &error.to_string());
            }
        }
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        self.trace.note(self.now, [1, slot as u64, message.kind as u64 ^ (message.index << 8)], || {
            format!(
                "m{slot} gets {:?} from {:x} term {} index {}",
                message.kind, message.from, message.term, message.index
            )
        });
        member.core.step(Input::Message(message));
        self.settle(slot);
    }

    /// Hands on what a member's parts have ready.
    fn settle(&mut self, slot: usize) {
        // Once: of what is handed on only a renewal can give a member more to say, and that has time until its next tick.
        if let Some(member) = self.slots[slot].alive.as_mut() {
            let mut outputs = Outputs::default();
            member.core.take(&mut outputs);
            if let Some(term) = member.notice_leadership(self.now) {
                let id = self.slots[slot].id;
                self.trace.note(self.now, [2, slot as u64, term], || format!("m{slot} leads term {term}"));
                self.record.leads(term, id);
            }
            if !outputs.is_empty() {
                self.hand_on(slot, outputs);
            }
        }
        if let Some(member) = &self.slots[slot].alive {
            check::room::settled(&mut self.record, &member.waiting());
        }
        self.begin_work(slot);
        self.tell_renewals(slot);
        self.tell_watchers(slot);
    }

    /// All of it, or up to where the member dies.
    fn hand_on(&mut self, slot: usize, outputs: Outputs) {
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
        // There are no strangers here: whoever contradicts another is wrong.
        assert!(strange.is_empty(), "m{slot} hears what cannot be: {strange:?}");
        for message in messages {
            if self.dies_at_output(slot) {
                return;
            }
            let votes = message.kind == MessageKind::VoteResp && !message.reject;
            self.send(slot, message);
            if votes && std::mem::take(&mut self.slots[slot].dies_at_vote) {
                self.crash(slot, true);
            }
            if self.slots[slot].alive.is_none() {
                return;
            }
        }
        if self.dies_at_output(slot) {
            return;
        }
        let member = self.slots[slot].alive.as_mut().expect("it has just given outputs");
        member.log_jobs.extend(appends);
        for apply in applies {
            if let Apply::Entries(entries) = &apply {
                entries.iter().for_each(|entry| self.record.commits(slot, entry));
            }
            member.store_jobs.push_back(apply);
        }
        for index in unwanted_snapshots {
            if let Err(error) = member.discard_snapshot(index) {
                return self.failed(slot, &error.to_string());
            }
        }
        if let Some(index) = release
            && let Err(fault) = member.release_log(index)
        {
            return self.failed(slot, &fault.to_string());
        }
        for id in reads {
            self.answered_read(slot, id);
        }
        for (id, _) in failed_reads.into_iter().chain(turned_back) {
            self.turned_back(slot, id);
        }
    }

    /// A command at a member, if it runs, for whose answer nobody waits.
    fn propose(&mut self, slot: usize, request: InternalRaftRequest) {
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        let id = member.ids.next_id();
        member.propose(id, request, None);
        self.settle(slot);
    }

    /// Log and Store take up what waits for them.
    fn begin_work(&mut self, slot: usize) {
        let place = &mut self.slots[slot];
        let Some(member) = place.alive.as_mut() else { return };
        let mut begin = Vec::new();
        if !member.log_jobs.is_empty() && !member.log_busy {
            member.log_busy = true;
            let mut slow = if place.slow_until > self.now { 400_000 } else { 0 };
            slow += if place.full_until > self.now { 50_000 } else { 0 };
            slow += place.stalled_until.saturating_sub(self.now);
            begin.push((between(&mut self.chances.disk, 50, 3_000) + slow, Event::Log(slot, place.life)));
        }
        if !member.store_jobs.is_empty() && !member.store_busy {
            member.store_busy = true;
            let mut slow = if place.store_slow_until > self.now { 150_000 } else { 0 };
            slow += place.stalled_until.saturating_sub(self.now);
            begin.push((between(&mut self.chances.disk, 10, 500) + slow, Event::Store(slot, place.life)));
        }
        for (wait, event) in begin {
            self.at(self.now + wait, event);
        }
    }

    fn send(&mut self, from: usize, mut message: Message) {
        let Some(to) = self.slots.iter().position(|slot| slot.id == message.to) else { return };
        if message.kind == MessageKind::TimeoutNow && self.habits.mutant == Some(Mutant::KeepsOffice) {
            return;
        }
        let mut arrivals = self.net.arrivals(&mut self.chances.net, self.now, from, to);
        if message.kind == MessageKind::Prop {
            // A stream delivers at most once, and nobody sends a proposal
            // again: twice in the log would be twice carried out.
            arrivals.truncate(1);
        }
        let mut image = None;
        if message.kind == MessageKind::Snap {
            let member = self.slots[from].alive.as_ref().expect("the sender lives");
            let (meta, bytes) = match member.snapshot() {
                Ok(made) => made,
                Err(fault) => return self.failed(from, &fault.to_string()),
            };
            self.record.counts.snapshots += 1;
            message.snapshot = Some(raft::Snapshot { meta, data: bytes::Bytes::new() });
            let made = Rc::new(bytes);
            self.images.retain(|image| image.strong_count() > 0);
            self.images.push(Rc::downgrade(&made));
            let size = |image: Rc<Image>| image.bytes.len() + image.beside.len();
            let snapshot_bytes = self.images.iter().filter_map(Weak::upgrade).map(size).sum();
            check::room::settled(&mut self.record, &Waiting { snapshot_bytes, ..Waiting::default() });
            let before = self.image_before.replace(made.clone());
            let stale = before.filter(|_| self.habits.mutant == Some(Mutant::SnapshotOfBefore));
            image = Some(stale.unwrap_or(made));
            let (life, at) = (self.slots[from].life, self.now + 30_000);
            self.at(at, Event::SnapshotSent(from, life, message.to, !arrivals.is_empty()));
        }
        let Some(last) = arrivals.pop() else { return };
        for wait in arrivals {
            let event = Event::Deliver(to, Box::new(message.clone()), image.clone());
            self.at(self.now + wait, event);
        }
        self.at(self.now + last, Event::Deliver(to, Box::new(message), image));
    }
}

impl Event {
    /// Whose process this needs.
    fn concerns(&self) -> Option<usize> {
        match self {
            Event::Tick(slot, _)
            | Event::Log(slot, _)
            | Event::Store(slot, _)
            | Event::Deliver(slot, ..)
            | Event::SnapshotSent(slot, ..)
            | Event::Compare(slot, _)
            | Event::Credit(slot, ..) => Some(*slot),
            Event::Restart(_)
            | Event::Ask(_)
            | Event::GiveUp(..)
            | Event::Connect(_)
            | Event::Fault
            | Event::Operate
            | Event::Flap(..)
            | Event::Room(..) => None,
        }
    }
}

impl Slot {
    fn describe(&self) -> String {
        match &self.alive {
            None => format!("{:x}: down, life {}", self.id, self.life),
            Some(member) => format!("{:?} {:?}", member.core.status(), member.core.raft_status()),
        }
    }
}

/// The entry that adds a first member.
fn first_change(id: u64) -> bytes::Bytes {
    let context = format!(r#"{{"id":{id},"peerURLs":["http://{id:x}:1"],"name":"m{id:x}"}}"#);
    let change = raftpb::ConfChange { node_id: id, context: context.into(), ..raftpb::ConfChange::default() };
    change.encode_to_vec().into()
}
