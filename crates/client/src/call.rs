//! One call: to whom, how long, and whether to say it again.
//!
//! The rules are etcd's. A call waits for a connection as long as its time
//! lasts, and is given only to a server that has spoken. One that surely no
//! server has heard is said again whatever it is (see `attempt`), and one that a
//! member has refused for its token or as a learner; any other only if it is
//! `Repeat::Safe`, and the answer is `Unavailable`. After each round over the
//! endpoints comes a pause, except after the first in which connections were
//! lost: they are replaced at once. Nothing else in this crate repeats a unary
//! call.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::API_VERSION;
use crate::attempt::{Failed, ask};
use crate::config::{Config, Credentials};
use crate::endpoints::{Endpoints, Who};
use crate::error::{Error, Result, Status, Trouble, reason_broken};

/// Most repetitions of a call that was sent, and most dials of each endpoint
/// for a call that has no deadline.
pub(crate) const TRIES_MAX: usize = 100;
/// The pause after the first round over all endpoints, and the longest one; also
/// between dials of one endpoint. Go's gRPC dials again after 1 s and at last
/// every 120 s; a member that comes back is found sooner here.
const PAUSE_MIN: Duration = Duration::from_millis(25);
const PAUSE_MAX: Duration = Duration::from_millis(400);

/// Whether a call may be sent again although a member may have seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It only reads, or doing it twice is the same as once.
    Safe,
    /// It changes keys.
    Never,
}

/// The endpoint whose answer a call waits for just now.
pub(crate) type Asked<'a> = Option<Who<'a>>;

/// A handle on a cluster. Clones share connections and token.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    timeout: Option<Duration>,
    require_leader: bool,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    endpoints: Endpoints,
    /// The token in use. Held while a new one is fetched, so that one fetch
    /// serves all who wait.
    token: Mutex<Option<MetadataValue<Ascii>>>,
}

impl Client {
    /// A client that will connect with its first call.
    ///
    /// Fails on endpoints it cannot understand, on TLS, and outside a tokio
    /// runtime. Whether anybody listens is seen by the first call.
    pub fn new(config: Config) -> Result<Self> {
        Ok(Self {
            timeout: config.timeout,
            require_leader: config.require_leader,
            shared: Arc::new(Shared { endpoints: Endpoints::new(&config)?, token: Mutex::new(None), config }),
        })
    }

    /// The same habits, but this one endpoint, with a connection of its own.
    /// For what only a certain member can answer.
    pub fn at(&self, endpoint: &str) -> Result<Self> {
        Self::new(Config {
            endpoints: vec![endpoint.to_owned()],
            timeout: self.timeout,
            require_leader: self.require_leader,
            ..self.shared.config.clone()
        })
    }

    /// The same connections, but this much time for each call.
    pub fn with_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same connections, but members that see no leader refuse.
    pub fn with_require_leader(mut self) -> Self {
        self.require_leader = true;
        self
    }

    /// Fetches the token that calls will carry, so that a wrong password is seen
    /// before any of them. Does nothing without credentials.
    pub async fn log_in(&self) -> Result<()> {
        let mut asked = None;
        let result = in_time(self.deadline(), self.token(&mut asked)).await;
        self.name_the_silent(result.map(drop), asked)
    }

    /// The endpoints whose last try did not end well, and why.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.shared.endpoints.troubles()
    }

    /// Whether there is a connection on which a member has spoken.
    pub fn is_connected(&self) -> bool {
        self.shared.endpoints.is_any_up()
    }

    /// The endpoints as given.
    pub fn endpoints(&self) -> &[String] {
        &self.shared.config.endpoints
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    /// When a call that begins now must have ended.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timeout.map(|timeout| Instant::now() + timeout)
    }

    /// The end of a call. One whose time was over says which endpoints are why;
    /// `asked` is the one that still had to answer; if there was none, nobody
    /// had spoken yet.
    pub(crate) fn name_the_silent<T>(&self, result: Result<T>, asked: Asked<'_>) -> Result<T> {
        let Err(Error::Deadline { .. }) = result else { return result };
        match asked {
            Some(who) => who.silent(),
            None => self.shared.endpoints.all_silent(),
        }
        Err(Error::Deadline { troubles: self.troubles() })
    }

    /// One request, one response.
    pub(crate) async fn unary<M, R>(&self, path: &'static str, repeat: Repeat, message: M) -> Result<R>
    where
        M: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        self.check_size(&message)?;
        let deadline = self.deadline();
        let mut asked = None;
        let result = in_time(deadline, self.tries(path, repeat, message, deadline, &mut asked)).await;
        self.name_the_silent(result, asked)
    }

    async fn tries<'a, M, R>(
        &'a self,
        path: &'static str,
        repeat: Repeat,
        message: M,
        deadline: Option<Instant>,
        asked: &mut Asked<'a>,
    ) -> Result<R>
    where
        M: Message + Clone + 'static,
        R: Message + Default + 'static,
    {
        let endpoints = &self.shared.endpoints;
        let mut tries = 0;
        let mut renewed = false;
        let mut refused: Vec<Who<'_>> = Vec::new();
        let mut refusal = None;
        loop {
            let token = self.token(asked).await?;
            let (who, channel) = match endpoints.turn(self.dials_max(&refused), &refused).await {
                Ok(turn) => turn,
                Err(error) => return Err(refusal.unwrap_or(error)),
            };
            let mut request = self.request(message.clone(), token.as_ref());
            if let Some(at) = deadline {
                request.set_timeout(at.saturating_duration_since(Instant::now()));
            }
            *asked = Some(who);
            let Failed { status, is_unheard } = match ask(self.grpc(channel), path, request).await {
                Ok(response) => {
                    who.answered();
                    return Ok(response);
                }
                Err(failed) => failed,
            };

            *asked = None;
            tries += 1;
            let error = who.failed(&status, deadline);
            let is_lost = reason_broken(&status).is_some();
            if is_unheard {
                let is_over = matches!(error, Error::Deadline { .. });
                if is_over || (deadline.is_none() && tries >= TRIES_MAX) {
                    return Err(error);
                }
            } else if !renewed && self.token_is_stale(&error) {
                renewed = true;
                self.forget_token(token).await;
                continue;
            } else if refused_by_learner(&error) && refused.len() + 1 < endpoints.len() {
                refused.push(who);
                refusal = Some(error);
                continue;
            } else {
                let unavailable = error.code() == Some(Code::Unavailable);
                if repeat == Repeat::Never || !unavailable || tries >= TRIES_MAX {
                    return Err(error);
                }
                if !is_lost {
                    who.refused(status.message());
                }
            }
            if is_lost {
                rest_lost(tries, endpoints.len()).await;
            } else if tries.is_multiple_of(endpoints.len()) {
                rest(tries / endpoints.len()).await;
            }
        }
    }

    /// How often each endpoint is dialled in vain before a call gives up: as
    /// long as its time lasts; and once, if somebody has answered already.
    pub(crate) fn dials_max(&self, refused: &[Who<'_>]) -> usize {
        match self.timeout {
            _ if !refused.is_empty() => 1,
            Some(_) => usize::MAX,
            None => TRIES_MAX,
        }
    }

    /// The message with what every call carries.
    pub(crate) fn request<M>(&self, message: M, token: Option<&MetadataValue<Ascii>>) -> Request<M> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("client-api-version", MetadataValue::from_static(API_VERSION));
        if self.require_leader {
            metadata.insert("hasleader", MetadataValue::from_static("true"));
        }
        if let Some(token) = token {
            metadata.insert("token", token.clone());
        }
        request
    }

    pub(crate) fn grpc(&self, channel: Channel) -> Grpc<Channel> {
        Grpc::new(channel).max_decoding_message_size(self.shared.config.response_bytes_max)
    }

    pub(crate) fn shared_endpoints(&self) -> &Endpoints {
        &self.shared.endpoints
    }

    fn check_size<M: Message>(&self, message: &M) -> Result<()> {
        let (size, max) = (message.encoded_len(), self.shared.config.request_bytes_max);
        if size <= max {
            return Ok(());
        }
        Err(Error::Status(Status::new(
            Code::ResourceExhausted,
            format!("trying to send message larger than max ({size} vs. {max})"),
        )))
    }

    /// The token to send, fetched when there is none yet.
    pub(crate) async fn token<'a>(&'a self, asked: &mut Asked<'a>) -> Result<Option<MetadataValue<Ascii>>> {
        let Some(credentials) = &self.shared.config.credentials else {
            return Ok(None);
        };
        let mut held = self.shared.token.lock().await;
        if held.is_none() {
            let token = match credentials {
                Credentials::Token(token) => Some(token.clone()),
                Credentials::User { name, password } => self.authenticate(name, password, asked).await?,
            };
            let printable = |token: String| {
                let bad = |_| Error::Config("the auth token is not printable ASCII".to_owned());
                token.parse::<MetadataValue<Ascii>>().map_err(bad)
            };
            *held = token.map(printable).transpose()?;
        }
        Ok(held.clone())
    }

    /// Whether this refusal is about the token, and a new one can be had.
    fn token_is_stale(&self, error: &Error) -> bool {
        let renewable = matches!(self.shared.config.credentials, Some(Credentials::User { .. }));
        renewable
            && (error.says("etcdserver: invalid auth token")
                || error.says("etcdserver: revision of auth store is old")
                || error.says("etcdserver: user name is empty"))
    }

    /// Forgets the token, unless another call has renewed it meanwhile.
    async fn forget_token(&self, used: Option<MetadataValue<Ascii>>) {
        let mut held = self.shared.token.lock().await;
        if *held == used {
            *held = None;
        }
    }
}

pub(crate) fn http_path(path: &'static str) -> tonic::codegen::http::uri::PathAndQuery {
    tonic::codegen::http::uri::PathAndQuery::from_static(path)
}

/// The result of the work, unless the deadline comes first.
pub(crate) async fn in_time<T>(deadline: Option<Instant>, work: impl Future<Output = Result<T>>) -> Result<T> {
    match deadline {
        None => work.await,
        Some(at) => timeout_at(at, work).await.unwrap_or_else(|_| Err(Error::deadline())),
    }
}

pub(crate) fn refused_by_learner(error: &Error) -> bool {
    error.says("etcdserver: rpc not supported for learner")
        && matches!(error.code(), Some(Code::Unavailable | Code::FailedPrecondition))
}

/// Waits after this many failures in a row, or rounds of them.
pub(crate) async fn rest(failures: usize) {
    if failures > 0 {
        sleep(pause(failures)).await;
    }
}

/// Waits after this many attempts whose connections were lost: not at all
/// before each endpoint's turn has come once.
pub(crate) async fn rest_lost(lost: usize, endpoints: usize) {
    if lost.is_multiple_of(endpoints) {
        rest(lost / endpoints - 1).await;
    }
}

/// The pause after this many rounds, half of it by chance so that clients that
/// failed together do not come back together.
pub(crate) fn pause(rounds: usize) -> Duration {
    let doublings = rounds.saturating_sub(1).min(8) as u32;
    let full = (PAUSE_MIN * 2u32.pow(doublings)).min(PAUSE_MAX);
    full.mul_f64(0.5 + fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        for (round, full) in [(1, 25), (2, 50), (3, 100), (5, 400), (1000, 400)] {
            let full = Duration::from_millis(full);
            let pause = pause(round);
            assert!(pause >= full / 2 && pause <= full * 3 / 2, "{pause:?}");
        }
    }

    #[tokio::test]
    async fn no_endpoint_waits_for_its_first_turn() {
        let is_at_once = async |lost, endpoints| {
            tokio::select! {
                biased;
                () = rest_lost(lost, endpoints) => true,
                () = std::future::ready(()) => false,
            }
        };
        for (lost, endpoints, expected) in
            [(1, 1, true), (2, 1, false), (2, 3, true), (3, 3, true), (5, 3, true), (6, 3, false)]
        {
            assert_eq!(is_at_once(lost, endpoints).await, expected, "{lost} of {endpoints}");
        }
    }

    #[tokio::test]
    async fn a_write_too_large_is_not_sent() {
        let mut config = Config::to(["127.0.0.1:1"]);
        config.request_bytes_max = 8;
        let client = Client::new(config).unwrap();
        let put = proto::etcdserverpb::PutRequest { key: "0123456789".into(), ..Default::default() };
        let error = client.put(put).await.unwrap_err();
        assert_eq!(error.code(), Some(Code::ResourceExhausted));
        assert!(error.to_string().ends_with("trying to send message larger than max (12 vs. 8)"));
    }

    /// A port at which nobody listens: bound and closed again.
    fn nobody() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    }

    fn hurried(endpoints: [String; 2]) -> Client {
        let mut config = Config::to(endpoints);
        config.timeout = Some(Duration::from_millis(300));
        Client::new(config).unwrap()
    }

    #[tokio::test]
    async fn a_deadline_names_every_endpoint_that_did_not_answer() {
        let (nobody, mute) = (nobody(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let mute = mute.local_addr().map(|address| (address.to_string(), mute)).unwrap();
        let client = hurried([nobody.clone(), mute.0.clone()]);
        let error = client.put(proto::etcdserverpb::PutRequest::default()).await.unwrap_err();
        assert_eq!(error.to_string(), "context deadline exceeded");
        let Error::Deadline { troubles } = error else { panic!("another error: {error:?}") };
        let [first, second] = troubles.as_slice() else { panic!("not two: {troubles:?}") };
        assert_eq!((&first.endpoint, &second.endpoint), (&nobody, &mute.0));
        assert!(first.reason.contains("refused"), "{first:?}");
        assert_eq!(second.reason, "no answer in time");
    }

    #[tokio::test]
    async fn a_login_tries_as_long_as_it_may() {
        let nobody = nobody();
        let mut config = Config::to([nobody.clone()]);
        config.credentials = Some(Credentials::User { name: "root".into(), password: "x".into() });
        config.timeout = Some(Duration::from_millis(300));
        let error = Client::new(config).unwrap().log_in().await.unwrap_err();
        let Error::Deadline { troubles } = error else { panic!("another error: {error:?}") };
        assert_eq!(troubles[0].endpoint, nobody);
    }
}
