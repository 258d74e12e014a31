//! After the faults: all members serve again, agree, and have told everything,
//! within a bound.

use crate::history::{ALL, Ask, Outcome};
use crate::load::{Load, client};
use crate::notebook::Notebook;
use crate::stage::Stage;
use anyhow::Result;
use bytes::Bytes;
use client::Client;
use proto::etcdserverpb::{AlarmType, PutRequest, RangeRequest};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

/// Until all is well.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// One request of it.
const REQUEST: Duration = Duration::from_secs(3);
/// Members are asked, and looked after, so often: nothing tells when a process serves or a lease has ended.
const POLL: Duration = Duration::from_millis(50);

/// Clients of each member alone, as whoever checks has them.
pub struct Checkers {
    members: Vec<Client>,
    patience: Duration,
}

/// The number of the client that reads through a member.
fn reader(number: usize) -> usize {
    number + 1_000
}

impl Checkers {
    /// One for each member. Nothing is waited for longer than `patience`.
    pub fn new(count: usize, patience: Duration) -> Result<Checkers> {
        let members = (0..count).map(|number| client(&[number], count, REQUEST)).collect::<Result<Vec<_>>>()?;
        Ok(Checkers { members, patience })
    }

    /// Waits until all members serve, while the load goes on; how long it took, or who does not.
    pub async fn serve(&self, stage: &mut Stage, load: &Load) -> Result<Result<Duration, String>> {
        let began = Instant::now();
        for (number, member) in self.members.iter().enumerate() {
            let mut last = String::new();
            let look = async || served(reader(number), member, &load.notebook, false, &mut last).await;
            if !until(stage, began, self.patience, look).await? {
                return Ok(Err(format!(
                    "m{} does not serve {:?} after the last fault: {last}",
                    number + 1,
                    self.patience
                )));
            }
        }
        Ok(Ok(began.elapsed()))
    }

    /// Waits until the cluster has come to rest, when nobody writes any more; what does not hold.
    pub async fn rest(&self, stage: &mut Stage, load: &Load) -> Result<Vec<String>> {
        let (members, mut wrong, mut revision) = (&self.members, Vec::new(), 0);
        // Whoever serves takes writes, too.
        for (number, member) in members.iter().enumerate() {
            let (mut last, mut attempt, began) = (String::new(), 0, Instant::now());
            let look = async || {
                attempt += 1;
                wrote(number, attempt, member, &load.notebook, &mut last).await
            };
            if !until(stage, began, self.patience, look).await? {
                wrong.push(format!("m{} takes no write within {:?} at rest: {last}", number + 1, self.patience));
            }
        }
        // Nobody renews any more: all leases end, and their keys with them.
        let began = Instant::now();
        let leased = RangeRequest {
            key: "l/".into(),
            range_end: client::range::prefix_end(b"l/"),
            count_only: true,
            ..RangeRequest::default()
        };
        if !until(stage, began, self.patience, async || {
            members[0].range(leased.clone()).await.is_ok_and(|answer| answer.count == 0)
        })
        .await?
        {
            wrong.push(format!("keys with leases are still there {:?} after the last renewal", self.patience));
        }
        let began = Instant::now();
        if !until(stage, began, self.patience, async || {
            let Ok(answer) = members[0].range(leased.clone()).await else { return false };
            revision = answer.header.map_or(0, |header| header.revision);
            load.notebook.behind(revision).is_empty()
        })
        .await?
        {
            let behind = load.notebook.behind(revision);
            wrong.push(format!(
                "watches have not come to revision {revision} after {:?} (client, from, up to): {behind:?}",
                self.patience
            ));
        }
        for (number, member) in members.iter().enumerate() {
            for serializable in [false, true] {
                let mut last = String::new();
                if !served(reader(number), member, &load.notebook, serializable, &mut last).await {
                    wrong.push(format!("m{} no longer serves: {last}", number + 1));
                }
            }
        }
        for (number, member) in members.iter().enumerate() {
            match crate::load::tell_again(number, member.clone(), revision, self.patience).await {
                Some(told) => drop(load.notebook.watches(told)),
                None => wrong.push(format!("m{} does not tell again what it has kept", number + 1)),
            }
        }
        wrong.extend(hashes(members, revision).await);
        wrong.extend(alarms(&members[0]).await);
        Ok(wrong)
    }
}

/// Looks until it is true, starting again whoever has ended; false when the patience is over.
async fn until(
    stage: &mut Stage,
    began: Instant,
    patience: Duration,
    mut look: impl AsyncFnMut() -> bool,
) -> Result<bool> {
    let mut pace = tokio::time::interval(POLL);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !look().await {
        stage.look()?;
        if began.elapsed() > patience {
            return Ok(false);
        }
        pace.tick().await;
    }
    Ok(true)
}

/// Reads everything through this member, for the history.
async fn served(reader: usize, member: &Client, notebook: &Notebook, serializable: bool, last: &mut String) -> bool {
    let ask = RangeRequest {
        key: Bytes::from_static(&ALL),
        range_end: Bytes::from_static(&ALL),
        serializable,
        ..RangeRequest::default()
    };
    let begin = notebook.now();
    let outcome = crate::load::send(member, &Ask::Range(ask.clone())).await;
    let answered = match &outcome {
        Outcome::Answered(_) => true,
        Outcome::Refused(words) | Outcome::Unknown(words) => {
            last.clone_from(words);
            false
        }
    };
    notebook.ended(reader, begin, Ask::Range(ask), outcome);
    answered
}

/// Writes a value of its own through this member, for the history.
async fn wrote(number: usize, attempt: u32, member: &Client, notebook: &Notebook, last: &mut String) -> bool {
    let (key, value) = (format!("r/m{}", number + 1), format!("at rest {number}.{attempt}"));
    let ask = Ask::Put(PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() });
    let begin = notebook.now();
    let outcome = crate::load::send(member, &ask).await;
    let answered = matches!(outcome, Outcome::Answered(_));
    if let Outcome::Refused(words) | Outcome::Unknown(words) = &outcome {
        last.clone_from(words);
    }
    notebook.ended(reader(number), begin, ask, outcome);
    answered
}

async fn hashes(members: &[Client], revision: i64) -> Vec<String> {
    let mut hashes = Vec::new();
    for (number, member) in members.iter().enumerate() {
        match member.hash_kv(revision).await {
            Ok(answer) => hashes.push((number + 1, answer.hash, answer.compact_revision)),
            Err(error) => return vec![format!("m{} says no HashKV at revision {revision}: {error}", number + 1)],
        }
    }
    if hashes.windows(2).all(|two| two[0].1 == two[1].1 && two[0].2 == two[1].2) {
        return Vec::new();
    }
    vec![format!("HashKV at revision {revision} differs (member, hash, compacted): {hashes:?}")]
}

async fn alarms(member: &Client) -> Vec<String> {
    match member.alarm_list().await {
        Ok(answer) => {
            let corrupt = answer.alarms.iter().filter(|alarm| alarm.alarm() == AlarmType::Corrupt);
            corrupt.map(|alarm| format!("alarm CORRUPT of member {:x}", alarm.member_id)).collect()
        }
        Err(error) => vec![format!("alarms cannot be listed: {error}")],
    }
}
