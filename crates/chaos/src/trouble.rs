//! Carries out a schedule: one thread that owns the stage, and a queue of what
//! is to be done when.

use crate::faults::Later;
use crate::schedule::Planned;
use crate::stage::Stage;
use anyhow::Result;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often processes are looked at between faults.
const LOOK: Duration = Duration::from_millis(100);

/// What was done.
#[derive(Debug, Default)]
pub struct Done {
    /// How often each kind of fault began.
    pub counts: BTreeMap<&'static str, u32>,
    /// Faults that were under way when another began.
    pub overlapped: u32,
}

enum Step {
    Begin(Planned),
    Later(Box<dyn FnOnce(&mut Stage) + Send>),
}

/// Carries out the whole schedule, then lifts everything. Tells of each fault
/// by `tell`.
pub fn carry_out(stage: &mut Stage, plan: Vec<Planned>, mut tell: impl FnMut(&str) -> Result<()>) -> Result<Done> {
    let born = Instant::now();
    let mut queue: BTreeMap<(Duration, usize), Step> = BTreeMap::new();
    let (mut number, mut done, mut busy_until) = (0, Done::default(), Duration::ZERO);
    for planned in plan {
        queue.insert((planned.at, number), Step::Begin(planned));
        number += 1;
    }
    while let Some((&(at, _), _)) = queue.first_key_value() {
        stage.look()?;
        let now = born.elapsed();
        if now < at {
            std::thread::sleep((at - now).min(LOOK));
            continue;
        }
        match queue.pop_first().expect("it has a first").1 {
            Step::Later(act) => act(stage),
            Step::Begin(planned) => {
                tell(&format!(
                    "{:6.1} s  {} for {:.1} s (leader m{})",
                    now.as_secs_f64(),
                    planned.kind.name,
                    planned.lasts.as_secs_f64(),
                    stage.leader() + 1
                ))?;
                *done.counts.entry(planned.kind.name).or_default() += 1;
                done.overlapped += u32::from(busy_until > now);
                busy_until = busy_until.max(now + planned.lasts);
                let mut chance = Rng::with_seed(planned.seed);
                let later: Later = (planned.kind.begin)(stage, &mut chance, planned.lasts);
                for (after, act) in later {
                    queue.insert((now + after, number), Step::Later(act));
                    number += 1;
                }
            }
        }
    }
    // Each fault has ended itself; what ends by a clock of its own ends here.
    stage.wire.lift_all();
    stage.look()?;
    assert!(stage.members.iter().all(crate::member::Member::is_free), "every fault lifts what it did");
    Ok(done)
}
