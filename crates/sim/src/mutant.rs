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
}

/// All of them, each with a seed that catches it.
pub const ALL: [(Mutant, u64); 13] = [
    (Mutant::AcknowledgesBeforeWriting, 1),
    (Mutant::SkipsSync, 2),
    (Mutant::ForgetsVotes, 164),
    (Mutant::LogForgetsEarly, 25),
    (Mutant::PublishesLate, 1),
    (Mutant::ReadsWithoutRound, 1),
    (Mutant::DropsEvents, 1),
    (Mutant::SnapshotUnheard, 2),
    (Mutant::ResumesLate, 0),
    (Mutant::ExpiresEarly, 1),
    (Mutant::RenewalsUnheard, 1),
    (Mutant::SkipsEntry, 7),
    (Mutant::SnapshotUnsynced, 32),
];
