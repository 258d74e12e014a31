//! Mutants: the driver with one promise broken on purpose.
//!
//! A simulator that finds nothing proves something only if it finds what is
//! there. Each mutant breaks one rule of ARCHITECTURE.md in the simulator's
//! own driver, never in a crate that ships, and a test demands that it is
//! caught within a few seeds.

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
    /// Hub is told some events twice (etcd #15248).
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
}

/// Those that must be caught, each with a seed that catches it.
pub const ALL: [(Mutant, u64); 20] = [
    (Mutant::AcknowledgesBeforeWriting, 4),
    (Mutant::SkipsSync, 0),
    (Mutant::LogForgetsEarly, 15),
    (Mutant::PublishesLate, 0),
    (Mutant::ReadsWithoutRound, 0),
    (Mutant::DropsEvents, 1),
    (Mutant::SnapshotUnheard, 30),
    (Mutant::ResumesLate, 1),
    (Mutant::ExpiresEarly, 0),
    (Mutant::RenewalsUnheard, 4),
    (Mutant::SkipsEntry, 0),
    (Mutant::SnapshotUnsynced, 27),
    (Mutant::SwapsEvents, 0),
    (Mutant::RepeatsEntry, 0),
    (Mutant::WallStandsStill, 0),
    (Mutant::ForgetsChanges, 0),
    (Mutant::SnapshotMisplaced, 0),
    (Mutant::SkipsCompaction, 1),
    (Mutant::SkipsGrant, 2),
    (Mutant::FlipsBit, 2),
];

/// Those that nothing catches soon enough yet: what the simulator has to learn.
pub const UNCAUGHT: [Mutant; 7] = [
    Mutant::ForgetsVotes,
    Mutant::DoublesEvents,
    Mutant::ProgressOvertakes,
    Mutant::LosesFragments,
    Mutant::RestoreUnpublished,
    Mutant::RenewsTheDead,
    Mutant::SkipsAlarm,
];
