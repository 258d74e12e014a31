//! Another client, on its own connection, that works all the while: it writes, reads back what it wrote, keeps a lease,
//! and watches its own key. Nothing that others say may reach it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, PutRequest,
    WatchCreateRequest, WatchRequest, WatchResponse,
};
use proto::methods::path;
use proto::mvccpb::event::EventType;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::{Reader, frame};
use crate::harness::PATIENCE;
use crate::member::{ASIDE, Attacked, BYSTANDERS_LEASE, ask, call};

/// Codes that alarms give: those are meant to reach everybody.
const ALARMED: [&str; 2] = ["8", "15"];

pub struct Bystander {
    rounds: Arc<AtomicU64>,
    again: Arc<Notify>,
    working: JoinHandle<()>,
}

impl Bystander {
    pub async fn start(attacked: &Attacked) -> Bystander {
        let (rounds, again) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let mut client = attacked.client().await;
        let grant = LeaseGrantRequest { id: BYSTANDERS_LEASE, ttl: 3600 };
        let _: LeaseGrantResponse = call(&mut client, path::LEASE_GRANT, grant).await;
        let (count, told) = (rounds.clone(), again.clone());
        let working = tokio::spawn(async move {
            let key = Bytes::from(format!("{ASIDE}mine"));
            let create = WatchCreateRequest { key: key.clone(), ..Default::default() };
            let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
            let mut watching = client.begin(path::WATCH, &[]);
            watching.send.send_data(Bytes::from(frame(&create.encode_to_vec())), false).expect("a stream");
            let mut events = Reader::new(watching.body().await);
            assert!(events.next::<WatchResponse>().await.expect("the stream goes on").created);
            loop {
                let value = Bytes::from(count.load(Ordering::Relaxed).to_string());
                let put = PutRequest { key: key.clone(), value: value.clone(), ..Default::default() };
                let (code, message) = ask(&mut client, path::PUT, &[], frame(&put.encode_to_vec())).await.grpc();
                if code == "0" {
                    // A deletion of all keys is a deletion of this one too.
                    let kv = loop {
                        let mut told: WatchResponse = events.next().await.expect("it goes on");
                        let event = told.events.remove(0);
                        if event.r#type() == EventType::Put {
                            break event.kv.expect("a key");
                        }
                    };
                    assert_eq!((&kv.key, &kv.value), (&key, &value));
                } else {
                    assert!(ALARMED.contains(&code.as_str()), "{code} {message}");
                }
                let keep = frame(&LeaseKeepAliveRequest { id: BYSTANDERS_LEASE }.encode_to_vec());
                let kept = ask(&mut client, path::LEASE_KEEP_ALIVE, &[], keep).await;
                assert_eq!(kept.message::<LeaseKeepAliveResponse>().ttl, 3600);
                count.fetch_add(1, Ordering::Relaxed);
                told.notify_waiters();
            }
        });
        Bystander { rounds, again, working }
    }

    /// Waits until it has gone round once more since now.
    pub async fn goes_on(&self) {
        let upto = self.rounds.load(Ordering::Relaxed) + 2;
        let round = async {
            loop {
                let again = self.again.notified();
                if self.rounds.load(Ordering::Relaxed) >= upto {
                    return;
                }
                assert!(!self.working.is_finished(), "the other client was disturbed");
                again.await;
            }
        };
        timeout(PATIENCE, round).await.expect("the other client goes on");
    }

    /// Ends it; what disturbed it comes up here.
    pub async fn end(self) {
        self.goes_on().await;
        self.working.abort();
        let ended = self.working.await;
        assert!(ended.is_err_and(|error| error.is_cancelled()), "the other client was disturbed");
    }
}
