//! What the leader knows of one member's log, and how much it dares to send ahead.
//!
//! ```text
//!            rejection, loss                 first entry is gone
//!   ┌───────┐ ◀───────────── ┌───────────┐
//!   │ Probe │                │ Replicate │ ──────┐
//!   └───────┘ ─────────────▶ └───────────┘       ▼
//!      ▲  │        ack             ▲        ┌──────────┐
//!      │  └───────────────────────┼──────▶ │ Snapshot │
//!      └───────── sent or failed ──┴─ ack ─ └──────────┘
//! ```
//!
//! Probe: one message at a time until the logs are known to agree somewhere. Replicate: a stream of messages, bounded by
//! count and by bytes, `next` moving ahead of acknowledgements. Snapshot: nothing until the snapshot has ended.
//! It only counts; what to send is decided in `replication`.

use std::collections::VecDeque;

use crate::Index;

/// How entries are sent to a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// One message, then wait.
    Probe,
    /// Ahead of acknowledgements, within the limits.
    Replicate,
    /// Nothing, until the snapshot at this index has arrived or failed.
    Snapshot {
        /// The snapshot's position.
        pending: Index,
    },
}

/// Messages sent and not yet acknowledged: the last index of each, and its bytes.
#[derive(Clone, Debug)]
struct InFlight {
    sent: VecDeque<(Index, usize)>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
}

impl InFlight {
    fn is_full(&self) -> bool {
        self.sent.len() >= self.messages_max || self.bytes >= self.bytes_max
    }

    fn add(&mut self, last: Index, bytes: usize) {
        assert!(!self.is_full(), "nothing may be sent beyond the in-flight limits");
        self.sent.push_back((last, bytes));
        self.bytes += bytes;
    }

    fn free(&mut self, acknowledged: Index) {
        while let Some((last, bytes)) = self.sent.front().copied()
            && last <= acknowledged
        {
            self.bytes -= bytes;
            self.sent.pop_front();
        }
    }

    fn clear(&mut self) {
        self.sent.clear();
        self.bytes = 0;
    }
}

/// One member as the leader sees it.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// The highest index known to be durable there and equal to ours.
    pub(crate) matched: Index,
    /// The next entry to send. Always above `matched`.
    pub(crate) next: Index,
    pub(crate) stream: Stream,
    /// Heard from since the last quorum check.
    pub(crate) recent_active: bool,
    pub(crate) learner: bool,
    /// Wait for an acknowledgement or a heartbeat answer before sending more.
    paused: bool,
    /// The highest commit the member has been told, as far as it can use it.
    sent_commit: Index,
    /// The last entry that the member itself has asked for: its clients wait to hear that it is committed.
    pub(crate) asked: Index,
    in_flight: InFlight,
}

impl Progress {
    pub(crate) fn new(next: Index, learner: bool, messages_max: usize, bytes_max: usize) -> Progress {
        Progress {
            matched: 0,
            next: next.max(1),
            stream: Stream::Probe,
            recent_active: false,
            learner,
            paused: false,
            sent_commit: 0,
            asked: 0,
            in_flight: InFlight { sent: VecDeque::new(), bytes: 0, messages_max, bytes_max },
        }
    }

    fn reset(&mut self, stream: Stream) {
        self.paused = false;
        self.stream = stream;
        self.in_flight.clear();
    }

    pub(crate) fn become_probe(&mut self) {
        let past_snapshot = match self.stream {
            Stream::Snapshot { pending } => pending + 1,
            _ => 0,
        };
        self.reset(Stream::Probe);
        self.next = past_snapshot.max(self.matched + 1);
        self.sent_commit = self.sent_commit.min(self.next - 1);
    }

    pub(crate) fn become_replicate(&mut self) {
        self.reset(Stream::Replicate);
        self.next = self.matched + 1;
    }

    pub(crate) fn become_snapshot(&mut self, index: Index) {
        self.reset(Stream::Snapshot { pending: index });
        self.next = index + 1;
        self.sent_commit = index;
    }

    /// The snapshot being sent has ended. Either way: wait for a sign of life before sending again.
    pub(crate) fn snapshot_ended(&mut self, ok: bool) {
        if !ok {
            self.stream = Stream::Snapshot { pending: 0 };
        }
        self.become_probe();
        self.paused = true;
    }

    /// Whether entries may be put into a message now; an empty message is always allowed when not paused.
    pub(crate) fn takes_entries(&self) -> bool {
        self.stream != Stream::Replicate || !self.in_flight.is_full()
    }

    pub(crate) fn is_paused(&self) -> bool {
        match self.stream {
            Stream::Probe | Stream::Replicate => self.paused,
            Stream::Snapshot { .. } => true,
        }
    }

    /// Sending may go on, although nothing was acknowledged: the member has answered a heartbeat.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
    }

    /// Notes an append message with `count` entries of `bytes` payload, and the commit it carries.
    pub(crate) fn sent(&mut self, count: usize, bytes: usize, commit: Index) {
        match self.stream {
            Stream::Replicate => {
                if count > 0 {
                    self.next += count as u64;
                    self.in_flight.add(self.next - 1, bytes);
                }
                self.paused = self.in_flight.is_full();
            }
            Stream::Probe => {
                if count > 0 {
                    self.paused = true;
                }
            }
            Stream::Snapshot { .. } => panic!("no entries are sent while a snapshot is under way"),
        }
        self.sent_commit = commit;
    }

    pub(crate) fn told_commit(&mut self, commit: Index) {
        self.sent_commit = commit;
    }

    /// Whether the member waits for a commit that it has not been told.
    pub(crate) fn waits_for_commit(&self) -> bool {
        self.asked > self.sent_commit
    }

    /// Whether telling `commit` would let the member commit more than it can so far.
    pub(crate) fn can_bump_commit(&self, commit: Index) -> bool {
        commit > self.sent_commit && self.sent_commit < self.next - 1
    }

    /// An acknowledgement. False when it says nothing new.
    pub(crate) fn acknowledge(&mut self, index: Index) -> bool {
        if index <= self.matched {
            return false;
        }
        self.matched = index;
        self.next = self.next.max(index + 1);
        self.paused = false;
        true
    }

    pub(crate) fn free_in_flight(&mut self, index: Index) {
        self.in_flight.free(index);
    }

    /// A rejection of the message before `rejected + 1`; `hint` is where the logs may agree.
    /// False when it answers something older than what is known.
    pub(crate) fn step_back(&mut self, rejected: Index, hint: Index) -> bool {
        if self.stream == Stream::Replicate {
            if rejected <= self.matched {
                return false;
            }
            self.next = self.matched + 1;
        } else {
            if self.next - 1 != rejected {
                return false;
            }
            self.next = rejected.min(hint.saturating_add(1)).max(self.matched + 1);
            self.paused = false;
        }
        self.sent_commit = self.sent_commit.min(self.next - 1);
        true
    }

    pub(crate) fn in_flight_messages(&self) -> usize {
        self.in_flight.sent.len()
    }

    pub(crate) fn in_flight_bytes(&self) -> usize {
        self.in_flight.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        Progress::new(5, false, 2, 100)
    }

    #[test]
    fn probe_sends_one_message() {
        let mut peer = progress();
        assert!(!peer.is_paused());
        peer.sent(1, 10, 0);
        assert!(peer.is_paused());
        assert_eq!(peer.next, 5, "a probe is not optimistic");
        peer.resume();
        assert!(!peer.is_paused());
    }

    #[test]
    fn replicate_is_bounded_by_count_and_bytes() {
        let mut peer = progress();
        peer.acknowledge(4);
        peer.become_replicate();
        peer.sent(1, 10, 0);
        assert!(!peer.is_paused());
        peer.sent(2, 10, 0);
        assert_eq!((peer.next, peer.is_paused()), (8, true));
        assert!(!peer.takes_entries());
        assert!(peer.acknowledge(5));
        peer.free_in_flight(5);
        assert!(peer.takes_entries() && !peer.is_paused());
        peer.sent(1, 95, 0);
        assert!(peer.is_paused(), "the byte limit is reached");
        assert_eq!((peer.in_flight_messages(), peer.in_flight_bytes()), (2, 105));
        peer.resume();
        peer.sent(0, 0, 0);
        assert!(peer.is_paused(), "an empty message does not lift the limit");
    }

    #[test]
    fn rejections() {
        let mut peer = Progress::new(10, false, 2, 100);
        assert!(!peer.step_back(8, 3), "answers an older probe");
        assert!(peer.step_back(9, 3));
        assert_eq!(peer.next, 4);
        assert!(peer.step_back(3, 7), "never forward");
        assert_eq!(peer.next, 3);
        peer.acknowledge(3);
        peer.become_replicate();
        peer.sent(2, 1, 0);
        assert!(!peer.step_back(3, 0), "stale");
        assert!(peer.step_back(5, 0));
        assert_eq!(peer.next, 4);
    }

    #[test]
    fn snapshot_success_and_failure() {
        let mut peer = progress();
        peer.become_snapshot(20);
        assert!(peer.is_paused());
        peer.snapshot_ended(true);
        assert_eq!((peer.next, peer.stream, peer.is_paused()), (21, Stream::Probe, true));
        peer.become_snapshot(30);
        peer.snapshot_ended(false);
        assert_eq!((peer.next, peer.is_paused()), (1, true));
    }

    #[test]
    fn commit_is_told_once() {
        let mut peer = progress();
        peer.acknowledge(4);
        peer.become_replicate();
        assert!(peer.can_bump_commit(3));
        peer.sent(0, 0, 4);
        assert!(!peer.can_bump_commit(4));
        assert!(!peer.can_bump_commit(9), "it holds nothing beyond 4 that could be committed");
    }
}
