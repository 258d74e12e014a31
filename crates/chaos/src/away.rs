//! Which members said that they lead when a fault took them away from the others, and are away still: who asks one of
//! these asks somebody who may lead no longer and not know it yet.

use std::sync::Arc;
use tokio::sync::watch;

/// For each member, how many such faults there are. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Away(Arc<Vec<watch::Sender<u32>>>);

impl Away {
    /// Nobody is.
    pub fn new(members: usize) -> Away {
        Away(Arc::new((0..members).map(|_| watch::Sender::new(0)).collect()))
    }

    /// One fault more, or one less.
    pub fn set(&self, member: usize, is_away: bool) {
        self.0[member].send_modify(|faults| *faults = if is_away { *faults + 1 } else { *faults - 1 });
    }

    /// Whether a member is away.
    pub fn is(&self, member: usize) -> bool {
        *self.0[member].borrow() > 0
    }

    /// Returns when a member is away.
    pub async fn until(&self, member: usize) {
        let mut faults = self.0[member].subscribe();
        faults.wait_for(|faults| *faults > 0).await.expect("we hold the other end");
    }
}
