//! What members ask each other outside their streams: requests at the peer port, whose bytes are anybody's, and what
//! others answer to ours. No panic, no hanging, no memory for what is only announced; a refusal has words; what raft is
//! told it survives, and a snapshot that has come whole is installed or refused.

mod answers;
mod desk;
mod raft_node;
mod requests;
mod seeds;

pub use seeds::seeds;

use std::cell::Cell;
use std::future::Future;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Longer than anything may take here: then it hangs.
const PATIENCE: Duration = Duration::from_secs(15);
/// The process may have so much address space more than before its first input. Threads and other targets take some.
const ADDRESSES_MAX: u64 = 8 << 30;
/// Threads of the runtime are called so.
const THREADS: &str = "peers";

/// One way in. The first byte of an input says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// All that comes on a connection to the peer port.
    Connection,
    /// The body of a sound request: method and path.
    Request(&'static str, &'static str),
    /// All that comes back on a connection on which this was asked.
    Answer(Question),
    /// The body of a sound answer.
    Body(Question),
}

/// What a member asks another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    KeepAlive,
    TimeToLive,
    Chain,
    Cluster,
    Probe,
    Snapshot,
    Appends,
    Messages,
}

/// New ones come last: a corpus is kept.
const DOORS: [Door; 19] = [
    Door::Connection,
    Door::Request("POST", "/raft"),
    Door::Request("POST", "/raft/snapshot"),
    Door::Request("GET", "/members/hashkv"),
    Door::Request("POST", "/leases"),
    Door::Request("POST", "/leases/internal"),
    Door::Answer(Question::KeepAlive),
    Door::Answer(Question::TimeToLive),
    Door::Answer(Question::Chain),
    Door::Answer(Question::Cluster),
    Door::Answer(Question::Probe),
    Door::Answer(Question::Snapshot),
    Door::Answer(Question::Appends),
    Door::Answer(Question::Messages),
    Door::Body(Question::KeepAlive),
    Door::Body(Question::TimeToLive),
    Door::Body(Question::Chain),
    Door::Body(Question::Cluster),
    Door::Body(Question::Probe),
];

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_all()
        .thread_name(THREADS)
        .build()
        .expect("the system gives a poller");
    /// This thread is feeding.
    static FEEDS: Cell<bool> = const { Cell::new(false) };
}

/// Panics of tasks and threads whose end nobody looks at.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// A door and what comes through it.
pub fn peer_requests(bytes: &[u8]) {
    let Some((&number, bytes)) = bytes.split_first() else { return };
    count_panics();
    let (panics, addresses) = (PANICS.load(Ordering::Relaxed), addresses());
    FEEDS.set(true);
    let door = DOORS[usize::from(number) % DOORS.len()];
    RUNTIME.with(|runtime| runtime.block_on(feed(door, bytes)));
    FEEDS.set(false);
    assert_eq!(PANICS.load(Ordering::Relaxed), panics, "a task has panicked: {door:?}");
    let more = self::addresses().saturating_sub(addresses);
    assert!(more < ADDRESSES_MAX, "{more} bytes more were allocated at one time: {door:?}");
}

async fn feed(door: Door, bytes: &[u8]) {
    match door {
        Door::Connection => requests::connection(bytes).await,
        Door::Request(method, path) => requests::connection(&requests::sound(method, path, bytes)).await,
        Door::Answer(question) => answers::ask(question, bytes).await,
        Door::Body(question) => answers::ask(question, &answers::sound(bytes)).await,
    }
}

/// Ends soon, or panics.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if FEEDS.get() || std::thread::current().name() == Some(THREADS) {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            shown(panic);
        }));
    });
}

/// The most address space that this process has had, in bytes; 0 where the system does not say.
fn addresses() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1_024
}

/// The number of a door.
fn number(door: Door) -> u8 {
    DOORS.iter().position(|other| *other == door).expect("a door") as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_only_asked_for_is_seen() {
        let before = addresses();
        let much: Vec<u8> = Vec::with_capacity(16 << 30);
        assert!(much.is_empty() && addresses() - before > ADDRESSES_MAX, "{before}");
    }
}
