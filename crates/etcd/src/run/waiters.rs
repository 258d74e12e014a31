//! Who waits for what: one of the two cells that threads share.
//!
//! A waiter is registered before its request is on its way, and is removed by
//! whoever answers it, or by its own drop when the client has gone.

use member::core::TurnedBack;
use member::ids::{ReadId, RequestId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use store::Refusal;
use store::reply::Reply;
use tokio::sync::oneshot;

/// Answers to a proposal.
pub type ProposalAnswer = Result<Result<Reply, Refusal>, TurnedBack>;
/// Answers to a read: it may look at the View now.
pub type ReadAnswer = Result<(), TurnedBack>;

const SHARDS: usize = 16;

/// One kind of waiter, by id.
#[derive(Debug)]
pub struct Waiters<T> {
    shards: [Mutex<HashMap<u64, oneshot::Sender<T>>>; SHARDS],
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Waiters { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl<T> Waiters<T> {
    /// Registers a waiter; dropping the ticket takes it back.
    pub fn register(self: &Arc<Self>, id: u64) -> Ticket<T> {
        let (sender, receiver) = oneshot::channel();
        self.shard(id).insert(id, sender);
        Ticket { id, waiters: self.clone(), receiver }
    }

    /// Answers a waiter. False if nobody waits under this id.
    pub fn answer(&self, id: u64, answer: T) -> bool {
        let waiter = self.shard(id).remove(&id);
        match waiter {
            // The client may have gone this very moment; nobody is owed more.
            Some(sender) => {
                let _ = sender.send(answer);
                true
            }
            None => false,
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().expect("no thread panics with a shard").len()).sum()
    }

    /// Drops all: their tickets see the member stopping.
    pub fn clear(&self) {
        for shard in &self.shards {
            shard.lock().expect("no thread panics with a shard").clear();
        }
    }

    fn shard(&self, id: u64) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<T>>> {
        self.shards[id as usize % SHARDS].lock().expect("no thread panics with a shard")
    }
}

/// A place in the queue.
#[derive(Debug)]
pub struct Ticket<T> {
    id: u64,
    waiters: Arc<Waiters<T>>,
    receiver: oneshot::Receiver<T>,
}

impl<T> Ticket<T> {
    /// Waits for the answer; `None` when the member stops.
    pub async fn answer(mut self) -> Option<T> {
        (&mut self.receiver).await.ok()
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.waiters.shard(self.id).remove(&self.id);
    }
}

/// The two kinds there are.
#[derive(Debug, Default)]
pub struct AllWaiters {
    /// By [`RequestId`].
    pub proposals: Arc<Waiters<ProposalAnswer>>,
    /// By [`ReadId`].
    pub reads: Arc<Waiters<ReadAnswer>>,
}

impl AllWaiters {
    /// Store has an outcome.
    pub fn outcome(&self, id: RequestId, outcome: Result<Reply, Refusal>) -> bool {
        self.proposals.answer(id, Ok(outcome))
    }

    /// Core says the View is fresh enough.
    pub fn read(&self, id: ReadId, answer: ReadAnswer) {
        self.reads.answer(id, answer);
    }
}
