//! Carries out a schedule: one thread that owns the stage, and a queue of what
//! is to be done when.

use crate::faults::{Fault, Later};
use crate::felt::Felt;
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
    /// Each fault that began: its kind, and what shows that it was felt.
    pub faults: Vec<(&'static str, Felt)>,
    /// Faults that were under way when another began.
    pub overlapped: u32,
    /// Kinds that came once more because they had met nobody.
    pub once_more: Vec<&'static str>,
}

impl Done {
    /// Of each kind how many faults had an effect, and how many began.
    pub fn counts(&self) -> BTreeMap<&'static str, (u32, u32)> {
        let mut counts: BTreeMap<&'static str, (u32, u32)> = BTreeMap::new();
        for (name, felt) in &self.faults {
            let (had, began) = counts.entry(name).or_default();
            *had += u32::from(felt.times() > 0);
            *began += 1;
        }
        counts
    }

    /// Of these kinds, those of which no fault had an effect.
    pub fn missed<'a>(&self, demanded: &'a [String]) -> Vec<&'a str> {
        let counts = self.counts();
        let had = |name: &str| counts.get(name).is_some_and(|(had, _)| *had > 0);
        demanded.iter().map(String::as_str).filter(|name| !had(name)).collect()
    }
}

enum Step {
    Begin(Planned),
    Later(Box<dyn FnOnce(&mut Stage) + Send>),
}

/// Carries out a whole schedule, whose times count from `began`, then lifts everything. Notes each fault in `done` and
/// tells of it by `tell`.
pub fn carry_out(
    stage: &mut Stage,
    began: Instant,
    plan: Vec<Planned>,
    done: &mut Done,
    mut tell: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let mut queue: BTreeMap<(Duration, usize), Step> = BTreeMap::new();
    let (mut number, mut busy_until) = (0, Duration::ZERO);
    for planned in plan {
        queue.insert((planned.at, number), Step::Begin(planned));
        number += 1;
    }
    while let Some((&(at, _), _)) = queue.first_key_value() {
        stage.look()?;
        let now = began.elapsed();
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
                done.overlapped += u32::from(busy_until > now);
                busy_until = busy_until.max(now + planned.lasts);
                let felt = Felt::default();
                done.faults.push((planned.kind.name, felt.clone()));
                let mut fault = Fault { chance: Rng::with_seed(planned.seed), lasts: planned.lasts, felt };
                let later: Later = (planned.kind.begin)(stage, &mut fault);
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_nobody_felt_is_no_fault() {
        let (felt, not) = (Felt::default(), Felt::default());
        felt.note(3);
        let faults = vec![("loss", felt), ("loss", not.clone()), ("one killed", not)];
        let done = Done { faults, ..Done::default() };
        assert_eq!(done.counts(), BTreeMap::from([("loss", (1, 2)), ("one killed", (0, 1))]));
        let demanded = ["loss", "one killed", "all killed"].map(str::to_owned);
        assert_eq!(done.missed(&demanded), ["one killed", "all killed"]);
    }
}
