//! Keeping a lease alive.

use std::time::Duration;

use proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use proto::methods::path;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tonic::Code;

use crate::Client;
use crate::call::pause;
use crate::error::{Error, LEASE_NOT_FOUND, Result, Status};
use crate::streams::Bidi;
use crate::watch::is_passing;

/// The first answer may take this much longer than connecting.
const FIRST_ANSWER_GRACE: Duration = Duration::from_secs(1);

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
                    sleep(pause(failures)).await;
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
        let mut stream = self.bidi(path::LEASE_KEEP_ALIVE, first).await?;
        stream.receive().await?.ok_or_else(ended_early)
    }
}

/// Renewals of one lease, a third of its time apart.
#[derive(Debug)]
pub struct KeepAlive {
    client: Client,
    id: i64,
    stream: Option<Bidi<LeaseKeepAliveRequest, LeaseKeepAliveResponse>>,
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
            let answer = match timeout_at(self.expires_at, self.renew()).await {
                Err(_) => return Ok(None),
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
                    sleep(pause(self.failures)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn renew(&mut self) -> Result<LeaseKeepAliveResponse> {
        let request = LeaseKeepAliveRequest { id: self.id };
        let stream = match &mut self.stream {
            Some(stream) => {
                stream.send(request).await;
                stream
            }
            none => none.insert(self.client.bidi(path::LEASE_KEEP_ALIVE, request).await?),
        };
        stream.receive().await?.ok_or_else(ended_early)
    }
}

/// The server has ended a stream that was not finished.
fn ended_early() -> Error {
    Error::Status(Status::new(Code::Unavailable, "the lease stream ended early"))
}
