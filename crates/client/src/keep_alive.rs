//! Keeping a lease alive.

use std::time::Duration;

use proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use proto::methods::path;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Code;

use crate::Client;
use crate::call::{Asked, rest};
use crate::error::{Error, LEASE_NOT_FOUND, Result, Status};
use crate::streams::Bidi;
use crate::watch::is_passing;

/// The first answer may take this much longer than connecting.
const FIRST_ANSWER_GRACE: Duration = Duration::from_secs(1);
/// An answer may take this part of the time that the lease has left, and at
/// least so long: then there is time to ask somebody else.
const TRIES_IN_TIME: u32 = 3;
const TRY_MIN: Duration = Duration::from_millis(500);

impl Client {
    /// Renews a lease once. An unknown lease is an error.
    pub async fn lease_keep_alive_once(&self, id: i64) -> Result<LeaseKeepAliveResponse> {
        let mut failures = 0;
        loop {
            match self.renew(id).await {
                Ok(response) if response.ttl <= 0 => {
                    return Err(Error::Status(Status::new(Code::NotFound, LEASE_NOT_FOUND)));
                }
                Err(error) if is_passing(&error) && failures < crate::call::TRIES_MAX => {
                    failures += 1;
                    rest(failures - 1).await;
                }
                result => return result,
            }
        }
    }

    /// Keeps a lease alive for as long as [`KeepAlive::next`] is called.
    pub fn lease_keep_alive(&self, id: i64) -> KeepAlive {
        KeepAlive {
            client: self.clone(),
            id,
            stream: None,
            send_at: Instant::now(),
            expires_at: Instant::now() + self.config().connect_timeout + FIRST_ANSWER_GRACE,
            failures: 0,
        }
    }

    async fn renew(&self, id: i64) -> Result<LeaseKeepAliveResponse> {
        let first = LeaseKeepAliveRequest { id };
        let mut stream = self.bidi(path::LEASE_KEEP_ALIVE, first, &mut None).await?;
        stream.receive().await?.ok_or_else(ended_early)
    }
}

type Renewals = Bidi<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;

/// Renewals of one lease, a third of its time apart.
#[derive(Debug)]
pub struct KeepAlive {
    client: Client,
    id: i64,
    stream: Option<Renewals>,
    /// When the next renewal is due.
    send_at: Instant,
    /// When the lease is lost unless an answer comes.
    expires_at: Instant,
    /// Streams broken in a row.
    failures: usize,
}

impl KeepAlive {
    /// Waits until the next renewal is due, and renews. None when the lease is
    /// gone: expired, revoked, or out of reach for longer than it lasts.
    ///
    /// Fails for reasons that repeating will not cure.
    pub async fn next(&mut self) -> Result<Option<LeaseKeepAliveResponse>> {
        sleep_until(self.send_at).await;
        loop {
            let now = Instant::now();
            let left = self.expires_at.saturating_duration_since(now);
            let deadline = self.expires_at.min(now + (left / TRIES_IN_TIME).max(TRY_MIN));
            let mut asked = None;
            let answer = match timeout_at(deadline, renew(&self.client, &mut self.stream, self.id, &mut asked)).await {
                Err(_) if deadline == self.expires_at => return Ok(None),
                Err(_) => {
                    match (self.stream.take(), asked) {
                        (Some(stream), _) => stream.silent(),
                        (None, Some(who)) => who.silent(),
                        (None, None) => {}
                    }
                    continue;
                }
                Ok(answer) => answer,
            };
            match answer {
                Ok(response) if response.ttl <= 0 => return Ok(None),
                Ok(response) => {
                    self.failures = 0;
                    let left = Duration::from_secs(response.ttl.unsigned_abs());
                    self.send_at = Instant::now() + left / 3;
                    self.expires_at = Instant::now() + left;
                    return Ok(Some(response));
                }
                Err(error) if is_passing(&error) => {
                    self.stream = None;
                    self.failures += 1;
                    rest(self.failures - 1).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Asks once, on the stream there is or on a new one.
async fn renew<'a>(
    client: &'a Client,
    open: &mut Option<Renewals>,
    id: i64,
    asked: &mut Asked<'a>,
) -> Result<LeaseKeepAliveResponse> {
    let request = LeaseKeepAliveRequest { id };
    let stream = match open {
        Some(stream) => {
            stream.send(request).await;
            stream
        }
        none => none.insert(client.bidi(path::LEASE_KEEP_ALIVE, request, asked).await?),
    };
    stream.receive().await?.ok_or_else(ended_early)
}

/// The server has ended a stream that was not finished.
fn ended_early() -> Error {
    Error::Status(Status::new(Code::Unavailable, "the lease stream ended early"))
}
