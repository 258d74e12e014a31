//! The shortest sequence that still shows a difference (delta debugging):
//! first all requests of a kind, then parts, from halves down to single steps.
//! Each attempt runs on fresh processes.

use crate::cluster::Programs;
use crate::lane::Lane;
use crate::request::{Request, Step};
use crate::run::{self, Mismatch};
use anyhow::Result;
use std::path::Path;
use std::time::{Duration, Instant};

/// It may take so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a difference often does without.
const KINDS: [fn(&Step) -> bool; 5] = [
    |step| matches!(step, Step::Ask(_, request) if request.only_reads()),
    |step| matches!(step, Step::Ask(_, Request::Watch(..) | Request::ReadWatches | Request::Replay(_))),
    |step| matches!(step, Step::Lead(_) | Step::KillLeader | Step::Restart | Step::SameEverywhere),
    |step| matches!(step, Step::Ask(_, Request::Txn(_))),
    |step| matches!(step, Step::Ask(_, Request::Grant(_) | Request::Revoke(_) | Request::KeepAlive(_))),
];

/// The shortest found, and how it ends.
pub async fn minimise(
    programs: &Programs,
    scratch: &Path,
    lane: Lane,
    steps: &[Step],
    mismatch: Mismatch,
) -> Result<(Vec<Step>, Mismatch)> {
    let deadline = Instant::now() + PATIENCE;
    let mut shortest = steps[..steps.len().min(mismatch.at + 1)].to_vec();
    let mut found = mismatch;
    for kind in KINDS {
        if Instant::now() >= deadline {
            break;
        }
        let last = shortest.len().saturating_sub(1);
        let keep = |(at, step): (usize, &Step)| (at == last || !kind(step)).then(|| step.clone());
        let without: Vec<Step> = shortest.iter().enumerate().filter_map(keep).collect();
        if without.len() == shortest.len() {
            continue;
        }
        if let Some(again) = run::run(programs, scratch, lane, &without).await?.mismatch {
            shortest = without;
            shortest.truncate(again.at + 1);
            found = again;
        }
    }
    let mut part = shortest.len().div_ceil(2);
    while part > 0 && Instant::now() < deadline {
        let mut from = 0;
        let mut shorter = false;
        while from < shortest.len() && Instant::now() < deadline {
            let to = (from + part).min(shortest.len());
            let without: Vec<Step> = shortest[..from].iter().chain(&shortest[to..]).cloned().collect();
            match run::run(programs, scratch, lane, &without).await?.mismatch {
                Some(again) if !without.is_empty() => {
                    shortest = without;
                    shortest.truncate(again.at + 1);
                    (found, shorter) = (again, true);
                }
                _ => from = to,
            }
        }
        if part == 1 && !shorter {
            break;
        }
        part = if part == 1 { 1 } else { part.div_ceil(2).min(shortest.len().div_ceil(2)).max(1) };
    }
    Ok((shortest, found))
}
