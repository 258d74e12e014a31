//! One of the two sides: its processes, connections, watch streams and what
//! symbols mean there.

use crate::answer::Answer;
use crate::cluster::{Cluster, Programs};
use crate::lane::Limits;
use crate::request::{Meaning, Request};
use crate::watch::{Streams, replay};
use anyhow::{Context, Result, bail};
use futures_util::stream;
use proto::etcdserverpb::{HashKvRequest, LeaseLeasesRequest, LeaseRevokeRequest, RangeRequest, StatusRequest};
use proto::etcdserverpb::{HashKvResponse, MoveLeaderRequest, MoveLeaderResponse, StatusResponse};
use std::path::Path;
use std::time::{Duration, Instant};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// One side.
pub struct Side {
    /// Its processes.
    pub cluster: Cluster,
    channels: Vec<Channel>,
    /// What symbols mean here.
    pub meaning: Meaning,
    /// Its watch streams.
    pub streams: Streams,
}

/// One unary call.
pub async fn unary<M, R>(channel: &Channel, path: &'static str, message: M) -> Result<R, tonic::Status>
where
    M: prost::Message + 'static,
    R: prost::Message + Default + 'static,
{
    answered(path, async {
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX);
        grpc.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
        let mut request = tonic::Request::new(message);
        request.set_timeout(PATIENCE);
        let path = PathAndQuery::from_static(path);
        grpc.unary(request, path, ProstCodec::default()).await.map(tonic::Response::into_inner)
    })
    .await
}

/// A call, given up when it takes too long and the other side does not say so.
pub async fn answered<T>(path: &str, call: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, tonic::Status> {
    let answer = tokio::time::timeout(PATIENCE + PATIENCE / 10, call).await;
    answer.unwrap_or_else(|_| Err(tonic::Status::deadline_exceeded(format!("{path} is never answered"))))
}

async fn keep_alive(channel: &Channel, ids: Vec<i64>) -> Result<Answer, tonic::Status> {
    const PATH: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
    answered(PATH, async {
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.map_err(|error| tonic::Status::unavailable(error.to_string()))?;
        let asked = ids.into_iter().map(|id| proto::etcdserverpb::LeaseKeepAliveRequest { id });
        let asked = tonic::Request::new(stream::iter(asked));
        let path = PathAndQuery::from_static(PATH);
        let mut answers = grpc.streaming(asked, path, ProstCodec::default()).await?.into_inner();
        let mut found = Vec::new();
        while let Some(answer) = answers.message().await? {
            found.push(answer);
        }
        Ok(Answer::KeepAlive(found))
    })
    .await
}

impl Side {
    /// A fresh cluster that has a leader.
    pub async fn start(programs: &Programs, scratch: &Path, ours: &[bool], limits: Limits) -> Result<Side> {
        let cluster = Cluster::start(programs, scratch, ours, limits)?;
        let channels =
            (0..cluster.len()).map(|at| Ok(Endpoint::from_shared(cluster.url(at).to_owned())?.connect_lazy()));
        let channels = channels.collect::<Result<Vec<_>>>()?;
        let meaning = Meaning { current: 1, ..Meaning::default() };
        let mut side = Side { cluster, channels, meaning, streams: Streams::default() };
        side.ready().await?;
        Ok(side)
    }

    /// Waits until all that run name the same leader and answer reads; who leads.
    pub async fn ready(&mut self) -> Result<usize> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(leader) = self.agreed().await {
                return Ok(leader);
            }
            if let Some(ended) = self.cluster.ended() {
                bail!("{ended}");
            }
            if Instant::now() > deadline {
                bail!("no leader that all members name");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn agreed(&self) -> Option<usize> {
        let (mut leader, mut led) = (None, None);
        for at in (0..self.cluster.len()).filter(|&at| self.cluster.runs(at)) {
            let status = self.status(at).await?;
            if status.leader == 0 || *led.get_or_insert(status.leader) != status.leader {
                return None;
            }
            if status.leader == status.header?.member_id {
                leader = Some(at);
            }
            self.catch_up(at).await.ok()?;
        }
        leader
    }

    async fn status(&self, at: usize) -> Option<StatusResponse> {
        let asked = unary(&self.channels[at], "/etcdserverpb.Maintenance/Status", StatusRequest {});
        tokio::time::timeout(Duration::from_secs(2), asked).await.ok()?.ok()
    }

    /// A member that runs, this one or one after it.
    pub fn running(&self, at: usize) -> usize {
        let count = self.cluster.len();
        (0..count).map(|further| (at + further) % count).find(|&at| self.cluster.runs(at)).unwrap_or(0)
    }

    /// The connection to a member.
    pub fn channel(&self, at: usize) -> &Channel {
        &self.channels[at]
    }

    /// Waits until this member has what the cluster has.
    pub async fn catch_up(&self, at: usize) -> Result<(), tonic::Status> {
        let range = RangeRequest { key: "x".into(), count_only: true, ..RangeRequest::default() };
        let asked = unary::<_, proto::etcdserverpb::RangeResponse>(&self.channels[at], "/etcdserverpb.KV/Range", range);
        tokio::time::timeout(PATIENCE, asked)
            .await
            .map_err(|_| tonic::Status::unavailable("a read takes too long"))?
            .map(|_| ())
    }

    /// Sends one and waits for the answer.
    pub async fn ask(&self, at: usize, request: &Request) -> Answer {
        let at = self.running(at);
        if self.cluster.len() > 1
            && request.is_local()
            && let Err(status) = self.catch_up(at).await
        {
            return Answer::Refused { code: status.code(), message: status.message().to_owned() };
        }
        match self.send(&self.channels[at], request.clone()).await {
            Ok(answer) => answer,
            Err(status) => Answer::Refused { code: status.code(), message: status.message().to_owned() },
        }
    }

    async fn send(&self, to: &Channel, request: Request) -> Result<Answer, tonic::Status> {
        Ok(match request {
            Request::Range(ask) => Answer::Range(unary(to, "/etcdserverpb.KV/Range", ask).await?),
            Request::Put(ask) => Answer::Put(unary(to, "/etcdserverpb.KV/Put", ask).await?),
            Request::Delete(ask) => Answer::Delete(unary(to, "/etcdserverpb.KV/DeleteRange", ask).await?),
            Request::Txn(ask) => Answer::Txn(unary(to, "/etcdserverpb.KV/Txn", ask).await?),
            Request::Compact(ask) => Answer::Compact(unary(to, "/etcdserverpb.KV/Compact", ask).await?),
            Request::Grant(ask) => Answer::Grant(unary(to, "/etcdserverpb.Lease/LeaseGrant", ask).await?),
            Request::GrantAndRevoke(ask) => {
                let id = ask.id;
                let granted = unary(to, "/etcdserverpb.Lease/LeaseGrant", ask).await?;
                let revoke = LeaseRevokeRequest { id };
                let _: proto::etcdserverpb::LeaseRevokeResponse =
                    unary(to, "/etcdserverpb.Lease/LeaseRevoke", revoke).await?;
                Answer::Grant(granted)
            }
            Request::Revoke(ask) => Answer::Revoke(unary(to, "/etcdserverpb.Lease/LeaseRevoke", ask).await?),
            Request::KeepAlive(ids) => keep_alive(to, ids).await?,
            Request::TimeToLive(ask) => {
                Answer::TimeToLive(unary(to, "/etcdserverpb.Lease/LeaseTimeToLive", ask).await?)
            }
            Request::Leases => {
                Answer::Leases(unary(to, "/etcdserverpb.Lease/LeaseLeases", LeaseLeasesRequest {}).await?)
            }
            Request::HashKv(ask) => Answer::HashKv(unary(to, "/etcdserverpb.Maintenance/HashKV", ask).await?),
            Request::Replay(create) => Answer::Watch(replay(to, &create, self.meaning.current).await?),
            Request::Watch(..) | Request::ReadWatches => Answer::Nothing,
        })
    }

    /// What HashKV says on each member that runs, at these revisions.
    pub async fn hashes(&self, revision: i64) -> Result<Vec<(u32, i64)>> {
        let mut hashes = Vec::new();
        for at in (0..self.cluster.len()).filter(|&at| self.cluster.runs(at)) {
            self.catch_up(at).await.context("a member cannot be read")?;
            let ask = HashKvRequest { revision };
            let hash: HashKvResponse = unary(&self.channels[at], "/etcdserverpb.Maintenance/HashKV", ask).await?;
            hashes.push((hash.hash, hash.compact_revision));
        }
        Ok(hashes)
    }

    /// Lets this member lead.
    pub async fn lead(&mut self, at: usize) -> Result<()> {
        let at = at % self.cluster.len();
        let now = self.ready().await?;
        if now == at {
            return Ok(());
        }
        let status = self.status(at).await.context("a member says nothing")?;
        let ask = MoveLeaderRequest { target_id: status.header.context("a status has a header")?.member_id };
        let _: MoveLeaderResponse = unary(&self.channels[now], "/etcdserverpb.Maintenance/MoveLeader", ask).await?;
        self.ready().await?;
        Ok(())
    }
}
