//! The endpoints of one client, and whose turn it is.
//!
//! Who has no connection yet is dialled in the background, all at once, and a
//! call goes to the first on whose connection a server has spoken: one that
//! takes connections and stays silent holds nobody up. From then on calls go
//! round over the connections there are. Nothing here sends, or decides about
//! repetition.
//!
//! ```text
//!           its turn, and its pause is over          the server speaks
//!   down ───────────────────────────────▶ dialling ───────────────────▶ up
//!    ▲ ▲     no connection, or no word       │                          │
//!    │ └─────────────────────────────────────┘                          │
//!    └──────────────────────────────────────────────────────────────────┘
//!                   lost, or a call had no answer in time
//! ```

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tonic::Code;
use tonic::transport::Channel;

use crate::call::pause;
use crate::config::Config;
use crate::dial::Dialer;
use crate::error::{Error, Result, Status, Trouble, reason_broken, was_refused_alone};

/// What is known of who was asked and has not answered.
const NO_ANSWER: &str = "no answer in time";

/// All endpoints of a client.
#[derive(Debug)]
pub(crate) struct Endpoints {
    all: Vec<Arc<Target>>,
    next: AtomicUsize,
    /// Told when a dial has ended, well or not.
    news: Arc<Notify>,
}

/// One endpoint with its connection.
#[derive(Debug)]
pub(crate) struct Target {
    /// As given.
    endpoint: String,
    dialer: Dialer,
    line: Mutex<Line>,
    /// What became of the last try, if it did not end well.
    trouble: Mutex<Option<Trouble>>,
    /// Whether there is one; a call that goes well need not lock for it.
    is_troubled: AtomicBool,
}

#[derive(Debug)]
struct Line {
    state: State,
    /// Connections there have been: which one is meant.
    life: u64,
    /// Dials that have failed, and how many of them in a row.
    failed: usize,
    failed_in_a_row: usize,
}

#[derive(Debug)]
enum State {
    Down { until: Instant },
    Dialling,
    Up(Channel),
}

/// Who is asked, on which of its connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    target: &'a Arc<Target>,
    life: u64,
}

/// The same, for what lives longer than a call.
#[derive(Debug)]
pub(crate) struct Held {
    target: Arc<Target>,
    life: u64,
}

impl Endpoints {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        if config.endpoints.is_empty() {
            return Err(Error::Config("etcdclient: no available endpoints".to_owned()));
        }
        if tokio::runtime::Handle::try_current().is_err() {
            let message = "a client must be made inside a tokio runtime";
            return Err(Error::Config(message.to_owned()));
        }
        let mut all = Vec::with_capacity(config.endpoints.len());
        for endpoint in &config.endpoints {
            let state = State::Down { until: Instant::now() };
            all.push(Arc::new(Target {
                endpoint: endpoint.clone(),
                dialer: Dialer::new(config, endpoint)?,
                line: Mutex::new(Line { state, life: 0, failed: 0, failed_in_a_row: 0 }),
                trouble: Mutex::new(None),
                is_troubled: AtomicBool::new(false),
            }));
        }
        Ok(Self { all, next: AtomicUsize::new(0), news: Arc::new(Notify::new()) })
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The connection whose turn it is, of those who are not `refused`. Waits
    /// while there is none, and dials all of them meanwhile.
    ///
    /// Fails when each of them has been dialled in vain so many times since.
    pub(crate) async fn turn(&self, dials_max: usize, refused: &[Who<'_>]) -> Result<(Who<'_>, Channel)> {
        let count = self.all.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let is_refused = |target: &Target| refused.iter().any(|who| std::ptr::eq(who.target.as_ref(), target));
        let wanted = || {
            let in_turn = (0..count).map(|step| &self.all[first.wrapping_add(step) % count]);
            in_turn.filter(|target| !is_refused(target))
        };
        let mut failed_before: Option<Vec<usize>> = None;
        loop {
            let news = self.news.notified();
            let mut soonest: Option<Instant> = None;
            let mut failed = Vec::new();
            for target in wanted() {
                let mut line = target.line();
                match &line.state {
                    State::Up(channel) => return Ok((Who { target, life: line.life }, channel.clone())),
                    State::Dialling => {}
                    State::Down { until } if *until > Instant::now() => {
                        soonest = Some(soonest.map_or(*until, |other| other.min(*until)));
                    }
                    State::Down { .. } => {
                        line.state = State::Dialling;
                        tokio::spawn(dial(target.clone(), self.news.clone()));
                    }
                }
                failed.push(line.failed);
            }
            let before = failed_before.get_or_insert_with(|| failed.clone());
            if failed.iter().zip(before).all(|(now, before)| *now - *before >= dials_max) {
                let last = wanted().find_map(|target| target.trouble().clone());
                return Err(
                    last.map_or_else(Error::deadline, |trouble| unreachable(&trouble.endpoint, &trouble.reason))
                );
            }
            match soonest {
                None => news.await,
                Some(at) => tokio::select! {
                    () = news => {}
                    () = sleep_until(at) => {}
                },
            }
        }
    }

    /// The endpoints whose last try did not end well.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        self.all.iter().filter_map(|target| target.trouble().clone()).collect()
    }

    pub(crate) fn is_any_up(&self) -> bool {
        self.all.iter().any(|target| matches!(target.line().state, State::Up(_)))
    }

    /// The time of a call is over that found nobody to ask.
    pub(crate) fn all_silent(&self) {
        let dialling = |target: &&Arc<Target>| matches!(target.line().state, State::Dialling);
        self.all.iter().filter(dialling).for_each(|target| target.silent());
    }
}

/// Makes a connection, or finds out why there is none.
async fn dial(target: Arc<Target>, news: Arc<Notify>) {
    match target.dialer.dial().await {
        Ok(channel) => target.came_up(channel),
        Err(reason) => target.went_down(reason),
    }
    news.notify_waiters();
}

/// The error of a call that met nobody, or whose connection broke.
fn unreachable(endpoint: &str, reason: &str) -> Error {
    Error::Status(Status::new(Code::Unavailable, format!("connection error: {endpoint}: {reason}")))
}

impl Target {
    fn came_up(&self, channel: Channel) {
        {
            let mut line = self.line();
            line.state = State::Up(channel);
            line.life += 1;
            line.failed_in_a_row = 0;
        }
        // What a member said stays until it says something else.
        if self.trouble().as_ref().is_some_and(|trouble| !trouble.answered) {
            self.untroubled();
        }
    }

    fn went_down(&self, reason: String) {
        // Before those who wait look.
        *self.trouble() = Some(self.troubled(false, reason));
        let mut line = self.line();
        line.failed += 1;
        line.failed_in_a_row += 1;
        let until = Instant::now() + pause(line.failed_in_a_row);
        line.state = State::Down { until };
    }

    /// Lets go of a connection, unless there is another one by now. Who still
    /// waits on it may go on.
    fn hang_up(&self, life: u64) {
        let mut line = self.line();
        if line.life == life && matches!(line.state, State::Up(_)) {
            line.state = State::Down { until: Instant::now() };
        }
    }

    /// What is known of an earlier try says more.
    fn silent(&self) {
        self.trouble().get_or_insert_with(|| self.troubled(false, NO_ANSWER.to_owned()));
    }

    fn untroubled(&self) {
        if self.is_troubled.swap(false, Ordering::Relaxed) {
            *self.trouble() = None;
        }
    }

    fn troubled(&self, answered: bool, reason: String) -> Trouble {
        self.is_troubled.store(true, Ordering::Relaxed);
        Trouble { endpoint: self.endpoint.clone(), answered, reason }
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Who<'_> {
    /// A try was answered.
    pub(crate) fn answered(self) {
        self.target.untroubled();
    }

    /// A try failed. Where the transport speaks of its connection, the error
    /// names the endpoint and the reason, which its own message leaves out, and
    /// unless it goes on the next call finds another one.
    pub(crate) fn failed(self, status: &tonic::Status, deadline: Option<Instant>) -> Error {
        let error = Error::from_transport(status, deadline);
        let broken = reason_broken(status);
        let Error::Status(Status { code, .. }) = error else {
            match broken {
                Some(_) => self.silent(),
                None => self.refused(status.message()),
            }
            return error;
        };
        let Some(reason) = broken else {
            self.answered();
            return error;
        };
        if !was_refused_alone(status) {
            self.target.hang_up(self.life);
        }
        let message = format!("connection error: {}: {reason}", self.target.endpoint);
        *self.target.trouble() = Some(self.target.troubled(false, reason));
        Error::Status(Status { code, message })
    }

    /// A member answered, but cannot do it now. Kept until it can, for a caller
    /// whose time is over by then.
    pub(crate) fn refused(self, message: &str) {
        *self.target.trouble() = Some(self.target.troubled(true, message.to_owned()));
    }

    /// A try took too long. The next one finds out anew whether anybody is there.
    pub(crate) fn silent(self) {
        self.target.silent();
        self.target.hang_up(self.life);
    }

    pub(crate) fn held(self) -> Held {
        Held { target: self.target.clone(), life: self.life }
    }
}

impl Held {
    /// As [`Who::silent`].
    pub(crate) fn silent(&self) {
        Who { target: &self.target, life: self.life }.silent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_endpoints_and_a_runtime() {
        let none = Endpoints::new(&Config::to([""; 0])).unwrap_err();
        assert_eq!(none.to_string(), "etcdclient: no available endpoints");
        let outside = Endpoints::new(&Config::to(["h:1"])).unwrap_err();
        assert!(outside.to_string().contains("tokio runtime"));
    }
}
