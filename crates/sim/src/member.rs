//! One life of one member: the owners of `member` and the queues between
//! them, as `etcd/src/run.rs` has them on threads. Who changes one reads the
//! other.

use crate::world::Micros;
use disk::SimDisk;
use member::Fault;
use member::boot::{self, Opened, Start};
use member::core::{Applied, Apply, Config, Core, Input};
use member::hub::{self, Hub, Response};
use member::ids::IdMaker;
use member::keeper::Keeper;
use member::log::{Identity, Log};
use raft::{Append, Role};
use std::collections::{BTreeMap, VecDeque};
use store::{ClusterChange, Entry, LeaseChange, Refusal, Reply, Settings, Store, View};

/// Entries after which the store is synced and the log may forget: few, so
/// that members fall behind the log and need snapshots.
pub const SYNC_EVERY: u64 = 64;
/// Entries kept for members that lag.
pub const CATCH_UP_ENTRIES: u64 = 48;
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
    pub keeper: Keeper,
    disk: SimDisk,
    /// Waiting for the log.
    pub log_jobs: Vec<Append>,
    /// The log is writing.
    pub log_busy: bool,
    /// Waiting for the store.
    pub store_jobs: VecDeque<Apply>,
    /// The store is applying.
    pub store_busy: bool,
    /// Makes request ids of this life.
    pub ids: IdMaker,
    /// Revocations under way: request → (lease, asked at).
    pub revokes: BTreeMap<u64, (i64, Micros)>,
    leads: Option<u64>,
    synced: u64,
}

/// What the store has done with one batch.
#[derive(Default)]
pub struct Done {
    /// The entries it applied.
    pub entries: Vec<Entry>,
    /// Answers to requests of this member.
    pub outcomes: Vec<(u64, Result<Reply, Refusal>)>,
    /// Leases granted and revoked.
    pub leases: Vec<LeaseChange>,
}

impl Member {
    /// Opens what the disk holds, or starts anew.
    pub fn open(
        disk: SimDisk,
        identity: Identity,
        start: Start,
        seed: u64,
        now: Micros,
    ) -> Result<Member, Fault> {
        let mut raft = raft::Config::new(identity.member_id, seed);
        raft.election_ticks = ELECTION_TICKS;
        raft.heartbeat_ticks = 1;
        raft.pre_vote = true;
        raft.check_quorum = true;
        let core = Config {
            raft,
            catch_up_entries: CATCH_UP_ENTRIES,
            read_retry_ticks: 5,
            hold_ticks: 70,
            born_ms: now / 1_000,
        };
        let settings = Settings {
            member_id: identity.member_id,
            cluster_id: identity.cluster_id,
            segment_bytes: 32 << 10,
            resident_bytes: 16 << 10,
            ..Settings::default()
        };
        let Opened { core, log, store, .. } = boot::open(disk.clone(), identity, start, core, settings)?;
        let hub_settings = hub::Settings { progress_interval_ms: 2_000, fragment_bytes: 4 << 10 };
        let mut keeper = Keeper::default();
        let leases = store.view();
        keeper.reset(
            leases.leases().map(|(id, lease)| (id, lease.ttl_seconds(), lease.remaining_seconds())),
            now / 1_000,
            election_ms(),
        );
        let (synced, _) = store.applied();
        Ok(Member {
            hub: Hub::new(hub_settings, store.view()),
            core,
            log,
            keeper,
            disk,
            log_jobs: Vec::new(),
            log_busy: false,
            store_jobs: VecDeque::new(),
            store_busy: false,
            ids: IdMaker::new(identity.member_id, now / 1_000),
            revokes: BTreeMap::new(),
            leads: None,
            synced,
            store,
        })
    }

    /// The present moment.
    pub fn view(&self) -> View<SimDisk> {
        self.store.view()
    }

    /// Writes all that waits for the log, as one batch.
    pub fn write_log(&mut self) -> Result<(), Fault> {
        let batch = std::mem::take(&mut self.log_jobs);
        if let Some(mark) = self.log.append(&batch)? {
            self.core.step(Input::Appended(mark));
        }
        Ok(())
    }

    /// The log forgets.
    pub fn release_log(&mut self, index: u64) -> Result<(), Fault> {
        self.log.release(index)
    }

    /// Takes one job for the store.
    pub fn work_store(&mut self, now: Micros) -> Result<Done, Fault> {
        let mut done = Done::default();
        match self.store_jobs.pop_front() {
            None => {}
            Some(Apply::Entries(entries)) => {
                let applied = self.store.apply(&entries, &|_| true)?;
                let changes = applied.roster.iter().filter_map(boot::raft_change).collect();
                self.hub.publish(self.store.view(), &applied.events)?;
                for change in &applied.leases {
                    match *change {
                        LeaseChange::Granted { id, ttl_seconds } => self.keeper.granted(id, ttl_seconds, now / 1_000),
                        LeaseChange::Revoked { id } => self.keeper.revoked(id),
                        LeaseChange::Checkpointed { .. } => {}
                    }
                }
                assert!(
                    applied.roster.iter().all(|change| !matches!(change.change, ClusterChange::Downgrade)),
                    "nobody asks for a downgrade"
                );
                self.core.step(Input::Applied(Applied { index: applied.index, changes }));
                done = Done { entries, outcomes: applied.outcomes, leases: applied.leases };
            }
            Some(Apply::Restore(meta)) => {
                boot::install(&self.disk, &mut self.store, &meta)?;
                let view = self.store.view();
                self.keeper.reset(
                    view.leases().map(|(id, lease)| (id, lease.ttl_seconds(), lease.remaining_seconds())),
                    now / 1_000,
                    election_ms(),
                );
                self.hub.replaced(view);
                self.core.step(Input::Applied(Applied { index: meta.index, changes: Vec::new() }));
                self.core.step(Input::Synced(meta.index));
                self.synced = meta.index;
            }
        }
        let (applied, _) = self.store.applied();
        if applied >= self.synced + SYNC_EVERY {
            self.synced = self.store.sync()?;
            self.core.step(Input::Synced(self.synced));
            self.store.sweep(1 << 20)?;
        }
        Ok(done)
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
        self.revokes.clear();
        match leads {
            Some(term) => self.keeper.lead(term, BTreeMap::new(), now / 1_000, election_ms()),
            None => self.keeper.follow(),
        }
        leads
    }

    /// The image of a snapshot to another member, and where it stands.
    pub fn snapshot(&self) -> Result<(raft::SnapshotMeta, Vec<u8>), Fault> {
        let view = self.store.view();
        let mut image = Vec::new();
        view.image()?
            .write(&mut |bytes| {
                image.extend_from_slice(bytes);
                Ok(())
            })
            .map_err(|error| Fault::Mismatch(format!("writing to memory failed: {error}")))?;
        let conf_state = boot::raft_conf_state(&view.conf_state());
        Ok((raft::SnapshotMeta { index: view.applied(), term: view.term(), conf_state }, image))
    }

    /// Stores a received snapshot under its name.
    pub fn receive_snapshot(&self, index: u64, image: &[u8]) -> std::io::Result<()> {
        use disk::{Disk, DiskFile, OpenMode};
        self.disk.create_dir(boot::dirs::SNAPSHOTS)?;
        let path = boot::snapshot_path(index);
        let part = format!("{path}.part");
        if self.disk.exists(&part)? {
            self.disk.remove(&part)?;
        }
        let file = self.disk.open(&part, OpenMode::Create)?;
        for (number, chunk) in image.chunks(4_096).enumerate() {
            file.write_at(number as u64 * 4_096, &[chunk])?;
        }
        file.sync()?;
        self.disk.rename(&part, &path)?;
        self.disk.sync_dir(boot::dirs::SNAPSHOTS)
    }

    /// What Hub has to say.
    pub fn told(&mut self) -> Vec<(u64, Response)> {
        let mut out = Vec::new();
        self.hub.take(&mut out);
        out
    }
}

fn election_ms() -> u64 {
    u64::from(ELECTION_TICKS) * TICK / 1_000
}
