//! The load against a server that knows the RFC from elsewhere: crate `h2`.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use h2::server;
use http::{HeaderMap, HeaderValue, Response};
use proto::etcdserverpb::{PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader};
use proto::mvccpb::KeyValue;
use tokio::net::TcpListener;

use super::*;

/// How the server answers what it should not.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Right,
    /// The same revision for every put.
    StuckRevision,
    /// Every request is refused with a status in the first and only headers.
    Refuses,
    /// The connection is closed after some replies.
    Closes,
}

/// Just enough of etcd: puts and ranges of one key.
struct Server {
    manner: Manner,
    revision: AtomicI64,
    stored: Mutex<BTreeMap<Vec<u8>, KeyValue>>,
}

impl Server {
    fn answer(&self, path: &str, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        if path == Kind::Put.path() {
            let request: PutRequest = grpc::message(body).unwrap();
            let revision = match self.manner {
                Manner::StuckRevision => 1,
                _ => self.revision.fetch_add(1, Ordering::Relaxed) + 1,
            };
            let PutRequest { key, value, .. } = request;
            let kv = KeyValue { key: key.clone(), value, mod_revision: revision, version: 1, ..Default::default() };
            self.stored.lock().unwrap().insert(key.to_vec(), kv);
            let header = Some(ResponseHeader { revision, ..Default::default() });
            grpc::frame(&PutResponse { header, ..Default::default() }, &mut out);
        } else {
            let request: RangeRequest = grpc::message(body).unwrap();
            let kvs: Vec<KeyValue> = self.stored.lock().unwrap().get(&request.key[..]).cloned().into_iter().collect();
            let revision = self.revision.load(Ordering::Relaxed);
            let header = Some(ResponseHeader { revision, ..Default::default() });
            grpc::frame(&RangeResponse { header, count: kvs.len() as i64, kvs, ..Default::default() }, &mut out);
        }
        out
    }

    async fn serve(self: Arc<Self>, socket: TcpStream) {
        // Few streams make the load wait for room.
        let mut builder = server::Builder::new();
        let mut connection = builder.max_concurrent_streams(8).handshake::<_, bytes::Bytes>(socket).await.unwrap();
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
                let (mut stream, mut body) = (request.into_body(), Vec::new());
                while let Some(Ok(chunk)) = stream.data().await {
                    stream.flow_control().release_capacity(chunk.len()).unwrap();
                    body.extend_from_slice(&chunk);
                }
                let response = Response::builder().header("content-type", "application/grpc");
                if server.manner == Manner::Refuses {
                    let response = response.header("grpc-status", "8").header("grpc-message", "too many");
                    respond.send_response(response.body(()).unwrap(), true).unwrap();
                    return;
                }
                // A header that is always new drives others out of the dynamic table.
                let response = response.header("x-served", served.to_string()).body(()).unwrap();
                let mut send = respond.send_response(response, false).unwrap();
                send.send_data(server.answer(&path, &body).into(), false).unwrap();
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                trailers.insert("grpc-message", HeaderValue::from_static(""));
                send.send_trailers(trailers).unwrap();
            });
        }
    }
}

/// Runs `test` with the address of a server, on another thread than the server's.
fn with_server<T>(manner: Manner, test: impl FnOnce(&[String]) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = Arc::new(Server { manner, revision: AtomicI64::new(1), stored: Mutex::default() });
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&server).serve(socket));
        }
    });
    test(&[address])
}

fn load(kind: Kind, requests: u64) -> Load {
    Load { kind, connections: 3, in_flight: 20, extent: Extent::Requests(requests) }
}

#[test]
fn puts_then_ranges_are_all_answered_rightly() {
    with_server(Manner::Right, |endpoints| {
        let keyspace = Rc::new(Keyspace::new(50, 256));
        for kind in [Kind::Put, Kind::Range, Kind::SerializableRange] {
            let outcome = run(endpoints, &keyspace, &load(kind, 500)).unwrap();
            assert_eq!(outcome.failures, BTreeMap::new());
            assert_eq!(outcome.answered, 500);
            assert_eq!(outcome.latencies.count(), 500);
            assert!(outcome.seconds > 0.0 && outcome.rate() > 0.0);
        }
    });
}

#[test]
fn a_timed_load_ends_by_itself_and_leaves_the_warm_up_out() {
    with_server(Manner::Right, |endpoints| {
        let keyspace = Rc::new(Keyspace::new(50, 256));
        let time = Duration::from_millis(100);
        let extent = Extent::Time { warm_up: time, measured: time };
        let outcome = run(endpoints, &keyspace, &Load { extent, ..load(Kind::Put, 0) }).unwrap();
        assert_eq!(outcome.failures, BTreeMap::new());
        assert!((outcome.seconds - 0.1).abs() < 1e-9);
        assert!(outcome.latencies.count() < outcome.answered);
    });
}

#[test]
fn wrong_answers_are_failures_with_words() {
    let keyspace = Rc::new(Keyspace::new(50, 256));
    let failed = |manner, kind| {
        let outcome = with_server(manner, |endpoints| run(endpoints, &keyspace, &load(kind, 200)).unwrap());
        assert_eq!(outcome.answered + outcome.failures.values().sum::<u64>(), 200);
        outcome.failures
    };
    let stuck = failed(Manner::StuckRevision, Kind::Put);
    assert!(stuck.contains_key("a put made revision 1, 1 was there before it began"), "{stuck:?}");
    assert_eq!(failed(Manner::Refuses, Kind::Put), [("grpc-status 8 too many".to_owned(), 200)].into());
    assert_eq!(failed(Manner::Right, Kind::Range), [("a range of one key found 0".to_owned(), 200)].into());
}

#[test]
fn a_lost_connection_ends_the_load() {
    with_server(Manner::Closes, |endpoints| {
        let keyspace = Rc::new(Keyspace::new(50, 256));
        assert!(run(endpoints, &keyspace, &load(Kind::Put, 2000)).is_err());
        let nobody = ["127.0.0.1:1".to_owned()];
        assert!(run(&nobody, &keyspace, &load(Kind::Put, 1)).is_err());
    });
}

#[test]
fn a_single_call() {
    with_server(Manner::Right, |endpoints| {
        let put = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
        let reply: PutResponse = call(&endpoints[0], Kind::Put.path(), &put).unwrap();
        assert_eq!(reply.header.unwrap().revision, 2);
    });
}
