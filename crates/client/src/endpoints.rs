//! The endpoints of one client, and whose turn it is.
//!
//! A connection is made when a call first needs it and is kept by the
//! transport from then on. Calls go round; an endpoint that could not be
//! reached is passed over for a moment, unless all are in that state. Nothing
//! here sends, waits or decides about repetition.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use crate::config::{Config, KEEP_ALIVE_TIME_MIN, transport_address};
use crate::error::{Error, Result, Status, Trouble, reason_broken, reason_unreachable};

/// How long an endpoint is passed over after an attempt to connect failed.
const PASS_OVER: Duration = Duration::from_secs(1);
/// HTTP/2 window of one stream and of one connection, in bytes: enough that a
/// large range is not sent in 64 KiB steps. HTTP/2's library ends a connection
/// on which small frames lie unread whose overhead is more than half its
/// window; a watch that is not read must meet the end of its stream's first.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;

/// All endpoints of a client.
#[derive(Debug)]
pub(crate) struct Endpoints {
    all: Vec<Target>,
    next: AtomicUsize,
    born: Instant,
}

/// One endpoint with its connection.
#[derive(Debug)]
pub(crate) struct Target {
    /// As given.
    endpoint: String,
    channel: Channel,
    /// What became of the last try, if it did not end well.
    trouble: Mutex<Option<Trouble>>,
    /// Whether there is one; a call that goes well need not lock for it.
    is_troubled: AtomicBool,
    /// Whether it has ever answered.
    has_answered: AtomicBool,
    /// Milliseconds after `born` until which this one is passed over.
    passed_over_until_ms: AtomicU64,
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
        let target = |endpoint: &String| {
            Ok(Target {
                endpoint: endpoint.clone(),
                channel: channel(config, endpoint)?,
                trouble: Mutex::new(None),
                is_troubled: AtomicBool::new(false),
                has_answered: AtomicBool::new(false),
                passed_over_until_ms: AtomicU64::new(0),
            })
        };
        Ok(Self {
            all: config.endpoints.iter().map(target).collect::<Result<_>>()?,
            next: AtomicUsize::new(0),
            born: Instant::now(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The endpoint whose turn it is.
    pub(crate) fn turn(&self) -> &Target {
        let count = self.all.len();
        assert!(count > 0, "a client has at least one endpoint");
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        if count == 1 {
            return &self.all[0];
        }
        let now_ms = self.now_ms();
        (0..count)
            .map(|step| &self.all[first.wrapping_add(step) % count])
            .find(|target| target.passed_over_until_ms.load(Ordering::Relaxed) <= now_ms)
            .unwrap_or(&self.all[first % count])
    }

    /// The endpoints whose last try did not end well.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        self.all.iter().filter_map(|target| target.trouble().clone()).collect()
    }

    /// The endpoint could not be reached.
    pub(crate) fn pass_over(&self, target: &Target) {
        let until = self.now_ms() + PASS_OVER.as_millis() as u64;
        target.passed_over_until_ms.store(until, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        self.born.elapsed().as_millis() as u64
    }
}

impl Target {
    /// A try was answered.
    pub(crate) fn answered(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
        if self.is_troubled.swap(false, Ordering::Relaxed) {
            *self.trouble() = None;
        }
    }

    /// A try failed. Where the transport speaks of its connection, the error
    /// names the endpoint and the reason, which its own message leaves out.
    pub(crate) fn failed(&self, status: &tonic::Status, deadline: Option<Instant>) -> Error {
        let error = Error::from_transport(status, deadline);
        let broken = reason_broken(status);
        let Error::Status(Status { code, .. }) = error else {
            match broken {
                Some(_) => self.silent(),
                None => self.refused(status.message()),
            }
            return error;
        };
        let Some(mut reason) = broken else {
            self.answered();
            return error;
        };
        if reason_unreachable(status).is_none() && !self.has_answered.load(Ordering::Relaxed) {
            reason.push_str("; is it etcd, and without TLS?");
        }
        let message = format!("connection error: {}: {reason}", self.endpoint);
        *self.trouble() = Some(self.troubled(false, reason));
        Error::Status(Status { code, message })
    }

    /// A member answered, but cannot do it now. Kept until it can, for a caller
    /// whose time is over by then.
    pub(crate) fn refused(&self, message: &str) {
        self.answered();
        *self.trouble() = Some(self.troubled(true, message.to_owned()));
    }

    /// A try took too long. What is known of an earlier one says more.
    pub(crate) fn silent(&self) {
        self.trouble().get_or_insert_with(|| self.troubled(false, "no answer in time".to_owned()));
    }

    fn troubled(&self, answered: bool, reason: String) -> Trouble {
        self.is_troubled.store(true, Ordering::Relaxed);
        Trouble { endpoint: self.endpoint.clone(), answered, reason }
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle on the connection; cheap.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

fn channel(config: &Config, endpoint: &str) -> Result<Channel> {
    let address = transport_address(endpoint)?;
    let transport = Endpoint::from_shared(address)
        .map_err(|error| Error::Config(format!("bad endpoint {endpoint:?}: {error}")))?
        .connect_timeout(config.connect_timeout)
        .http2_keep_alive_interval(config.keep_alive_time.max(KEEP_ALIVE_TIME_MIN))
        .keep_alive_timeout(config.keep_alive_timeout)
        // A server answers probes on idle connections with GOAWAY.
        .keep_alive_while_idle(false)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .user_agent(concat!("quorate-client/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| Error::Config(format!("bad user agent: {error}")))?;
    Ok(transport.connect_lazy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(endpoints: &Endpoints, target: &Target) -> usize {
        let same = |other: &Target| std::ptr::eq(other, target);
        endpoints.all.iter().position(same).unwrap()
    }

    #[tokio::test]
    async fn turns_go_round_and_skip_the_unreachable() {
        let config = Config::to(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
        let endpoints = Endpoints::new(&config).unwrap();
        let turns = |count: usize| -> Vec<usize> {
            let turn = |_| index(&endpoints, endpoints.turn());
            (0..count).map(turn).collect()
        };
        assert_eq!(turns(4), [0, 1, 2, 0]);
        endpoints.pass_over(&endpoints.all[2]);
        assert_eq!(turns(3), [1, 0, 0]);
        endpoints.pass_over(&endpoints.all[0]);
        endpoints.pass_over(&endpoints.all[1]);
        // With all in the same state, they take turns as before.
        assert_eq!(turns(3), [1, 2, 0]);
    }

    #[test]
    fn needs_endpoints_and_a_runtime() {
        let none = Endpoints::new(&Config::to([""; 0])).unwrap_err();
        assert_eq!(none.to_string(), "etcdclient: no available endpoints");
        let outside = Endpoints::new(&Config::to(["h:1"])).unwrap_err();
        assert!(outside.to_string().contains("tokio runtime"));
    }
}
