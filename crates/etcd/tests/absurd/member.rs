//! A member under attack, and what it holds.

use std::path::PathBuf;

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, LeaseGrantRequest, LeaseGrantResponse, LeaseLeasesRequest, LeaseLeasesResponse,
    LeaseRevokeRequest, MemberListRequest, MemberListResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
};
use proto::methods::path;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Answer, Client, frame};
use crate::harness::{Cluster, PATIENCE};

/// A member alone leads as soon as it has waited for others.
const QUICK: [&str; 4] = ["--heartbeat-interval", "10", "--election-timeout", "100"];
/// Keys of the bystander begin with this, and are not looked at here.
pub const ASIDE: &str = "\u{f8ff}";

/// The attacked key's lease.
pub const LEASE: i64 = 7;
/// What the bystander keeps.
pub const BYSTANDERS_LEASE: i64 = 4711;

pub struct Attacked {
    _cluster: Cluster,
    pub port: u16,
}

/// All that a refused request must leave as it was.
#[derive(Debug, PartialEq)]
pub struct State {
    kvs: Vec<proto::mvccpb::KeyValue>,
    leases: Vec<i64>,
    alarms: Vec<(u64, i32)>,
    members: Vec<u64>,
}

impl Attacked {
    /// A member with two keys and a lease.
    pub async fn start(title: &str, program: PathBuf) -> Attacked {
        Attacked::start_with(title, program, &[]).await
    }

    /// The same with more flags.
    pub async fn start_with(title: &str, program: PathBuf, flags: &[&str]) -> Attacked {
        let mut cluster = Cluster::plan_of(title, vec![program], &[&QUICK, flags].concat());
        cluster.start_all();
        cluster.leader().await;
        let attacked = Attacked { port: cluster.members[0].client_port, _cluster: cluster };
        let mut client = attacked.client().await;
        let _: LeaseGrantResponse =
            call(&mut client, path::LEASE_GRANT, LeaseGrantRequest { id: LEASE, ttl: 3600 }).await;
        for lease in [0, LEASE] {
            let put = PutRequest { key: "k".into(), value: "v".into(), lease, ..Default::default() };
            let _: PutResponse = call(&mut client, path::PUT, put).await;
        }
        attacked
    }

    /// A client on a connection of its own.
    pub async fn client(&self) -> Client {
        Client::new(self.connect().await).await
    }

    pub async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("the member listens");
        stream.set_nodelay(true).expect("a socket can be told so");
        stream
    }
}

/// What the member holds; alarms and members only `whole`, they go through the log.
pub async fn state(client: &mut Client, whole: bool) -> State {
    let range = RangeRequest { key: "\0".into(), range_end: ASIDE.into(), ..Default::default() };
    let range: RangeResponse = call(client, path::RANGE, range).await;
    let leases: LeaseLeasesResponse = call(client, path::LEASE_LEASES, LeaseLeasesRequest {}).await;
    let mut leases: Vec<i64> = leases.leases.iter().map(|lease| lease.id).collect();
    leases.sort_unstable();
    let mut state = State { kvs: range.kvs, leases, alarms: Vec::new(), members: Vec::new() };
    if whole {
        let members: MemberListResponse = call(client, path::MEMBER_LIST, MemberListRequest::default()).await;
        state.members = members.members.iter().map(|member| member.id).collect();
        state.alarms = alarms(client).await;
    }
    state
}

async fn alarms(client: &mut Client) -> Vec<(u64, i32)> {
    let alarms: AlarmResponse = call(client, path::ALARM, AlarmRequest::default()).await;
    alarms.alarms.iter().map(|alarm| (alarm.member_id, alarm.alarm)).collect()
}

/// Takes back every alarm, so that the next request meets a member that takes all.
pub async fn disarm(client: &mut Client) {
    for (member_id, alarm) in alarms(client).await {
        let request = AlarmRequest { action: 2, member_id, alarm };
        let _: AlarmResponse = call(client, path::ALARM, request).await;
    }
}

/// Takes back every lease but those that belong here: some end by themselves, in the middle of anything.
pub async fn revoke(client: &mut Client) {
    let leases: LeaseLeasesResponse = call(client, path::LEASE_LEASES, LeaseLeasesRequest {}).await;
    for lease in leases.leases.iter().filter(|lease| ![LEASE, BYSTANDERS_LEASE].contains(&lease.id)) {
        // It may have ended meanwhile.
        let _gone =
            ask(client, path::LEASE_REVOKE, &[], frame(&LeaseRevokeRequest { id: lease.id }.encode_to_vec())).await;
    }
}

/// A call that is in order, and must be answered so.
pub async fn call<R: Message + Default>(client: &mut Client, path: &str, request: impl Message) -> R {
    let answer = ask(client, path, &[], frame(&request.encode_to_vec())).await;
    assert_eq!(answer.grpc(), ("0".to_owned(), String::new()), "{path}");
    answer.message()
}

/// A call of any body, answered in time.
pub async fn ask(client: &mut Client, path: &str, fields: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut call = client.begin(path, fields);
    call.send.send_data(Bytes::from(body), true).expect("the connection stands");
    timeout(PATIENCE, call.answer()).await.unwrap_or_else(|_| panic!("{path} is not answered"))
}
