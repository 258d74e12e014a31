//! A member that is blank, as on its first start, hears nobody before it has asked whether it has run before.
//!
//! Before it started nobody may have answered: after a power cut all members start at once, and one of them perhaps finds an
//! empty directory where its volume is not mounted. It would begin anew and vote for somebody who lacks what it once
//! acknowledged. So whatever another member says to raft is dropped until that member has been asked; if it knows this one as
//! a member that has run, this one stops. Somebody who leads was asked, so then it is over; and must be before this
//! member is published, because from then on it *has* run.

use super::remote::{self, Remote};
use super::{Inner, hex};
use crate::ask;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// Who is heard.
#[derive(Default)]
pub(super) struct Wary {
    is_on: AtomicBool,
    asked: Mutex<BTreeSet<u64>>,
}

impl Wary {
    pub fn begin(&self) {
        self.is_on.store(true, Ordering::Release);
    }

    pub fn end(&self) {
        self.is_on.store(false, Ordering::Release);
    }

    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    pub fn hears(&self, id: u64) -> bool {
        !self.is_on() || remote::lock(&self.asked).contains(&id)
    }

    fn hear(&self, id: u64) {
        remote::lock(&self.asked).insert(id);
    }
}

pub(super) fn start(inner: &Arc<Inner>, remote: &Arc<Remote>) {
    if !inner.wary.hears(remote.id) {
        inner.spawn(remote, run(Arc::downgrade(inner), remote.clone()));
    }
}

/// Asks until there is an answer, or nobody wants to know any more.
async fn run(inner: Weak<Inner>, remote: Arc<Remote>) {
    loop {
        let Some(inner) = inner.upgrade() else { return };
        if inner.wary.hears(remote.id) {
            return;
        }
        if let Some(url) = remote.url() {
            match ask::cluster(&url, inner.timeouts.dial).await {
                // Perhaps it tells of this very life by now.
                _ if inner.wary.hears(remote.id) => return,
                Ok(cluster) if cluster.id == inner.identity.cluster_id => {
                    match cluster.has_run(inner.identity.member_id) {
                        None => inner.wary.hear(remote.id),
                        Some(me) => inner.local.has_run(&url, me.clone()),
                    }
                    return;
                }
                // What it says to raft is refused anyway.
                Ok(_) => remote.avoid(&url),
                Err(error) => {
                    tracing::debug!("remote-peer-id" = %hex(remote.id), error, "cannot ask a member whether this one has run");
                    remote.avoid(&url);
                }
            }
        }
        let pause = inner.timeouts.redial;
        drop(inner);
        tokio::time::sleep(pause).await;
    }
}
