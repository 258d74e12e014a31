//! A member whose first start is not over hears nobody before it has asked whether it has run before.
//!
//! Before it started nobody may have answered: after a power cut all members start at once, and one of them perhaps finds an
//! empty directory where its volume is not mounted. It would begin anew and vote for somebody who lacks what it once
//! acknowledged. So whatever another member says to raft is dropped until that member has been asked; if it knows this one as
//! a member that has run, this one stops, and does again at each start (`boot/first_start.rs`). Somebody who leads was asked,
//! so then it is over; and must be before this member is published, because from then on it *has* run.

use super::Inner;
use super::remote::{self, Remote};
use crate::ask;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// Who is heard.
#[derive(Default)]
pub(super) struct Wary {
    is_on: AtomicBool,
    /// Who was asked, and who could not be, with the reason.
    asked: Mutex<BTreeMap<u64, Result<(), String>>>,
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
        !self.is_on() || matches!(remote::lock(&self.asked).get(&id), Some(Ok(())))
    }

    /// Why a member is not heard, once that is known.
    pub fn why_deaf_to(&self, id: u64) -> Option<String> {
        let asked = remote::lock(&self.asked);
        asked.get(&id).filter(|_| self.is_on())?.clone().err()
    }

    fn hear(&self, id: u64) {
        remote::lock(&self.asked).insert(id, Ok(()));
    }

    fn cannot_ask(&self, id: u64, url: &str, error: &str) {
        let why = format!(
            "it is not heard, because it cannot be asked at {url}/members whether this member has run before: {error}"
        );
        remote::lock(&self.asked).insert(id, Err(why));
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
                    inner.wary.cannot_ask(remote.id, &url, &error);
                    remote.avoid(&url);
                }
            }
        }
        let pause = inner.timeouts.redial;
        drop(inner);
        tokio::time::sleep(pause).await;
    }
}
