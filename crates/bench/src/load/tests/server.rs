//! A server that knows the RFC from elsewhere: crate `h2`. It is just enough of
//! etcd: puts and ranges of one key, leases that never end, watchers of all keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::{RecvStream, SendStream, server};
use http::{HeaderMap, HeaderValue, Response};
use prost::Message;
use proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, ResponseHeader, WatchRequest, WatchResponse,
};
use proto::mvccpb::{Event, KeyValue};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

use crate::grpc;
use crate::request::Kind;

/// How the server answers what it should not.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    Right,
    /// The same revision for every put.
    StuckRevision,
    /// Every request is refused with a status in the first and only headers.
    Refuses,
    /// The connection is closed after some replies.
    Closes,
    /// A renewed lease gets a second less than was granted.
    ShortLease,
    /// A stream is ended in order after some messages.
    EndsStream,
    /// One watcher of each stream misses every tenth event.
    MissesEvents,
    /// One watcher of each stream is told every tenth event twice.
    TellsTwice,
    /// Every tenth put is kept from everybody.
    KeepsQuiet,
}

struct Server {
    manner: Manner,
    state: Mutex<State>,
    puts: broadcast::Sender<KeyValue>,
}

struct State {
    revision: i64,
    stored: BTreeMap<Bytes, KeyValue>,
    leases: BTreeMap<i64, i64>,
}

/// Runs `test` with the address of a server, on another thread than the server's.
pub fn with_server<T>(manner: Manner, test: impl FnOnce(&[String]) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let state = Mutex::new(State { revision: 1, stored: BTreeMap::new(), leases: BTreeMap::new() });
    let server = Arc::new(Server { manner, state, puts: broadcast::Sender::new(10_000) });
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&server).serve(socket));
        }
    });
    test(&[address])
}

fn framed(message: &impl Message) -> Vec<u8> {
    let mut out = Vec::new();
    grpc::frame(message, &mut out);
    out
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..Default::default() })
}

impl Server {
    fn answer(&self, path: &str, body: &[u8]) -> Vec<u8> {
        let mut state = self.state.lock().unwrap();
        if path == Kind::Put.path() {
            let PutRequest { key, value, .. } = grpc::message(body).unwrap();
            if self.manner != Manner::StuckRevision {
                state.revision += 1;
            }
            let revision = state.revision;
            let version = state.stored.get(&key).map_or(0, |kv| kv.version) + 1;
            let kv = KeyValue { key: key.clone(), value, mod_revision: revision, version, ..Default::default() };
            state.stored.insert(key, kv.clone());
            if self.manner != Manner::KeepsQuiet || version % 10 != 0 {
                // Nobody watches in most tests.
                let _ = self.puts.send(kv);
            }
            framed(&PutResponse { header: header(revision), ..Default::default() })
        } else if path == Kind::Grant.path() {
            let LeaseGrantRequest { id, ttl } = grpc::message(body).unwrap();
            assert!(state.leases.insert(id, ttl).is_none(), "a lease is granted once");
            framed(&LeaseGrantResponse { header: header(state.revision), id, ttl, ..Default::default() })
        } else {
            assert_eq!(path, Kind::Range.path());
            let request: RangeRequest = grpc::message(body).unwrap();
            let kvs: Vec<KeyValue> = state.stored.get(&request.key).cloned().into_iter().collect();
            let header = header(state.revision);
            framed(&RangeResponse { header, count: kvs.len() as i64, kvs, ..Default::default() })
        }
    }

    async fn serve(self: Arc<Self>, socket: TcpStream) {
        // Few streams make the load wait for room.
        let mut builder = server::Builder::new();
        let mut connection = builder.max_concurrent_streams(8).handshake::<_, Bytes>(socket).await.unwrap();
        let mut served = 0;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            served += 1;
            if self.manner == Manner::Closes && served > 20 {
                return;
            }
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                let path = request.uri().path().to_owned();
                assert_eq!(request.headers()["content-type"], "application/grpc");
                assert_eq!(request.headers()["te"], "trailers");
                let response = Response::builder().header("content-type", "application/grpc");
                if server.manner == Manner::Refuses {
                    let response = response.header("grpc-status", "8").header("grpc-message", "too many");
                    respond.send_response(response.body(()).unwrap(), true).unwrap();
                    return;
                }
                // A header that is always new drives others out of the dynamic table.
                let response = response.header("x-served", served.to_string()).body(()).unwrap();
                let mut send = respond.send_response(response, false).unwrap();
                let mut messages = Messages { stream: request.into_body(), bytes: Vec::new() };
                if path == Kind::Watch.path() {
                    server.watch(&mut messages, &mut send).await;
                } else if path == Kind::KeepAlive.path() {
                    server.keep_alive(&mut messages, &mut send).await;
                } else {
                    let body = messages.next().await.expect("one message");
                    assert!(messages.next().await.is_none(), "and no other");
                    send.send_data(server.answer(&path, &body).into(), false).unwrap();
                }
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                trailers.insert("grpc-message", HeaderValue::from_static(""));
                // A load that is over has closed its streams.
                let _ = send.send_trailers(trailers);
            });
        }
    }

    async fn keep_alive(&self, messages: &mut Messages, send: &mut SendStream<Bytes>) {
        let mut answered = 0;
        while let Some(body) = messages.next().await {
            let LeaseKeepAliveRequest { id } = grpc::message(&body).unwrap();
            let (revision, ttl) = {
                let state = self.state.lock().unwrap();
                (state.revision, state.leases.get(&id).copied().unwrap_or_default())
            };
            let ttl = ttl - i64::from(self.manner == Manner::ShortLease);
            send_in_pieces(send, &framed(&LeaseKeepAliveResponse { header: header(revision), id, ttl }));
            answered += 1;
            if self.manner == Manner::EndsStream && answered == 5 {
                return;
            }
        }
    }

    async fn watch(&self, messages: &mut Messages, send: &mut SendStream<Bytes>) {
        let (mut watchers, mut puts) = (0, self.puts.subscribe());
        loop {
            tokio::select! {
                body = messages.next() => {
                    let Some(body) = body else { return };
                    assert!(grpc::message::<WatchRequest>(&body).unwrap().request_union.is_some());
                    let header = header(self.state.lock().unwrap().revision);
                    let made = WatchResponse { header, watch_id: watchers, created: true, ..Default::default() };
                    send_in_pieces(send, &framed(&made));
                    watchers += 1;
                }
                put = puts.recv() => {
                    let Ok(kv) = put else { return };
                    if self.manner == Manner::EndsStream && kv.version == 5 {
                        return;
                    }
                    for watch_id in 0..watchers {
                        let times = match self.manner {
                            Manner::MissesEvents if watch_id == 7 && kv.version % 10 == 0 => 0,
                            Manner::TellsTwice if watch_id == 7 && kv.version % 10 == 0 => 2,
                            _ => 1,
                        };
                        let event = Event { kv: Some(kv.clone()), ..Default::default() };
                        let header = header(kv.mod_revision);
                        let told = WatchResponse { header, watch_id, events: vec![event; times], ..Default::default() };
                        send_in_pieces(send, &framed(&told));
                    }
                }
            }
        }
    }
}

/// Messages need not end where frames do.
fn send_in_pieces(send: &mut SendStream<Bytes>, bytes: &[u8]) {
    let (first, second) = bytes.split_at(bytes.len() / 3);
    for piece in [first, second] {
        // A load that is over has closed its streams.
        let _ = send.send_data(Bytes::copy_from_slice(piece), false);
    }
}

/// The messages of one stream.
struct Messages {
    stream: RecvStream,
    bytes: Vec<u8>,
}

impl Messages {
    /// The next one in its frame. May be dropped and asked again.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(length) = grpc::first_frame(&self.bytes).map(<[u8]>::len) {
                return Some(self.bytes.drain(..length).collect());
            }
            let chunk = self.stream.data().await?.ok()?;
            self.stream.flow_control().release_capacity(chunk.len()).unwrap();
            self.bytes.extend_from_slice(&chunk);
        }
    }
}
