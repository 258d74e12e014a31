//! Core's three inboxes, in order of rank: numbers, messages, requests; and
//! the rule of who works on them.
//!
//! What comes from below (durable, applied) never blocks and is never
//! refused. At their bounds messages that raft repeats anyway are dropped and
//! requests are turned away, so a slow disk makes a member slow, not deaf.
//!
//! *Who brings work does it.* Core belongs to whoever holds the baton, one
//! thread at a time. A thread that puts something in while nobody holds it
//! takes it and runs a round of Core itself: on an idle member a request
//! reaches the disk and the wire without waking a thread. Whoever comes
//! meanwhile leaves its work and goes. What has gathered during that round is
//! handed to Core's own thread, so nobody is held for longer than
//! [`ROUNDS_IN_PASSING`]; under load that thread works alone and every round
//! takes all that waits.

use super::core_loop::Driver;
use crate::line;
use member::core::{Applied, Input, Proposal};
use member::ids::ReadId;
use member::limits;
use raft::{Message, MessageKind};
use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// Rounds that a passing thread does before Core's own thread goes on.
const ROUNDS_IN_PASSING: usize = 3;

thread_local! {
    /// This thread is within [`Inbox::gather`].
    static GATHERING: Cell<bool> = const { Cell::new(false) };
}

/// A request is turned away: too many wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What waits for Core.
#[derive(Debug, Default)]
pub struct Waiting {
    /// From Log and Store, the clock, and reports about peers.
    pub numbers: Vec<Input>,
    /// From other members.
    pub messages: Vec<Message>,
    /// Proposals and reads.
    pub requests: Vec<Input>,
    /// Bytes of the entries in `messages`.
    pub message_bytes: usize,
    /// Bytes of the commands in `requests`.
    pub request_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: Waiting,
    /// Somebody holds the baton, or it lies ready for Core's own thread.
    taken: bool,
    /// It lies ready for Core's own thread.
    handed_over: bool,
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

    /// Takes the baton if there is work that nobody does.
    fn take_baton(&mut self) -> bool {
        let take = !self.taken && !self.closed && self.has_work();
        self.taken |= take;
        take
    }
}

/// What Core's own thread is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The baton was handed over.
    Baton,
    /// The deadline has come.
    Due,
    /// The inbox is closed.
    Closed,
}

/// Whether `more` bytes may wait beside those that do: the first always may.
fn has_room(waiting: usize, more: usize, bytes_max: usize) -> bool {
    waiting == 0 || more == 0 || waiting + more <= bytes_max
}

/// The door to Core.
#[derive(Default)]
pub struct Inbox {
    state: Mutex<State>,
    ready: Condvar,
    /// Core and what it reaches; locked only by who holds the baton.
    driver: Mutex<Option<Driver>>,
}

impl Inbox {
    /// Puts Core behind the door. What came before waits for it.
    pub fn open(&self, driver: Driver) {
        *self.driver.lock().expect("no thread panics with Core") = Some(driver);
        self.work_if_any();
    }

    /// A number from below.
    pub fn number(&self, input: Input) {
        self.put(|waiting| waiting.numbers.push(input));
    }

    /// The same, by a thread that has better things to do than to run Core.
    pub fn number_in_passing(&self, input: Input) {
        let mut state = self.lock();
        state.waiting.numbers.push(input);
        if state.take_baton() {
            state.handed_over = true;
            drop(state);
            self.ready.notify_one();
        }
    }

    /// Store has applied a batch. That is work only if Core waits for it;
    /// else it hears with the next input, or tick.
    pub fn applied(&self, applied: Applied) {
        self.number(Input::Applied(applied));
    }

    /// A message from a peer.
    pub fn message(&self, message: Message) {
        let bulky = matches!(message.kind, MessageKind::App | MessageKind::Prop);
        let bytes = message.entries.iter().map(|entry| entry.data.len()).sum();
        self.put(|waiting| {
            let room = waiting.messages.len() < limits::MESSAGES_MAX
                && has_room(waiting.message_bytes, bytes, limits::MESSAGE_BYTES_MAX);
            if !bulky || room {
                waiting.message_bytes += bytes;
                waiting.messages.push(message);
            }
        });
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
        let bytes = match &input {
            Input::Propose(proposal) => proposal.data.len(),
            _ => 0,
        };
        self.put(|waiting| {
            let room = waiting.requests.len() < limits::PROPOSALS_MAX
                && has_room(waiting.request_bytes, bytes, limits::PROPOSAL_BYTES_MAX);
            if !room {
                return Err(Full);
            }
            waiting.request_bytes += bytes;
            waiting.requests.push(input);
            Ok(())
        })
    }

    /// Runs `work` and only then, in one round, Core for all that this thread
    /// has put in meanwhile.
    pub fn gather<R>(&self, work: impl FnOnce() -> R) -> R {
        let outermost = !GATHERING.replace(true);
        let done = work();
        if outermost {
            GATHERING.set(false);
            self.work_if_any();
        }
        done
    }

    /// Nothing more will be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// Core's own thread: waits until `deadline`, the baton or the end.
    pub fn wait(&self, deadline: Instant) -> Turn {
        let mut state = self.lock();
        loop {
            if state.closed {
                return Turn::Closed;
            }
            if std::mem::take(&mut state.handed_over) {
                return Turn::Baton;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Turn::Due;
            }
            (state, _) = self.ready.wait_timeout(state, left).expect("no thread panics with the inbox");
        }
    }

    /// Takes Core out, for good: its ends are dropped, and what is below stops.
    pub fn shut(&self) {
        let driver = self.driver.lock().expect("no thread panics with Core").take();
        drop(driver);
    }

    fn put<R>(&self, put: impl FnOnce(&mut Waiting) -> R) -> R {
        let mut state = self.lock();
        let result = put(&mut state.waiting);
        let mine = !GATHERING.get() && state.take_baton();
        drop(state);
        if mine {
            self.work();
        }
        result
    }

    fn work_if_any(&self) {
        let mine = self.lock().take_baton();
        if mine {
            self.work();
        }
    }

    /// Runs a few rounds of Core. The caller has the baton; it is laid back if
    /// nothing is left to do, else for Core's own thread.
    ///
    /// Clients that were answered meanwhile are written to when it is let go:
    /// what runs on their connections may come back to the inbox.
    pub fn work(&self) {
        line::push_after(|| self.rounds());
    }

    fn rounds(&self) {
        let mut driver = self.driver.lock().expect("no thread panics with Core");
        let Some(driver) = driver.as_mut() else {
            // Not there yet, or gone already.
            self.lock().taken = false;
            return;
        };
        for _ in 0..ROUNDS_IN_PASSING {
            std::mem::swap(&mut self.lock().waiting, &mut driver.taken);
            let lives = driver.round();
            let mut state = self.lock();
            state.closed |= !lives;
            state.urgent = driver.waits_for_applied();
            if state.closed || !state.has_work() {
                state.taken = false;
                return;
            }
        }
        self.lock().handed_over = true;
        self.ready.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the inbox")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use raft::{Entry, EntryKind};

    fn proposal(id: u64, data: &Bytes) -> Proposal {
        Proposal { id, data: data.clone(), only_in: None }
    }

    /// Without Core behind it, whatever comes waits.
    #[test]
    fn requests_are_bounded_by_count_and_by_bytes() {
        let inbox = Inbox::default();
        let large = Bytes::from(vec![0; 1 << 20]);
        for id in 0..64 {
            assert_eq!(inbox.propose(proposal(id, &large)), Ok(()));
        }
        assert_eq!(inbox.propose(proposal(64, &large)), Err(Full), "64 MiB wait");
        assert_eq!(inbox.read(65), Ok(()), "a read has no bytes");
        for id in 65..limits::PROPOSALS_MAX as u64 {
            assert_eq!(inbox.read(id), Ok(()));
        }
        assert_eq!(inbox.read(u64::MAX), Err(Full), "too many wait");

        let larger = Bytes::from(vec![0; limits::PROPOSAL_BYTES_MAX + 1]);
        assert_eq!(Inbox::default().propose(proposal(1, &larger)), Ok(()), "one may always wait");
    }

    #[test]
    fn messages_are_bounded_by_count_and_by_bytes_but_for_votes_and_heartbeats() {
        let large = Bytes::from(vec![0; 1 << 20]);
        let entry = Entry { index: 1, term: 1, kind: EntryKind::Normal, data: large };
        let append = Message { entries: vec![entry], ..Message::new(MessageKind::App, 2) };
        let inbox = Inbox::default();
        for _ in 0..100 {
            inbox.message(append.clone());
        }
        assert_eq!(inbox.lock().waiting.messages.len(), limits::MESSAGE_BYTES_MAX >> 20);
        inbox.message(Message::new(MessageKind::Vote, 2));
        assert_eq!(inbox.lock().waiting.messages.len(), (limits::MESSAGE_BYTES_MAX >> 20) + 1);
    }
}
