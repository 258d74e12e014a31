//! Tells a story to a member, over one connection.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use prost::Message;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, CompactionRequest, CompactionResponse, DeleteRangeResponse, LeaseGrantRequest,
    LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest, LeaseLeasesResponse,
    LeaseRevokeRequest, LeaseRevokeResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutResponse,
    RangeResponse, TxnResponse, WatchCancelRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use proto::methods::path;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Client, Reader, frame, messages};
use crate::script::{Command, Step};
use crate::words::Words;
use crate::{ask, say};

/// How far the time left may be from the time granted and still be called whole.
const FRESH_SECONDS: i64 = 3;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing has to come before a stream counts as quiet at the end.
const QUIET: Duration = Duration::from_millis(20);

/// What a stream may be told before anybody listens: nobody else waits for it.
const WINDOW_BYTES: u32 = 16 << 20;

pub struct Teller {
    port: u16,
    client: Client,
    /// By name; the one without a name is "".
    streams: BTreeMap<String, Stream>,
}

/// One watch stream.
struct Stream {
    /// Its own connection, open as long as this is.
    _client: Client,
    send: SendStream<Bytes>,
    /// Until the first response is there: etcd sends no head before it.
    head: Option<ResponseFuture>,
    heard: Option<Reader>,
}

async fn connect(port: u16) -> Client {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the member listens");
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    Client::with(stream, &builder).await
}

impl Teller {
    pub async fn new(port: u16) -> Teller {
        Teller { port, client: connect(port).await, streams: BTreeMap::new() }
    }

    /// Everything that is answered to the commands of a step.
    pub async fn tell(&mut self, step: &Step) -> Vec<String> {
        let mut said = Vec::new();
        for command in &step.commands {
            let answer = timeout(PATIENCE, self.command(command)).await;
            said.extend(answer.unwrap_or_else(|_| vec![format!("no answer to {}", command.text)]));
        }
        said
    }

    /// What streams have been told that nobody listened to.
    pub async fn unheard(&mut self) -> Option<String> {
        for stream in self.streams.values_mut() {
            if let Ok(Ok(response)) = timeout(QUIET, stream.next()).await {
                return Some(format!("{response:?}"));
            }
        }
        None
    }

    async fn command(&mut self, command: &Command) -> Vec<String> {
        let mut words = Words::of(&command.text);
        let name = words.take();
        if name.starts_with("watch") || ["hear", "cancel", "progress"].contains(&name) {
            return self.watching(name, words).await;
        }
        match self.unary(name, words, command).await {
            Ok(lines) => lines,
            Err((code, message)) => vec![format!("error {code} {message}")],
        }
    }

    async fn unary(
        &mut self,
        name: &str,
        mut words: Words<'_>,
        command: &Command,
    ) -> Result<Vec<String>, (String, String)> {
        Ok(match name {
            "put" => {
                let response: PutResponse = self.call(path::PUT, ask::put(words)).await?;
                let mut said = vec![format!("put {}", say::at(&response.header))];
                said.extend(say::before(response.prev_kv.as_slice()));
                said
            }
            "get" => {
                let response: RangeResponse = self.call(path::RANGE, ask::range(words)).await?;
                say::range(&response, &say::at(&response.header))
            }
            "del" => {
                let response: DeleteRangeResponse = self.call(path::DELETE_RANGE, ask::delete(words)).await?;
                let mut said = vec![format!("deleted {} {}", response.deleted, say::at(&response.header))];
                said.extend(say::before(&response.prev_kvs));
                said
            }
            "txn" => {
                words.end();
                let response: TxnResponse = self.call(path::TXN, ask::txn(&command.below)).await?;
                say::txn(&response, &say::at(&response.header))
            }
            "compact" => {
                let request = CompactionRequest { revision: words.take_number(), physical: words.has("physical") };
                words.end();
                let response: CompactionResponse = self.call(path::COMPACT, request).await?;
                vec![format!("compacted {}", say::at(&response.header))]
            }
            "grant" => {
                let request = LeaseGrantRequest { id: words.take_number(), ttl: words.number("ttl") };
                words.end();
                let asked = request.id;
                let response: LeaseGrantResponse = self.call(path::LEASE_GRANT, request).await?;
                let id = match asked {
                    0 if response.id > 0 => "of its choice".to_owned(),
                    _ => response.id.to_string(),
                };
                vec![format!("lease {id} ttl {} {}", response.ttl, say::at(&response.header))]
            }
            "revoke" => {
                let request = LeaseRevokeRequest { id: words.take_number() };
                words.end();
                let response: LeaseRevokeResponse = self.call(path::LEASE_REVOKE, request).await?;
                vec![format!("revoked {}", say::at(&response.header))]
            }
            "ttl" => {
                let request = LeaseTimeToLiveRequest { id: words.take_number(), keys: words.has("keys") };
                words.end();
                let response: LeaseTimeToLiveResponse = self.call(path::LEASE_TIME_TO_LIVE, request).await?;
                let granted = response.granted_ttl;
                let left = match (granted - FRESH_SECONDS..=granted).contains(&response.ttl) && granted > 0 {
                    true => "all".to_owned(),
                    false => response.ttl.to_string(),
                };
                let mut said =
                    format!("lease {} granted {granted} left {left} {}", response.id, say::at(&response.header));
                // etcd gives them in no order.
                let mut keys = response.keys;
                keys.sort();
                for (number, key) in keys.iter().enumerate() {
                    said.push_str(&format!("{} {}", if number == 0 { " keys" } else { "" }, say::text(key)));
                }
                vec![said]
            }
            "leases" => {
                words.end();
                let response: LeaseLeasesResponse = self.call(path::LEASE_LEASES, LeaseLeasesRequest {}).await?;
                let ids: Vec<String> = response.leases.iter().map(|lease| lease.id.to_string()).collect();
                vec![format!("leases [{}] {}", ids.join(" "), say::at(&response.header))]
            }
            "keep" => self.keep(words).await?,
            "alarm" => self.alarm(words).await?,
            other => panic!("{other} is no command"),
        })
    }

    /// One stream for all the ids; their answers in order, and how the stream ended.
    async fn keep(&mut self, mut words: Words<'_>) -> Result<Vec<String>, (String, String)> {
        let mut body = Vec::new();
        while let Some(id) = words.take_plain(&[]) {
            let id = String::from_utf8_lossy(&id).parse().expect("the id of a lease");
            body.extend(frame(&LeaseKeepAliveRequest { id }.encode_to_vec()));
        }
        let answer = self.client.call(path::LEASE_KEEP_ALIVE, &[], body).await;
        let kept = |response: LeaseKeepAliveResponse| {
            format!("kept {} ttl {} {}", response.id, response.ttl, say::at(&response.header))
        };
        let said = messages(&answer.body).into_iter().map(kept).collect();
        match answer.grpc() {
            (code, _) if code == "0" => Ok(said),
            refused => Err(refused),
        }
    }

    async fn alarm(&mut self, mut words: Words<'_>) -> Result<Vec<String>, (String, String)> {
        let kinds = ["none", "nospace", "corrupt"];
        let action = match words.take() {
            "get" => 0,
            "on" => 1,
            "off" => 2,
            other => panic!("{other} is no action on an alarm"),
        };
        let request =
            AlarmRequest { action, alarm: words.choice("kind", &kinds), member_id: words.number("member") as u64 };
        words.end();
        let mut response: AlarmResponse = self.call(path::ALARM, request).await?;
        // etcd lists kinds in the order of a map, another one each time.
        response.alarms.sort_by_key(|alarm| (alarm.alarm, alarm.member_id));
        let name = |kind: i32| usize::try_from(kind).ok().and_then(|kind| kinds.get(kind)).copied().unwrap_or("?");
        let alarms: Vec<String> =
            response.alarms.iter().map(|alarm| format!("{} of {}", name(alarm.alarm), alarm.member_id)).collect();
        Ok(vec![format!("alarms [{}] {}", alarms.join(", "), say::at(&response.header))])
    }

    async fn call<R: Message + Default>(&mut self, path: &str, request: impl Message) -> Result<R, (String, String)> {
        let answer = self.client.call(path, &[], frame(&request.encode_to_vec())).await;
        match answer.grpc() {
            (code, _) if code == "0" => Ok(answer.message()),
            refused => Err(refused),
        }
    }

    /// `watch KEY …`, `cancel ID` and `progress` say something and `hear N` listens for N responses; each may name a
    /// stream with `on=NAME`. `watch` listens for its answer too, which may come behind others.
    async fn watching(&mut self, name: &str, mut words: Words<'_>) -> Vec<String> {
        let stream = words.option("on").unwrap_or_default();
        if !self.streams.contains_key(stream) {
            let mut client = connect(self.port).await;
            let call = client.begin(path::WATCH, &[]);
            let opened = Stream { _client: client, send: call.send, head: Some(call.response), heard: None };
            self.streams.insert(stream.to_owned(), opened);
        }
        let stream = self.streams.get_mut(stream).expect("it was just made");
        let listen = match name {
            "watch" => {
                stream.say(RequestUnion::CreateRequest(ask::watch(words)));
                1
            }
            "cancel" => {
                stream.say(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: words.take_number() }));
                words.end();
                0
            }
            "progress" => {
                words.end();
                stream.say(RequestUnion::ProgressRequest(WatchProgressRequest {}));
                0
            }
            "hear" => {
                let count = words.take_number();
                words.end();
                count
            }
            other => panic!("{other} is no command"),
        };
        let mut heard = Vec::new();
        for _ in 0..listen {
            match stream.next().await {
                Ok(response) => heard.push((response.watch_id, say::watch(&response))),
                Err(ended) => heard.push((i64::MAX, vec![ended])),
            }
        }
        // Only what one watch is told has an order.
        heard.sort_by_key(|(watch_id, _)| *watch_id);
        heard.into_iter().flat_map(|(_, lines)| lines).collect()
    }
}

impl Stream {
    fn say(&mut self, request: RequestUnion) {
        let request = WatchRequest { request_union: Some(request) };
        self.send.send_data(Bytes::from(frame(&request.encode_to_vec())), false).expect("the stream is open");
    }

    /// The next response, or how the stream ended.
    async fn next(&mut self) -> Result<WatchResponse, String> {
        if let Some(head) = &mut self.head {
            self.heard = Some(Reader::new(head.await.expect("a head").into_body()));
            self.head = None;
        }
        let heard = self.heard.as_mut().expect("it comes with the head");
        if let Some(response) = heard.next().await {
            return Ok(response);
        }
        let (code, words) = heard.end().await;
        Err(format!("ended {code} {words}"))
    }
}
