//! Proposals of other members that come while leadership is handed over.
//!
//! Raft takes none then, and who sent them does not send them again: they are put aside until somebody leads.

use super::Bounds;
use raft::Message;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Aside {
    messages: VecDeque<(Message, u64)>,
    bytes: usize,
}

impl Aside {
    /// Keeps a message, or drops it when too much is kept, as raft would have dropped it.
    pub fn put(&mut self, message: Message, now_ticks: u64, bounds: &Bounds) {
        let bytes = bytes(&message);
        let has_room =
            self.messages.len() < bounds.held && (self.messages.is_empty() || self.bytes + bytes <= bounds.held_bytes);
        if has_room {
            self.bytes += bytes;
            self.messages.push_back((message, now_ticks));
        }
    }

    /// Forgets those whose clients have stopped waiting.
    pub fn expire(&mut self, now_ticks: u64, hold_ticks: u32) {
        while let Some((late, _)) = self.messages.pop_front_if(|(_, since)| now_ticks - *since > u64::from(hold_ticks))
        {
            self.bytes -= bytes(&late);
        }
    }

    /// The next, in the order in which they came.
    pub fn next(&mut self) -> Option<Message> {
        let (message, _) = self.messages.pop_front()?;
        self.bytes -= bytes(&message);
        Some(message)
    }
}

fn bytes(message: &Message) -> usize {
    message.entries.iter().map(|entry| entry.data.len()).sum()
}
