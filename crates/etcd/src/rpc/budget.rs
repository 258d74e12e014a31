//! Memory for answers: what is long is made in pieces, and what cannot be waits for its turn.
//!
//! An answer up to [`INLINE_BYTES_MAX`] is made at once and lies in its connection until the client takes it. A longer
//! range is measured and then written in pieces of [`PIECE_BYTES`] ([`LongAnswer`]). A txn's answer, and what a deletion or
//! a put has replaced, come from the log and are there as a whole ([`WholeAnswer`]). Both set aside what they hold at most,
//! out of [`BUDGET_BYTES`] for the whole process, wait while it is used up, and give back what they no longer need while the
//! client reads: one that does not read slows others' long answers down, until it is given up, and never their short ones.

use super::answer::{blocking, end};
use crate::grpc::{Answer, Code, LongMessage, Piece, Status, held_by_all};
use crate::handle::Handle;
use crate::metrics;
use bytes::Bytes;
use disk::OsDisk;
use proto::etcdserverpb::RangeRequest;
use std::sync::Arc;
use std::time::Instant;
use store::{Header, LongRange};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// An answer up to this length is made at once,
pub const INLINE_BYTES_MAX: usize = 1 << 20;
/// unless clients have left so much unread;
pub const UNREAD_BYTES_MAX: usize = 64 << 20;
/// then only up to this length.
pub const INLINE_BYTES_MIN: usize = 4 << 10;
/// A long answer is written in pieces of this length. Two are in memory, and a value may be longer than that.
pub const PIECE_BYTES: usize = 256 << 10;
/// What all long answers together may hold.
pub const BUDGET_BYTES: usize = 128 << 20;
/// A txn, deletion or put whose answer would be longer is refused before anything happens.
pub const FROM_LOG_BYTES_MAX: usize = BUDGET_BYTES / 2;

/// The budget is counted in this unit.
const UNIT_BYTES: usize = 1 << 10;

/// What is left for long answers. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Budget(Arc<Semaphore>);

impl Default for Budget {
    fn default() -> Budget {
        Budget(Arc::new(Semaphore::new(BUDGET_BYTES / UNIT_BYTES)))
    }
}

impl Budget {
    /// Sets bytes aside. What is more than the whole budget gets all of it, alone.
    async fn take(&self, bytes: usize) -> Share {
        let taken = self.0.clone().acquire_many_owned(units(bytes) as u32).await;
        Share(taken.expect("nobody closes the budget"))
    }
}

/// Bytes that are set aside. Dropped, they are there for others.
#[derive(Debug)]
pub(super) struct Share(OwnedSemaphorePermit);

impl Share {
    /// Gives back what is more than so many bytes.
    fn shrink(&mut self, bytes: usize) {
        let more = self.0.num_permits().saturating_sub(units(bytes));
        drop(self.0.split(more));
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT_BYTES).min(BUDGET_BYTES / UNIT_BYTES)
}

/// How long an answer may be that is made at once.
pub(super) fn inline_bytes_max() -> usize {
    if held_by_all() < UNREAD_BYTES_MAX { INLINE_BYTES_MAX } else { INLINE_BYTES_MIN }
}

/// Measures a long range, and answers with it. What is in another order than that of keys is held key by key.
pub(super) async fn long_range(handle: &Handle, request: RangeRequest) -> Result<Answer, Status> {
    let sorted = handle.view().sorted_bytes(&request);
    let mut share = handle.answers().take(2 * PIECE_BYTES + sorted).await;
    // A View is taken only now: while it is held, so is what it sees.
    let view = handle.view();
    let header = handle.header(view.revision());
    let measured = blocking(move || {
        let started = Instant::now();
        let range = view.long_range(&request);
        metrics::ranged(started.elapsed(), range.is_ok());
        range
    });
    let range = measured.await.map_err(super::answer::unread)?;
    share.shrink(2 * PIECE_BYTES + range.held_bytes());
    let size_bytes = range.encoded_len(&header);
    Ok(Answer::Long(Box::new(LongAnswer { range: Some(range), header, size_bytes, _share: share })))
}

/// A range that is written while the client takes it.
struct LongAnswer {
    /// None while a piece is being made.
    range: Option<LongRange<OsDisk>>,
    header: Header,
    size_bytes: usize,
    _share: Share,
}

impl LongMessage for LongAnswer {
    fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    fn next(&mut self) -> Piece<'_> {
        Box::pin(async {
            let mut range = self.range.take().expect("one piece is made after the other");
            let header = self.header;
            let (range, piece) = blocking(move || {
                let piece = range.next_piece(&header, PIECE_BYTES);
                (range, piece)
            })
            .await;
            self.range = Some(range);
            piece.map_err(|fault| -> Status { end(&fault) })
        })
    }
}

/// The share of what is held for a moment, if it is much.
pub(super) async fn share_for(handle: &Handle, bytes: usize) -> Option<Share> {
    if is_little(bytes) { None } else { Some(handle.answers().take(bytes).await) }
}

/// The share of an answer that will come from the log as a whole, if it is long: twice its length, because it is there
/// decoded and encoded for a moment. None for a short one.
pub(super) async fn share_of(handle: &Handle, bytes: usize) -> Result<Option<Share>, Status> {
    if bytes > FROM_LOG_BYTES_MAX {
        let text = format!(
            "etcdserver: the answer would have {bytes} bytes, and no more than {FROM_LOG_BYTES_MAX} come from the log; \
             ask for less, or with a range of its own"
        );
        return Err(Status::new(Code::ResourceExhausted, text));
    }
    Ok(if is_little(bytes) { None } else { Some(handle.answers().take(2 * bytes).await) })
}

fn is_little(bytes: usize) -> bool {
    bytes <= INLINE_BYTES_MIN || (bytes <= INLINE_BYTES_MAX / 8 && inline_bytes_max() == INLINE_BYTES_MAX)
}

/// Joins an answer, which is encoded now, with its share.
pub(super) fn with_share(message: Bytes, share: Option<Share>) -> Answer {
    match share {
        None => Answer::Whole(message),
        Some(mut share) => {
            share.shrink(message.len());
            Answer::Long(Box::new(WholeAnswer { size_bytes: message.len(), message, _share: share }))
        }
    }
}

/// An answer that is there, given out in pieces so that its share is known to be free.
struct WholeAnswer {
    size_bytes: usize,
    message: Bytes,
    _share: Share,
}

impl LongMessage for WholeAnswer {
    fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    fn next(&mut self) -> Piece<'_> {
        let piece = self.message.split_to(self.message.len().min(PIECE_BYTES));
        Box::pin(std::future::ready(Ok((!piece.is_empty()).then_some(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_waits_for_its_client_holds_its_own_bytes_and_no_more() {
        let budget = Budget::default();
        let free = || budget.0.available_permits() * UNIT_BYTES;
        let share = budget.take(BUDGET_BYTES).await;
        assert_eq!(free(), 0, "it is decoded and encoded");
        let mut answer = with_share(Bytes::from(vec![7; PIECE_BYTES + 1]), Some(share));
        assert_eq!(free(), BUDGET_BYTES - PIECE_BYTES - UNIT_BYTES, "it is encoded");
        let Answer::Long(message) = &mut answer else { panic!("it has a share") };
        let mut pieces = Vec::new();
        while let Some(piece) = message.next().await.unwrap() {
            pieces.push(piece.len());
        }
        assert_eq!(pieces, [PIECE_BYTES, 1]);
        drop(answer);
        assert_eq!(free(), BUDGET_BYTES, "it has gone");

        let mut share = budget.take(10 * UNIT_BYTES).await;
        share.shrink(20 * UNIT_BYTES);
        assert_eq!(free(), BUDGET_BYTES - 10 * UNIT_BYTES, "a share does not grow");
        let whole = budget.take(usize::MAX);
        drop(share);
        drop(whole.await);
        assert_eq!(free(), BUDGET_BYTES);
    }
}
