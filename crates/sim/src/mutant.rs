//! Mutants: the driver with one promise broken on purpose.
//!
//! A simulator that finds nothing proves something only if it finds what is
//! there. Each mutant breaks one rule of ARCHITECTURE.md in the simulator's
//! own driver, never in a crate that ships, and a test demands that it is
//! caught within a few seeds, of the world at large or of the scenario that
//! tells its story.

use crate::scenario::{self, Scenario, Story};
use crate::world::{Settings, run};

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The log says "durable" first and writes with the next batch.
    AcknowledgesBeforeWriting,
    /// The log writes and never syncs.
    SkipsSync,
    /// The log writes entries and leaves terms and votes out.
    ForgetsVotes,
    /// Core is told that Store is durable when it has only applied.
    LogForgetsEarly,
    /// Answers and reads come from the View of one batch before.
    PublishesLate,
    /// A linearizable read takes the View at once.
    ReadsWithoutRound,
    /// Hub is not told of one event in twenty.
    DropsEvents,
    /// Hub is not told that a snapshot has replaced Store.
    SnapshotUnheard,
    /// A watch resumes one revision late.
    ResumesLate,
    /// Leases end three seconds early.
    ExpiresEarly,
    /// A renewal is answered and does not move the deadline.
    RenewalsUnheard,
    /// One member leaves one put in fifty out.
    SkipsEntry,
    /// A snapshot is named before its bytes are durable.
    SnapshotUnsynced,
    /// A watch is told some events twice (etcd #15248).
    DoublesEvents,
    /// Hub is told the events of a batch backwards.
    SwapsEvents,
    /// Progress leaves before the events it speaks for (etcd #15220).
    ProgressOvertakes,
    /// All but the last part of a response is lost.
    LosesFragments,
    /// After a snapshot everybody still reads the moment before it.
    RestoreUnpublished,
    /// One member carries an entry out again in place of the next (etcd #14685).
    RepeatsEntry,
    /// A renewal of a lease that has ended is answered (etcd #20615).
    RenewsTheDead,
    /// Every life has the same birth, so ids come again.
    WallStandsStill,
    /// One member does not tell raft of changes of the configuration.
    ForgetsChanges,
    /// A snapshot says one index less than it holds (etcd #13922).
    SnapshotMisplaced,
    /// One member leaves compactions out (etcd #17780).
    SkipsCompaction,
    /// One member leaves a lease in five out (etcd #13932).
    SkipsGrant,
    /// One member leaves alarms out (etcd #14429).
    SkipsAlarm,
    /// One member turns a bit of one value in fifty.
    FlipsBit,
    /// Hub is not told of one deletion in four (etcd #18089).
    DropsDeletions,
    /// A disk that is full counts as one that has written (etcd #4744).
    FullMeansDone,
    /// One member leaves leases with negative ids out (etcd #14239).
    DropsNegativeLeases,
    /// One member leaves the ranges of transactions out (etcd #18667).
    StripsReads,
    /// A leader that was deposed goes on ending leases (etcd #12528).
    DeposedExpires,
    /// A new leader gives every lease one second (etcd #13508).
    ForgetsTtls,
    /// A watch is not told that a compaction has ended it (etcd #17529).
    CompactedUntold,
    /// Keeper forgets which ends of leases it has proposed.
    EndsTwice,
    /// A renewal is answered while a checkpoint that says less stands.
    RenewsOverCheckpoints,
    /// A checkpoint says that a lease has one second left.
    CheckpointsTooLittle,
    /// On one member an alarm that is raised again stands there twice (etcd #13475).
    AlarmsTwice,
    /// One member leaves out alarms that name nobody (etcd #14530).
    DropsAlarmsOfNobody,
    /// A client that hears nothing asks again and takes the answer for that of the first time (etcd #14890).
    RetriesBlindly,
    /// What is left of a message when its connection breaks is taken for a whole one.
    TornMessages,
    /// Who has lost its disk comes back under its old id, with nothing.
    ComesBackEmpty,
    /// Who has ended on a disk that rots starts on it again (etcd #14102).
    ComesBackRotten,
    /// Names of segments of the write-ahead log are not made durable (etcd #6368).
    NamesUnsynced,
    /// Names of what a sweep has made, and what it has removed, are not made durable (etcd #11613).
    SweepsUnsynced,
    /// A snapshot's position is the present one, its content that of the one before (etcd #20271).
    SnapshotOfBefore,
    /// A leader whose disk stands still does not hand over (etcd #15247).
    KeepsOffice,
    /// What a watch has not read counts as read (etcd #16839).
    UnboundedWatch,
    /// A watch from revision −1 begins at the beginning (etcd #20707).
    MinusOneIsFirst,
    /// The end of one lease in five is never proposed.
    ForgetsEnds,
    /// Who has ended a lease is told that it was not there.
    DeniesEnds,
    /// Store may be as far behind as it likes.
    StoreUnbounded,
    /// A sync of Store makes durable what is only staged.
    SyncsUnwritten,
    /// A late answer to a heartbeat counts as one to the newest (etcd #20418).
    LateAnswersCount,
    /// A lease ends as soon as its last millisecond has begun.
    EndsWithinItsLast,
    /// A renewal is answered however old the proof is that this member leads.
    OldProofs,
    /// A watch that wants no puts, or no deletions, is told them.
    IgnoresFilters,
    /// A watch of the future begins now.
    FutureIsNow,
    /// A watch from now on begins with the last that happened.
    NowIsBefore,
    /// Who asks how far a stream is, is told how far the member is.
    ProgressOfTheView,
    /// Values of before are left out of one event in ten.
    ForgetsPrevious,
    /// Parts come to who has not asked for them.
    FragmentsAll,
}

/// Where a mutant is looked for.
#[derive(Clone, Copy)]
pub enum Stage {
    /// The world as `cargo x sim` runs it.
    World,
    /// One scenario.
    Told(Scenario),
}

/// Those that must be caught, where, and by one of the first how many seeds.
pub const ALL: [(Mutant, Stage, u64); 62] = [
    (Mutant::AcknowledgesBeforeWriting, Stage::World, 12),
    (Mutant::SkipsSync, Stage::World, 8),
    (Mutant::ForgetsVotes, Stage::Told(scenario::votes_forgotten::run), 12),
    (Mutant::LogForgetsEarly, Stage::World, 30),
    (Mutant::PublishesLate, Stage::World, 8),
    (Mutant::ReadsWithoutRound, Stage::World, 8),
    (Mutant::DropsEvents, Stage::World, 8),
    (Mutant::SnapshotUnheard, Stage::Told(scenario::watch_across_snapshot::run), 8),
    (Mutant::ResumesLate, Stage::World, 8),
    (Mutant::ExpiresEarly, Stage::World, 8),
    (Mutant::RenewalsUnheard, Stage::World, 30),
    (Mutant::SkipsEntry, Stage::World, 8),
    (Mutant::SnapshotUnsynced, Stage::Told(scenario::snapshot_cut_short::run), 16),
    (Mutant::DoublesEvents, Stage::Told(scenario::doubled_events::run), 8),
    (Mutant::SwapsEvents, Stage::World, 8),
    (Mutant::ProgressOvertakes, Stage::Told(scenario::progress_under_load::run), 8),
    (Mutant::LosesFragments, Stage::World, 24),
    (Mutant::RestoreUnpublished, Stage::Told(scenario::restored_and_read::run), 8),
    (Mutant::RepeatsEntry, Stage::World, 8),
    (Mutant::RenewsTheDead, Stage::Told(scenario::renewal_near_the_end::run), 8),
    (Mutant::WallStandsStill, Stage::World, 8),
    (Mutant::ForgetsChanges, Stage::World, 8),
    (Mutant::SnapshotMisplaced, Stage::World, 8),
    (Mutant::SkipsCompaction, Stage::World, 8),
    (Mutant::SkipsGrant, Stage::World, 8),
    (Mutant::SkipsAlarm, Stage::Told(scenario::alarm_then_power::run), 8),
    (Mutant::FlipsBit, Stage::World, 8),
    (Mutant::DropsDeletions, Stage::Told(scenario::deletion_near_compaction::run), 8),
    (Mutant::FullMeansDone, Stage::Told(scenario::full_disk::run), 8),
    (Mutant::DropsNegativeLeases, Stage::Told(scenario::negative_lease_ids::run), 8),
    (Mutant::StripsReads, Stage::Told(scenario::txns_that_fail::run), 8),
    (Mutant::DeposedExpires, Stage::Told(scenario::deposed_leader_and_leases::run), 8),
    (Mutant::ForgetsTtls, Stage::Told(scenario::leases_over_leaders::run), 8),
    (Mutant::CompactedUntold, Stage::Told(scenario::slow_watch_and_compaction::run), 8),
    (Mutant::EndsTwice, Stage::World, 8),
    (Mutant::RenewsOverCheckpoints, Stage::Told(scenario::checkpoints_over_leaders::run), 8),
    (Mutant::CheckpointsTooLittle, Stage::Told(scenario::checkpoints_over_leaders::run), 8),
    (Mutant::AlarmsTwice, Stage::Told(scenario::alarm_twice::run), 12),
    (Mutant::DropsAlarmsOfNobody, Stage::Told(scenario::alarm_of_nobody::run), 12),
    (Mutant::RetriesBlindly, Stage::Told(scenario::answers_lost::run), 8),
    (Mutant::TornMessages, Stage::Told(scenario::broken_connections::run), 24),
    (Mutant::ComesBackEmpty, Stage::Told(scenario::majority_lost::run), 8),
    (Mutant::ComesBackRotten, Stage::Told(scenario::rotten_disk::run), 8),
    (Mutant::NamesUnsynced, Stage::Told(scenario::names_lost::run), 8),
    (Mutant::SweepsUnsynced, Stage::Told(scenario::sweep_cut_short::run), 12),
    (Mutant::SnapshotOfBefore, Stage::Told(scenario::snapshot_beside_sweep::run), 8),
    (Mutant::KeepsOffice, Stage::Told(scenario::stalled_leader::run), 8),
    (Mutant::UnboundedWatch, Stage::Told(scenario::watch_bytes::run), 8),
    (Mutant::MinusOneIsFirst, Stage::Told(scenario::watch_from_minus_one::run), 8),
    (Mutant::ForgetsEnds, Stage::World, 8),
    (Mutant::DeniesEnds, Stage::World, 8),
    (Mutant::StoreUnbounded, Stage::Told(scenario::store_behind::run), 8),
    (Mutant::SyncsUnwritten, Stage::Told(scenario::all_killed::run), 8),
    (Mutant::LateAnswersCount, Stage::Told(scenario::late_answers::run), 24),
    (Mutant::EndsWithinItsLast, Stage::Told(scenario::leases_to_the_last::run), 8),
    (Mutant::OldProofs, Stage::Told(scenario::renewal_after_pause::run), 8),
    (Mutant::IgnoresFilters, Stage::Told(scenario::watches_of_every_kind::run), 8),
    (Mutant::FutureIsNow, Stage::World, 12),
    (Mutant::NowIsBefore, Stage::Told(scenario::watches_of_every_kind::run), 8),
    (Mutant::ProgressOfTheView, Stage::World, 12),
    (Mutant::ForgetsPrevious, Stage::World, 12),
    (Mutant::FragmentsAll, Stage::Told(scenario::watches_of_every_kind::run), 8),
];

impl Stage {
    /// The words with which a mutant is caught by a seed; `None` if nothing was noticed.
    pub fn catches(self, mutant: Mutant, seed: u64) -> Option<String> {
        let outcome = std::panic::catch_unwind(|| match self {
            Stage::World => run(Settings { mutant: Some(mutant), ..Settings::of(seed) }),
            Stage::Told(scenario) => scenario(Story { seed, mutant: Some(mutant) }),
        });
        let panic = outcome.err()?;
        let words = panic.downcast_ref::<String>().cloned();
        Some(words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned())).unwrap_or_default())
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Stage::World => "world",
            Stage::Told(told) => {
                let known = scenario::ALL.iter().find(|(_, scenario)| std::ptr::fn_addr_eq(*scenario, told));
                known.map_or("a scenario", |(name, _)| name)
            }
        }
    }
}
