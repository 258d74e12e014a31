//! Core's three inboxes, in order of rank: numbers, messages, requests.
//!
//! What comes from below (durable, applied) never blocks and is never
//! refused. At their bounds messages that raft repeats anyway are dropped and
//! requests are turned away, so a slow disk makes a member slow, not deaf.

use member::core::{Applied, Input, Proposal};
use member::ids::ReadId;
use member::limits;
use raft::{Message, MessageKind};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A request is turned away: too many wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What waits for Core.
#[derive(Debug, Default)]
pub struct Waiting {
    /// From Log and Store, and reports about peers.
    pub numbers: Vec<Input>,
    /// From other members.
    pub messages: Vec<Message>,
    /// Proposals and reads.
    pub requests: Vec<Input>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.messages.is_empty() && self.requests.is_empty()
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: Waiting,
    /// Core is waiting for Store to apply something.
    urgent: bool,
    closed: bool,
}

impl State {
    /// Whether there is more than numbers from Store that nobody waits for.
    fn has_work(&self) -> bool {
        let waiting = &self.waiting;
        let noted = |input: &Input| matches!(input, Input::Applied(applied) if applied.changes.is_empty());
        !waiting.messages.is_empty()
            || !waiting.requests.is_empty()
            || waiting.numbers.iter().any(|input| self.urgent || !noted(input))
    }
}

/// The door to Core.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<State>,
    ready: Condvar,
}

impl Inbox {
    /// A number from below.
    pub fn number(&self, input: Input) {
        self.lock().waiting.numbers.push(input);
        self.ready.notify_one();
    }

    /// Store has applied a batch. Core is woken only if it waits for that;
    /// else it hears with the next input, or tick.
    pub fn applied(&self, applied: Applied) {
        let mut state = self.lock();
        let wake = state.urgent || !applied.changes.is_empty();
        state.waiting.numbers.push(Input::Applied(applied));
        drop(state);
        if wake {
            self.ready.notify_one();
        }
    }

    /// A message from a peer.
    pub fn message(&self, message: Message) {
        let mut state = self.lock();
        let bulky = matches!(message.kind, MessageKind::App | MessageKind::Prop);
        if bulky && state.waiting.messages.len() >= limits::MESSAGES_MAX {
            return;
        }
        state.waiting.messages.push(message);
        drop(state);
        self.ready.notify_one();
    }

    /// A command for the log.
    ///
    /// # Errors
    /// When too many wait already.
    pub fn propose(&self, proposal: Proposal) -> Result<(), Full> {
        self.request(Input::Propose(proposal))
    }

    /// A read that wants a round.
    ///
    /// # Errors
    /// When too many wait already.
    pub fn read(&self, id: ReadId) -> Result<(), Full> {
        self.request(Input::Read(id))
    }

    /// Anything else that is asked of Core.
    ///
    /// # Errors
    /// When too many wait already.
    pub fn request(&self, input: Input) -> Result<(), Full> {
        let mut state = self.lock();
        if state.waiting.requests.len() >= limits::PROPOSALS_MAX {
            return Err(Full);
        }
        state.waiting.requests.push(input);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Nothing more will be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// Waits until something is there or `deadline` has come, and swaps it
    /// into `taken`, which must be empty. False once the inbox is closed.
    ///
    /// `urgent`: an [`Inbox::applied`] is worth waking up for.
    pub fn take(&self, taken: &mut Waiting, deadline: Instant, urgent: bool) -> bool {
        assert!(taken.is_empty(), "what was taken before has been worked on");
        let mut state = self.lock();
        state.urgent = urgent;
        // What was only noted in passing does not keep Core from sleeping.
        while !state.has_work() && !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                break;
            }
            (state, _) = self.ready.wait_timeout(state, left).expect("no thread panics with the inbox");
        }
        std::mem::swap(&mut state.waiting, taken);
        !state.closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the inbox")
    }
}
