//! The shortest sequence that still shows a difference (delta debugging):
//! parts of it are left out, from halves down to single steps, and each attempt
//! runs on fresh processes.

use crate::cluster::Programs;
use crate::lane::Lane;
use crate::request::Step;
use crate::run::{self, Mismatch};
use anyhow::Result;
use std::path::Path;
use std::time::{Duration, Instant};

/// It may take so long.
const PATIENCE: Duration = Duration::from_secs(120);

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
