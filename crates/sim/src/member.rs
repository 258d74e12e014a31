//! One life of one member: the owners of `member` and the queues between
//! them, as `etcd/src/run.rs` has them on threads. Who changes one reads the
//! other.

mod broken;
pub mod house;
mod storing;

use crate::check;
use crate::check::room::{Bounds, Waiting};
use crate::mutant::Mutant;
use crate::record::{Met, Record};
use crate::world::Micros;
use disk::{Disk as _, SimDisk, SimFile};
use house::House;
use member::Fault;
use member::boot::{self, Opened, Receipts, Start};
use member::core::{self, Apply, Config, Core, Input, Proposal};
use member::hub::{self, Hub, Response};
use member::ids::IdMaker;
use member::limits;
use member::log::{Identity, Log};
use prost::Message as _;
use proto::etcdserverpb::{InternalRaftRequest, RequestHeader};
use raft::{Append, Role};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Weak;
use std::sync::Arc;
use store::chain::Link;
use store::{LeaseChange, Refusal, Reply, Settings, Store, View};
use storing::Sync;

pub use storing::Job;

/// How the members of a run keep house. Small numbers, so that members fall
/// behind the log and need snapshots.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Entries after which the store is synced and the log may forget.
    pub sync_every: u64,
    /// Bytes of them after which it is, whatever their number.
    pub sync_bytes: u64,
    /// Entries kept for members that lag.
    pub catch_up_entries: u64,
    /// Length of a segment of the write-ahead log.
    pub log_segment_bytes: u64,
    /// Values that Store holds in memory, in bytes; others are read from the disk.
    pub resident_bytes: usize,
    /// A watch response longer than this comes in parts.
    pub fragment_bytes: usize,
    /// How much Core gathers and keeps.
    pub core: core::Bounds,
    /// Revisions and bytes that one look of Hub at history may pass.
    pub slice: (i64, usize),
    /// A frame of the revision log that has become so long is followed by another one.
    pub frame_bytes: usize,
    /// Bytes that may wait for Store.
    pub backlog_bytes: u64,
    /// Bytes that may wait to be committed.
    pub uncommitted_bytes: usize,
    /// Bytes that may be on their way to one member.
    pub in_flight_bytes: usize,
    /// Bytes of entries in one message to it.
    pub message_bytes: usize,
    /// Time between two checkpoints of a lease, in milliseconds; none: none are made.
    pub checkpoint_ms: Option<u64>,
    /// What this run breaks on purpose.
    pub mutant: Option<Mutant>,
}

impl Habits {
    /// Habits of a run.
    pub fn draw(rng: &mut fastrand::Rng, mutant: Option<Mutant>) -> Habits {
        Habits {
            sync_every: [8, 24, 64, 64][rng.usize(..4)],
            sync_bytes: [4 << 10, SYNC_BYTES, SYNC_BYTES][rng.usize(..3)],
            catch_up_entries: [4, 16, 48, 200][rng.usize(..4)],
            log_segment_bytes: [2 << 10, 8 << 10, 64 << 10][rng.usize(..3)],
            resident_bytes: [512, 4 << 10, 16 << 10][rng.usize(..3)],
            core: draw_core(rng),
            slice: [SLICE, SLICE, (5, SLICE.1), (SLICE.0, 600)][rng.usize(..4)],
            frame_bytes: [200, 2 << 10, FRAME_BYTES][rng.usize(..3)],
            fragment_bytes: [300, 1_000, 4 << 10][rng.usize(..3)],
            checkpoint_ms: [None, None, Some(500), Some(1_500)][rng.usize(..4)],
            backlog_bytes: [2 << 10, 16 << 10, limits::APPLY_BACKLOG_BYTES_MAX][rng.usize(..3)],
            uncommitted_bytes: [8 << 10, 64 << 10, UNCOMMITTED_BYTES_MAX][rng.usize(..3)],
            message_bytes: [150, 2 << 10, MESSAGE_BYTES_MAX][rng.usize(..3)],
            in_flight_bytes: [64 << 10, IN_FLIGHT_BYTES_MAX][rng.usize(..2)],
            mutant,
        }
    }

    /// With room for everything, as it ships.
    pub fn roomy(self) -> Habits {
        Habits {
            backlog_bytes: limits::APPLY_BACKLOG_BYTES_MAX,
            uncommitted_bytes: UNCOMMITTED_BYTES_MAX,
            in_flight_bytes: IN_FLIGHT_BYTES_MAX,
            message_bytes: MESSAGE_BYTES_MAX,
            sync_bytes: SYNC_BYTES,
            core: core::Bounds::default(),
            slice: SLICE,
            frame_bytes: FRAME_BYTES,
            ..self
        }
    }
}

/// As in `etcd/src/boot.rs`: bytes that a leader may have on their way to one member, and that may wait to be committed.
pub const IN_FLIGHT_BYTES_MAX: usize = 32 << 20;
/// As in `raft::Config::new`.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// See [`IN_FLIGHT_BYTES_MAX`].
pub const UNCOMMITTED_BYTES_MAX: usize = 256 << 20;

/// What ships: see `member/src/limits.rs`, and `store::Settings`.
const SLICE: (i64, usize) = (limits::WATCH_CATCH_UP_REVISIONS, limits::WATCH_CATCH_UP_BYTES);
/// See [`SLICE`].
const FRAME_BYTES: usize = 16 << 20;

/// Each bound of Core is what ships, or so small that it is met.
fn draw_core(rng: &mut fastrand::Rng) -> core::Bounds {
    let ships = core::Bounds::default();
    core::Bounds {
        apply_batch: [ships.apply_batch, ships.apply_batch, 3][rng.usize(..3)],
        apply_batch_bytes: [ships.apply_batch_bytes, ships.apply_batch_bytes, 500][rng.usize(..3)],
        tail_bytes: [ships.tail_bytes, ships.tail_bytes, 3_000][rng.usize(..3)],
        held: [ships.held, ships.held, 2][rng.usize(..3)],
        held_bytes: [ships.held_bytes, ships.held_bytes, 300][rng.usize(..3)],
    }
}

/// As in `etcd/src/run/store_loop.rs`.
const SYNC_BYTES: u64 = 32 << 20;

/// A tick, in microseconds: the heartbeat interval.
pub const TICK: Micros = 100_000;
/// Ticks of an election timeout.
pub const ELECTION_TICKS: u32 = 10;

/// A member that runs.
pub struct Member {
    /// Decides.
    pub core: Core,
    log: Log<SimDisk>,
    store: Store<SimDisk>,
    /// Tells.
    pub hub: Hub<SimDisk>,
    /// Counts leases.
    pub house: House,
    disk: SimDisk,
    /// Waiting for the log.
    pub log_jobs: Vec<Append>,
    /// The log is writing.
    pub log_busy: bool,
    /// Waiting for the store.
    pub store_jobs: VecDeque<Job>,
    /// The store is applying.
    pub store_busy: bool,
    /// Waiting for the disk.
    syncs: VecDeque<Sync>,
    /// The disk is syncing for Store.
    pub sync_busy: bool,
    /// Makes request ids of this life.
    pub ids: IdMaker,
    leads: Option<u64>,
    /// Entries up to here are durable in the revision log or on the way.
    asked: u64,
    /// Core knows that entries up to here are durable.
    told: u64,
    /// Bytes of entries since `asked`.
    bytes: u64,
    /// When what was staged was last written.
    flushed: Micros,
    /// Counters of Store and Hub when they were last looked at, and batches applied since then.
    met: Met,
    batches: u64,
    /// What everybody reads.
    published: View<SimDisk>,
    before: View<SimDisk>,
    habits: Habits,
    /// A mutant's: acknowledged and not written.
    unwritten: Vec<Append>,
    /// A mutant's: the file of the first sync, and its length then.
    synced_before: Option<(Arc<SimFile>, u64)>,
    /// A mutant's: what each stream will be told later.
    held: BTreeMap<u64, Response>,
    /// The next value that is put comes to be another one here.
    pub spoils_next: bool,
    /// Snapshots on their way to others, one to each.
    pub under_way: BTreeMap<u64, Weak<Image>>,
    /// How many comparisons of hash chains in a row it could not decide.
    pub undecided: u32,
    receipts: Receipts,
}

/// When a member is born.
#[derive(Clone, Copy, Debug)]
pub struct Born {
    /// What its steady clock says.
    pub now: Micros,
    /// A number by chance, as `etcd/src/clock.rs` draws it.
    pub birth: u64,
}

/// A snapshot on its way.
#[derive(Debug)]
pub struct Image {
    /// Which of the run's it is.
    pub number: u64,
    /// Who sends it: the place and the life.
    pub sender: (usize, u32),
    /// What it holds.
    pub content: Content,
}

/// What a snapshot holds.
#[derive(Clone, Debug)]
pub struct Content {
    /// etcd's database file.
    pub bytes: Vec<u8>,
    /// What the message brings beside it.
    pub beside: Vec<u8>,
}

/// What the store has done with one batch.
#[derive(Default)]
pub struct Done {
    /// Answers to requests of this member.
    pub outcomes: Vec<(u64, Result<Reply, Refusal>)>,
    /// Leases granted and revoked.
    pub leases: Vec<LeaseChange>,
    /// The hash chain after each entry.
    pub links: Vec<(u64, Link)>,
}

impl Member {
    /// Opens what the disk holds, or starts anew.
    pub fn open(
        disk: SimDisk,
        identity: Identity,
        start: Start,
        seed: u64,
        born: Born,
        habits: Habits,
    ) -> Result<Member, Fault> {
        let Born { now, mut birth } = born;
        if habits.mutant == Some(Mutant::WallStandsStill) {
            birth = 1;
        }
        let mut raft = raft::Config::new(identity.member_id, seed);
        raft.election_ticks = ELECTION_TICKS;
        raft.heartbeat_ticks = 1;
        raft.pre_vote = true;
        raft.check_quorum = true;
        raft.lazy_commits = true;
        raft.inflight_bytes_max = habits.in_flight_bytes;
        raft.message_bytes_max = habits.message_bytes.min(habits.in_flight_bytes);
        raft.uncommitted_bytes_max = habits.uncommitted_bytes;
        let core = Config {
            raft,
            catch_up_entries: habits.catch_up_entries,
            read_retry_ticks: 5,
            hold_ticks: 70,
            bounds: habits.core,
            backlog_bytes_max: match habits.mutant {
                Some(Mutant::StoreUnbounded) => u64::MAX,
                _ => habits.backlog_bytes,
            },
            birth,
        };
        let settings = Settings {
            member_id: identity.member_id,
            cluster_id: identity.cluster_id,
            segment_bytes: 32 << 10,
            resident_bytes: habits.resident_bytes,
            frame_bytes: habits.frame_bytes,
            tells_links: true,
            ..Settings::default()
        };
        let Opened { core, log, mut store, .. } =
            boot::open_sized(disk.clone(), identity, start, core, settings, habits.log_segment_bytes)?;
        // Room comes back at the very moment Store finds that there is none.
        let room = disk.clone();
        store.wait_when_full(Box::new(move |_| {
            room.set_faults(disk::SimFaults { capacity_bytes: None, ..room.faults() });
            true
        }));
        let hub_settings = hub::Settings {
            catch_up_revisions: habits.slice.0,
            catch_up_bytes: habits.slice.1,
            ..hub::Settings::new(2_000, habits.fragment_bytes)
        };
        let house = House::new(&store.view(), now, habits.checkpoint_ms, habits.mutant);
        let (asked, _) = store.applied();
        Ok(Member {
            hub: Hub::new(hub_settings, store.view()),
            core,
            log,
            house,
            disk,
            log_jobs: Vec::new(),
            log_busy: false,
            store_jobs: VecDeque::new(),
            store_busy: false,
            syncs: VecDeque::new(),
            sync_busy: false,
            ids: IdMaker::new(identity.member_id, birth),
            leads: None,
            asked,
            told: asked,
            bytes: 0,
            flushed: now,
            met: Met { frames: store.stats().frames, ..Met::default() },
            batches: 0,
            published: store.view(),
            before: store.view(),
            habits,
            unwritten: Vec::new(),
            synced_before: None,
            held: BTreeMap::new(),
            spoils_next: false,
            under_way: BTreeMap::new(),
            undecided: 0,
            receipts: Receipts::default(),
            store,
        })
    }

    /// What may wait in it.
    pub fn bounds(&self) -> Bounds {
        let Habits { backlog_bytes, uncommitted_bytes, in_flight_bytes, .. } = self.habits;
        Bounds { backlog_bytes: backlog_bytes as usize, uncommitted_bytes, in_flight_bytes }
    }

    /// What waits between its parts.
    pub fn waiting(&self) -> Waiting {
        let bytes_of = |append: &Append| append.entries.iter().map(|entry| entry.data.len()).sum::<usize>();
        let status = self.core.status();
        let mut waiting = Waiting {
            appends: self.log_jobs.len(),
            append_bytes: self.log_jobs.iter().map(bytes_of).sum(),
            held: status.held,
            held_bytes: status.held_bytes,
            ..Waiting::default()
        };
        for job in &self.store_jobs {
            if let Job::Apply(Apply::Entries(entries)) = job {
                waiting.entries += entries.len();
                waiting.entry_bytes += entries.iter().map(|entry| entry.data.len()).sum::<usize>();
            }
        }
        waiting
    }

    /// What Core and Hub keep, which is looked at now and then.
    pub fn kept(&self) -> Waiting {
        let status = self.core.raft_status();
        Waiting {
            tail_bytes: status.tail_bytes,
            in_flight_bytes: status.peers.values().map(|peer| peer.inflight_bytes).max().unwrap_or(0),
            watch_bytes: self.hub.stats().most_pending_bytes,
            ..Waiting::default()
        }
    }

    /// What has met a bound since this was last asked.
    pub fn met_bounds(&mut self) -> Met {
        let bounds = self.habits.core;
        let (frames, slices) = (self.store.stats().frames, self.hub.stats().cut_slices);
        let met = Met {
            tails: u64::from(self.core.raft_status().tail_bytes as u64 > bounds.tail_bytes),
            frames: (frames - self.met.frames).saturating_sub(self.batches),
            slices: slices - self.met.slices,
            ..Met::default()
        };
        (self.met.frames, self.met.slices, self.batches) = (frames, slices, 0);
        met
    }

    /// Whether a batch for Store is as large as may be.
    pub fn is_full_batch(&self, entries: &[store::Entry]) -> bool {
        let bytes = entries.iter().map(|entry| entry.data.len()).sum::<usize>();
        entries.len() >= self.habits.core.apply_batch || bytes >= self.habits.core.apply_batch_bytes
    }

    /// The moment that is published.
    pub fn view(&self) -> View<SimDisk> {
        self.published.clone()
    }

    /// The moment that Store is at; for the checkers.
    pub fn present(&self) -> View<SimDisk> {
        self.store.view()
    }

    /// Whether it believes to lead.
    pub fn leads(&self) -> bool {
        self.leads.is_some()
    }

    /// Whether this run breaks a rule.
    pub fn breaks(&self, rule: Mutant) -> bool {
        self.habits.mutant == Some(rule)
    }

    /// Writes all that waits for the log, as one batch.
    pub fn write_log(&mut self, record: &mut Record) -> Result<(), Fault> {
        let mut batch = std::mem::take(&mut self.log_jobs);
        let id = self.log.identity().member_id;
        if self.breaks(Mutant::AcknowledgesBeforeWriting) {
            let mark = batch.last().map(|last| last.mark);
            std::mem::swap(&mut batch, &mut self.unwritten);
            check::raft::writes(record, id, &batch);
            self.log.append(&batch)?;
            check::raft::wrote(record, id, &batch, true);
            mark.into_iter().for_each(|mark| self.core.step(Input::Appended(mark)));
            return Ok(());
        }
        for append in &mut batch {
            if self.habits.mutant == Some(Mutant::SkipsSync) {
                append.must_sync = false;
            }
            if self.habits.mutant == Some(Mutant::ForgetsVotes) {
                append.hard_state = None;
            }
        }
        check::raft::writes(record, id, &batch);
        let written = self.log.append(&batch);
        if !written.as_ref().is_err_and(|fault| !fault.is_full()) {
            check::raft::wrote(record, id, &batch, written.is_ok());
        }
        if written.is_ok() && batch.iter().any(|append| append.must_sync) {
            check::raft::is_durable(id, &self.disk);
        }
        match written {
            Ok(mark) => mark.into_iter().for_each(|mark| self.core.step(Input::Appended(mark))),
            Err(fault) if fault.is_full() && self.breaks(Mutant::FullMeansDone) => {
                batch.last().into_iter().for_each(|last| self.core.step(Input::Appended(last.mark)));
            }
            Err(fault) if fault.is_full() => {
                // Nothing was written; the same batch again, a little later.
                batch.append(&mut self.log_jobs);
                self.log_jobs = batch;
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    /// An orderly stop: what waits for the log is written, and both logs are closed.
    pub fn stop(mut self, record: &mut Record) -> Result<(), Fault> {
        self.write_log(record)?;
        // As in production: one that could not be closed in order is told, and nothing is lost.
        let _ = self.log.close();
        self.store.sync()?;
        Ok(())
    }

    /// The log forgets.
    pub fn release_log(&mut self, index: u64) -> Result<(), Fault> {
        self.log.release(index)
    }

    /// Keeper learns whether this member leads; returns the term if it has
    /// just begun to.
    pub fn notice_leadership(&mut self, now: Micros) -> Option<u64> {
        let status = self.core.status();
        let leads = (status.role == Role::Leader).then_some(status.term);
        if leads == self.leads {
            return None;
        }
        self.leads = leads;
        self.house.leads(leads, &self.store.view(), now);
        leads
    }

    /// The image of a snapshot to another member, and where it stands.
    pub fn snapshot(&self) -> Result<(raft::SnapshotMeta, Content), Fault> {
        let view = self.store.view();
        let plan = view.image()?;
        let mut image = Vec::new();
        plan.write(&mut |bytes| {
            image.extend_from_slice(bytes);
            Ok(())
        })
        .map_err(|error| Fault::Mismatch(format!("writing to memory failed: {error}")))?;
        let conf_state = boot::raft_conf_state(&view.conf_state());
        let index = view.applied() - u64::from(self.breaks(Mutant::SnapshotMisplaced));
        let meta = raft::SnapshotMeta { index, term: view.term(), conf_state };
        Ok((meta, Content { bytes: image, beside: plan.beside() }))
    }

    /// A command of its own or of a client.
    pub fn propose(&mut self, id: u64, mut request: InternalRaftRequest, only_in: Option<u64>) {
        request.header = Some(RequestHeader { id, ..RequestHeader::default() });
        self.core.step(Input::Propose(Proposal { id, data: request.encode_to_vec().into(), only_in }));
    }

    /// A snapshot to another member has arrived there; false if that is not the one that is under way.
    pub fn has_arrived(&mut self, to: u64, number: u64) -> bool {
        let is_this = |image: &Weak<Image>| image.upgrade().is_none_or(|image| image.number == number);
        if !self.under_way.get(&to).is_some_and(is_this) {
            return false;
        }
        self.under_way.remove(&to);
        true
    }

    /// Members that do not get what was on its way to them: it was lost.
    pub fn lost_snapshots(&mut self) -> Vec<u64> {
        let lost: Vec<u64> =
            self.under_way.iter().filter(|(_, image)| image.strong_count() == 0).map(|(&to, _)| to).collect();
        self.under_way.retain(|_, image| image.strong_count() > 0);
        lost
    }

    /// A snapshot that has come is of no use.
    pub fn discard_snapshot(&mut self, index: u64) -> std::io::Result<()> {
        self.receipts.discard(&self.disk, index, self.published.applied())
    }

    /// Stores a received snapshot under its name. Of one that cannot be stored nothing is left, but on a disk that removes
    /// nothing either.
    pub fn receive_snapshot(&mut self, index: u64, image: &Content) -> std::io::Result<()> {
        let (part, file) = boot::begin_snapshot(&self.disk, index, 0)?;
        let stored = self.store_snapshot(index, image, &part, &file);
        if stored.is_err() {
            let _ = self.disk.remove(&part);
        }
        stored
    }

    fn store_snapshot(&mut self, index: u64, image: &Content, part: &str, file: &disk::SimFile) -> std::io::Result<()> {
        use disk::DiskFile;
        for (number, chunk) in image.bytes.chunks(4_096).enumerate() {
            file.write_at(number as u64 * 4_096, &[chunk])?;
        }
        if !self.breaks(Mutant::SnapshotUnsynced) {
            file.sync()?;
        }
        boot::check_image(&self.disk, part, &image.beside).map_err(std::io::Error::other)?;
        self.receipts.name(&self.disk, part, index, &image.beside)
    }

    /// What Hub has to say.
    pub fn told(&mut self) -> Vec<(u64, Response)> {
        let mut out = Vec::new();
        self.hub.take(&mut out);
        self.break_told(out)
    }
}
