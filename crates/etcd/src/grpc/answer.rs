//! What a unary call answers: a message that is there, or one that is made while the client takes it.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use super::status::Status;

/// The next bytes of a message, once they are there.
pub type Piece<'a> = Pin<Box<dyn Future<Output = Result<Option<Bytes>, Status>> + Send + 'a>>;

/// A message too long to be held. It is asked for a piece when the client has taken, or has room for, all before; so
/// there are no more than two pieces of it in memory. It is dropped when the client has room for the last one, or is gone.
pub trait LongMessage: Send {
    /// Length of the whole message.
    fn size_bytes(&self) -> usize;
    /// The next piece; `None` after the last.
    fn next(&mut self) -> Piece<'_>;
}

/// The message of a unary call's answer.
pub enum Answer {
    /// All of it.
    Whole(Bytes),
    /// Piece by piece.
    Long(Box<dyn LongMessage>),
}

impl Answer {
    /// Length of the message.
    pub fn size_bytes(&self) -> usize {
        match self {
            Answer::Whole(message) => message.len(),
            Answer::Long(message) => message.size_bytes(),
        }
    }
}

impl From<Bytes> for Answer {
    fn from(message: Bytes) -> Answer {
        Answer::Whole(message)
    }
}
