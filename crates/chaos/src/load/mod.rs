//! Clients: what they ask while faults happen, written down.

mod leases;
mod sitters;
mod watches;
mod writers;

use crate::history::Outcome;
use crate::notebook::Notebook;
use crate::stage::{Stage, endpoint};
use anyhow::{Context, Result, bail};
use client::{Client, Code, Config, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

pub use watches::tell_again;
pub use writers::send;

/// How long one request may take, with what the client library repeats.
const REQUEST: Duration = Duration::from_secs(3);
/// How long a member may take to say who leads.
const STATUS: Duration = Duration::from_millis(400);
/// Who leads is asked so often.
const ASKS_EVERY: Duration = Duration::from_millis(200);
/// Clients of each kind.
const WRITERS: usize = 9;
const LEASE_HOLDERS: usize = 6;
/// One of the keys that writers want, one of those with leases, one of a single key.
const LATE_WATCHERS: usize = 3;
/// The operator compacts about so often, and leaves so many revisions behind the slowest witness.
const COMPACTS_EVERY: Duration = Duration::from_secs(4);
const KEPT: i64 = 100;

/// All clients of a run.
pub struct Load {
    /// What they do.
    pub notebook: Arc<Notebook>,
    asking: JoinSet<()>,
    watching: JoinSet<()>,
}

/// A client of these members.
pub fn client(which: &[usize], members: usize, timeout: Duration) -> Result<Client> {
    let mut config = Config::to(which.iter().map(|&number| endpoint(number, members)));
    config.timeout = Some(timeout);
    config.connect_timeout = Duration::from_secs(1);
    Ok(Client::new(config)?)
}

impl Load {
    /// Clients begin, and with them an operator, if there is one, who compacts.
    pub fn start(stage: &Stage, seed: u64, operator: bool) -> Result<Load> {
        let (members, leader) = (stage.members.len(), stage.leader.clone());
        let notebook = Arc::new(Notebook::default());
        let (mut asking, mut watching) = (JoinSet::new(), JoinSet::new());
        let all: Vec<usize> = (0..members).collect();
        for number in 0..members {
            let client = client(&[number], members, REQUEST)?;
            watching.spawn(watches::witness(number, client, notebook.clone()));
        }
        for number in 0..WRITERS {
            // Some know all members, some only one or two.
            let known = match number % 3 {
                0 => all.clone(),
                1 => vec![number % members],
                _ => vec![number % members, (number + 1) % members],
            };
            let client = client(&known, members, REQUEST)?;
            asking.spawn(writers::write(members + number, client, notebook.clone(), seed));
        }
        for number in 0..LEASE_HOLDERS {
            let client = client(&all, members, REQUEST)?;
            asking.spawn(leases::hold(members + WRITERS + number, client, notebook.clone(), seed));
        }
        for number in 0..LATE_WATCHERS {
            let client = client(&all, members, REQUEST)?;
            watching.spawn(watches::come_late(
                number,
                members + WRITERS + LEASE_HOLDERS + number,
                client,
                notebook.clone(),
                seed,
            ));
        }
        for member in 0..members {
            let number = members + WRITERS + LEASE_HOLDERS + LATE_WATCHERS + member;
            let (here, all) = (client(&[member], members, sitters::PATIENCE)?, client(&all, members, REQUEST)?);
            let seat = sitters::Seat { number, member, here, all };
            asking.spawn(sitters::sit(seat, stage.away.clone(), notebook.clone(), seed));
        }
        if operator {
            asking.spawn(compact(client(&all, members, REQUEST)?, notebook.clone()));
        }
        let asked = all.iter().map(|&number| client(&[number], members, STATUS)).collect::<Result<Vec<_>>>()?;
        asking.spawn(look_for_leader(asked, leader, notebook.clone()));
        Ok(Load { notebook, asking, watching })
    }

    /// Lets the load go on for so long. Fails as soon as one of its clients has ended.
    pub async fn go_on(&mut self, length: Duration) -> Result<()> {
        let Ok(ended) = tokio::time::timeout(length, self.asking.join_next()).await else { return Ok(()) };
        ended.context("a load has clients")?.context("a client of the load")?;
        bail!("a client ended before the load did")
    }

    /// Clients end what they have begun; watches go on.
    pub async fn stop(&mut self) -> Result<()> {
        self.notebook.stop();
        while let Some(ended) = self.asking.join_next().await {
            ended.context("a client of the load")?;
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.asking.abort_all();
        self.watching.abort_all();
    }
}

/// A request has failed: surely without effect, or nobody knows.
pub fn failed(error: &Error) -> Outcome {
    /// Words that a member says before it changes anything, or instead of it.
    const WITHOUT_EFFECT: [&str; 6] = [
        "etcdserver: requested lease not found",
        "etcdserver: mvcc: database space exceeded",
        "etcdserver: too many requests",
        "etcdserver: mvcc: required revision has been compacted",
        "etcdserver: mvcc: required revision is a future revision",
        "etcdserver: lease already exists",
    ];
    let refused = WITHOUT_EFFECT.iter().any(|words| error.says(words));
    match error.code() {
        _ if refused => Outcome::Refused(error.to_string()),
        Some(Code::InvalidArgument) | None => Outcome::Refused(error.to_string()),
        _ => Outcome::Unknown(error.to_string()),
    }
}

/// Compacts what all witnesses have seen.
async fn compact(client: Client, notebook: Arc<Notebook>) {
    loop {
        notebook.pause(COMPACTS_EVERY).await;
        if notebook.stopped() {
            return;
        }
        let seen = notebook.witnesses().into_iter().map(|(_, upto)| upto).min().unwrap_or(0);
        if seen > KEPT {
            notebook.compacts(seen - KEPT);
            let request = proto::etcdserverpb::CompactionRequest { revision: seen - KEPT, physical: false };
            // Whether it succeeds is no promise; what it does to watches is.
            if client.compact(request).await.is_ok() {
                notebook.has_compacted();
            }
        }
    }
}

/// Keeps the number of the leader up to date. Members tell it only when they are asked.
async fn look_for_leader(members: Vec<Client>, leader: Arc<AtomicUsize>, notebook: Arc<Notebook>) {
    while !notebook.stopped() {
        let asked = members.iter().map(Client::status);
        let mut best = None;
        for (number, one) in asked.enumerate() {
            let Ok(status) = one.await else { continue };
            let id = status.header.as_ref().map_or(0, |header| header.member_id);
            if status.leader == id && best.is_none_or(|(term, _)| status.raft_term > term) {
                best = Some((status.raft_term, number));
            }
        }
        if let Some((_, number)) = best {
            leader.store(number, Ordering::Relaxed);
        }
        notebook.pause(ASKS_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::Status;

    #[test]
    fn what_surely_has_no_effect_is_told_from_what_nobody_knows() {
        let says = |code, words: &str| failed(&Error::Status(Status::new(code, words)));
        let refused = says(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
        assert!(matches!(refused, Outcome::Refused(_)));
        assert!(matches!(says(Code::NotFound, "etcdserver: requested lease not found"), Outcome::Refused(_)));
        assert!(matches!(says(Code::Unavailable, "etcdserver: request timed out"), Outcome::Unknown(_)));
        assert!(matches!(says(Code::Unavailable, "etcdserver: leader changed"), Outcome::Unknown(_)));
        assert!(matches!(failed(&Error::Deadline { troubles: Vec::new() }), Outcome::Unknown(_)));
    }
}
