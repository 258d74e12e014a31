//! Leases, as the edge asks for them: their time is known to the leader alone,
//! so a follower asks there.

use super::{Error, Handle, Unavailable};
use crate::run::keeper_loop::KeeperInput;
use bytes::Bytes;
use member::keeper::{NotLeading, Remaining};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// What `LeaseTimeToLive` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeToLive {
    /// Whole seconds left; −1 for a lease that does not exist.
    pub ttl: i64,
    /// Granted seconds.
    pub granted_ttl: i64,
    /// Attached keys, if asked for, in key order.
    pub keys: Vec<Bytes>,
}

/// Time between two tries to reach a leader.
const AGAIN: Duration = Duration::from_millis(50);
/// How long the leader may take to apply what it has committed (etcd: 1 s).
const APPLY_WAIT: Duration = Duration::from_secs(1);

impl Handle {
    /// Renews a lease; 0 if there is no such lease.
    ///
    /// # Errors
    /// When no leader can be asked in time.
    pub async fn keep_alive(&self, id: i64) -> Result<i64, Error> {
        let deadline = Instant::now() + self.0.settings.request_timeout;
        loop {
            let (asked, leader) = (Instant::now(), self.status().leader);
            if leader == self.0.settings.member_id {
                match self.keep_alive_here(id).await {
                    Ok(ttl) => return Ok(ttl),
                    Err(Error::Unavailable(Unavailable::NotLeader)) => {}
                    Err(error) => return Err(error),
                }
            } else if leader != 0 {
                let answer = tokio::select! {
                    answer = self.0.peers.lease_keep_alive(leader, id) => answer.ok(),
                    // Who leads no more may have been stopped, and then says nothing for long.
                    () = self.leads_no_more(leader) => None,
                };
                if let Some(ttl) = answer.filter(|_| self.is_fresh(asked)) {
                    return Ok(ttl);
                }
            }
            self.try_again(deadline).await?;
        }
    }

    /// Renews a lease as the leader; also what other members ask of us.
    ///
    /// # Errors
    /// When this member does not lead.
    pub async fn keep_alive_here(&self, id: i64) -> Result<i64, Error> {
        let deadline = Instant::now() + self.0.settings.request_timeout;
        loop {
            let asked = Instant::now();
            // A read round, shared with all that wait: it proves that this member
            // still leads, and that what is committed has been applied here.
            self.linearizable().await?;
            let (answer, answered) = oneshot::channel();
            self.ask_keeper(KeeperInput::KeepAlive(id, answer))?;
            let renewed = answered.await.map_err(|_| Unavailable::Stopped)?;
            if self.is_fresh(asked) {
                return renewed.map(|ttl| ttl.unwrap_or(0)).map_err(|NotLeading| Unavailable::NotLeader.into());
            }
            self.try_again(deadline).await?;
        }
    }

    /// Whether what is known of a lease since then may still be told: for an election timeout. Later somebody else may lead
    /// and count, for this process may have stood still in between (`docs/decisions/007-renewals.md`).
    fn is_fresh(&self, asked: Instant) -> bool {
        asked.elapsed() <= self.0.settings.election_timeout
    }

    /// What a lease has left.
    ///
    /// # Errors
    /// When no leader can be asked in time.
    pub async fn time_to_live(&self, id: i64, keys: bool) -> Result<TimeToLive, Error> {
        let deadline = Instant::now() + self.0.settings.request_timeout;
        loop {
            match self.time_to_live_here(id, keys).await {
                Ok(left) => return Ok(left),
                Err(Error::Unavailable(Unavailable::NotLeader)) => {}
                Err(error) => return Err(error),
            }
            let leader = self.status().leader;
            if leader != 0
                && leader != self.0.settings.member_id
                && let Ok(left) = self.0.peers.lease_time_to_live(leader, id, keys).await
            {
                return Ok(TimeToLive { ttl: left.ttl, granted_ttl: left.granted_ttl, keys: left.keys });
            }
            self.try_again(deadline).await?;
        }
    }

    /// What a lease has left, as the leader knows it.
    ///
    /// # Errors
    /// When this member does not lead.
    pub async fn time_to_live_here(&self, id: i64, keys: bool) -> Result<TimeToLive, Error> {
        self.wait_applied().await?;
        let (answer, answered) = oneshot::channel();
        self.ask_keeper(KeeperInput::Remaining(id, answer))?;
        match answered.await.map_err(|_| Unavailable::Stopped)? {
            Err(NotLeading) => Err(Unavailable::NotLeader.into()),
            Ok(None) => Ok(TimeToLive { ttl: -1, granted_ttl: 0, keys: Vec::new() }),
            Ok(Some(Remaining { granted_seconds, left_seconds })) => {
                let keys = if keys { self.view().lease_keys(id) } else { Vec::new() };
                Ok(TimeToLive { ttl: left_seconds, granted_ttl: granted_seconds, keys })
            }
        }
    }

    /// All leases, the one that ends first at the front.
    ///
    /// # Errors
    /// When the member stops.
    pub async fn leases(&self) -> Result<Vec<i64>, Error> {
        let (answer, answered) = oneshot::channel();
        self.ask_keeper(KeeperInput::List(answer))?;
        Ok(answered.await.map_err(|_| Unavailable::Stopped)?)
    }

    fn ask_keeper(&self, input: KeeperInput) -> Result<(), Error> {
        self.0.keeper.send(input).map_err(|_| Unavailable::Stopped.into())
    }

    /// Waits until what is committed now has been applied here.
    async fn wait_applied(&self) -> Result<(), Error> {
        if self.view().applied() >= self.status().commit {
            return Ok(());
        }
        // A read round ends when all that is committed has been applied.
        match tokio::time::timeout(APPLY_WAIT, self.linearizable()).await {
            Ok(applied) => applied,
            Err(_) => Err(Unavailable::TimeoutWaitApplied.into()),
        }
    }

    /// Waits until another leads than this one, or nobody.
    async fn leads_no_more(&self, leader: u64) {
        let mut changes = self.status_changes();
        // Nothing changes any more when the member stops; whoever asks is told so elsewhere.
        while self.status().leader == leader && changes.changed().await.is_ok() {}
    }

    async fn try_again(&self, deadline: Instant) -> Result<(), Error> {
        if Instant::now() + AGAIN > deadline {
            let words = if self.has_leader() { Unavailable::Timeout } else { Unavailable::NoLeader };
            return Err(words.into());
        }
        // A new leader is worth asking at once.
        let _ = tokio::time::timeout(AGAIN, self.status_changes().changed()).await;
        Ok(())
    }
}
