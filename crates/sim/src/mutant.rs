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
    (Mutant::AcknowledgesBeforeWriting, 0),
    (Mutant::SkipsSync, 0),
    (Mutant::ForgetsVotes, 0),
    (Mutant::LogForgetsEarly, 0),
    (Mutant::PublishesLate, 0),
    (Mutant::ReadsWithoutRound, 0),
    (Mutant::DropsEvents, 0),
    (Mutant::SnapshotUnheard, 0),
    (Mutant::ResumesLate, 0),
    (Mutant::ExpiresEarly, 0),
    (Mutant::RenewalsUnheard, 0),
    (Mutant::SkipsEntry, 0),
    (Mutant::SnapshotUnsynced, 0),
];
