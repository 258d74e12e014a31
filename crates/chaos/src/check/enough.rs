//! Whether a round had enough in it to be a round: a cluster that refuses
//! everything breaks no promise, and is of no use.

use crate::history::{Ask, History, Outcome};
use std::time::Duration;

/// What a minute must have at least: less than a twentieth of what it had by `cargo x chaos --minutes 1` with all faults,
/// three or five members and two busy cores (2,700 to 11,000 acknowledged writes, 950 to 3,300 linearizable reads,
/// 22,000 to 52,000 events).
const PER_MINUTE: [(&str, usize); 5] = [
    ("acknowledged writes", 100),
    ("answered linearizable reads", 40),
    ("events told to watches", 600),
    ("answered renewals of leases", 100),
    ("renewals asked of leaders that were away", 20),
];

/// Which floors a round of this length is below.
pub fn check(history: &History, length: Duration) -> Vec<String> {
    let linearizable = |ask: &Ask| matches!(ask, Ask::Range(ask) if !ask.serializable);
    let answered = || history.ops.iter().filter(|op| matches!(op.outcome, Outcome::Answered(_)));
    let live = history.watches.iter().filter(|told| !told.again).flat_map(|told| &told.responses);
    let counts = [
        history.ops.iter().filter(|op| op.changed()).count(),
        answered().filter(|op| linearizable(&op.ask)).count(),
        live.map(|(_, response)| response.events.len()).sum(),
        answered().filter(|op| matches!(op.ask, Ask::Renew(_))).count(),
        history.asked_away,
    ];
    let seconds = length.as_secs() as usize;
    let floors = PER_MINUTE.iter().zip(counts).map(|((what, floor), count)| (what, floor * seconds / 60, count));
    floors
        .filter(|(_, floor, count)| count < floor)
        .map(|(what, floor, count)| {
            format!("too little to judge by: {count} {what} in {seconds} s, and a round has at least {floor}")
        })
        .collect()
}
