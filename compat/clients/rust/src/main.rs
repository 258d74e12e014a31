//! The Rust client `etcd-client`, against three members.
//!
//! Every part asserts what it sees; the last one kills members. Knows of no
//! server: what holds, holds for etcd and for whatever stands in its place.

mod concurrency;
mod kv;
mod lease;
mod loss;
mod watch;

use etcd_client::{Client, ConnectOptions, Error};
use std::future::Future;
use std::time::{Duration, Instant};

/// How long one part may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// What every part is given.
#[derive(Clone)]
pub struct World {
    pub endpoints: Vec<String>,
    pub pids: Vec<String>,
    pub client: Client,
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let list = |name: &str| -> Vec<String> {
        let text = std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; see compat/clients/README.md"));
        text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let endpoints = list("COMPAT_ENDPOINTS");
    let client = connect(&endpoints).await;
    let world = World { endpoints, pids: list("COMPAT_PIDS"), client };
    let mut run = Run { failed: 0 };
    run.part("kv", kv::keys(world.clone())).await;
    run.part("txn", kv::transactions(world.clone())).await;
    run.part("refusals", kv::refusals(world.clone())).await;
    run.part("watch", watch::live(world.clone())).await;
    run.part("watch-history", watch::history(world.clone())).await;
    run.part("lease", lease::leases(world.clone())).await;
    run.part("lock", concurrency::locks(world.clone())).await;
    run.part("election", concurrency::elections(world.clone())).await;
    run.part("maintenance", kv::maintenance(world.clone())).await;
    run.part("loss", loss::leader_dies(world)).await; // kills members: nothing may follow
    if run.failed > 0 {
        println!("{} parts failed", run.failed);
        std::process::exit(1);
    }
}

/// A client of these endpoints.
pub async fn connect(endpoints: &[String]) -> Client {
    let second = Duration::from_secs(1);
    let options = ConnectOptions::new().with_keep_alive(second, second).with_connect_timeout(5 * second);
    Client::connect(endpoints, Some(options)).await.expect("a client")
}

/// Waits until every member has applied all that was answered so far: what is
/// watched may otherwise be behind.
pub async fn settle(world: &World) {
    for endpoint in &world.endpoints {
        connect(std::slice::from_ref(endpoint)).await.get("settled", None).await.unwrap();
    }
}

struct Run {
    failed: usize,
}

impl Run {
    /// A panic is a failed part; the others still run.
    async fn part(&mut self, name: &str, part: impl Future<Output = ()> + Send + 'static) {
        let started = Instant::now();
        let outcome = tokio::spawn(tokio::time::timeout(PATIENCE, part)).await;
        match outcome {
            Ok(Ok(())) => println!("ok {name} ({} ms)", started.elapsed().as_millis()),
            Ok(Err(_)) => println!("FAILED {name}: not done after {PATIENCE:?}"),
            Err(_) => println!("FAILED {name}: the panic above"),
        }
        if !matches!(outcome, Ok(Ok(()))) {
            self.failed += 1;
        }
    }
}

/// Asserts that the server refused with these words.
#[track_caller]
pub fn refused<T>(result: Result<T, Error>, words: &str) {
    match result {
        Err(Error::GRpcStatus(status)) => assert_eq!(status.message(), words),
        Err(other) => panic!("the error is {other} and should be {words}"),
        Ok(_) => panic!("there is no error and should be {words}"),
    }
}
