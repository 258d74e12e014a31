//! The member that is asked: one for each thread that asks, started with the first input. It lives on a thread of its own
//! and ends, with its directory, when the one that asks does.

use super::call::Client;
use super::feed;
use etcd::embed::Embedded;
use etcd::flags::{self, Action};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static MEMBER: Member = Member::start();
}

struct Member {
    /// None when it ends.
    inputs: Option<Sender<Vec<u8>>>,
    outcomes: Receiver<Result<(), String>>,
    thread: Option<JoinHandle<()>>,
}

/// Feeds it with bytes. Panics when a promise is broken.
pub fn ask(bytes: &[u8]) {
    MEMBER.with(|member| {
        let inputs = member.inputs.as_ref().expect("it lives as long as its thread");
        inputs.send(bytes.to_vec()).expect("the member's thread listens");
        let outcome = member.outcomes.recv().expect("the member's thread answers");
        outcome.unwrap_or_else(|why| panic!("{why}"));
    });
}

impl Member {
    fn start() -> Member {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("quorate-fuzz-{}-{number}", std::process::id()));
        let ((inputs, wanted), (tell, outcomes)) = (channel(), channel());
        let thread = std::thread::spawn(move || serve(&directory, &wanted, &tell));
        Member { inputs: Some(inputs), outcomes, thread: Some(thread) }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.inputs = None;
        if let Some(thread) = self.thread.take() {
            // Whatever it has to say was said.
            let _ended = thread.join();
        }
    }
}

/// Answers inputs until nobody has one.
fn serve(directory: &Path, inputs: &Receiver<Vec<u8>>, outcomes: &Sender<Result<(), String>>) {
    let _directory = Directory(directory.to_owned());
    let member = start(directory);
    let runtime = Builder::new_current_thread().enable_all().build().expect("the system gives a poller");
    let mut client = runtime.block_on(Client::connect(member.address()));
    for input in inputs {
        if outcomes.send(fed(&runtime, &mut client, &input)).is_err() {
            return;
        }
    }
}

fn fed(runtime: &Runtime, client: &mut Client, input: &[u8]) -> Result<(), String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(feed(client, input))));
    outcome.map_err(|panic| match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(|| "no words".to_owned(), |&words| words.to_owned()),
    })
}

fn start(directory: &Path) -> Embedded {
    let data = directory.display().to_string();
    let flags = ["--name", "alone", "--data-dir", &data, "--unsafe-no-fsync", "--initial-cluster-token", &data];
    let flags: Vec<String> = flags.map(str::to_owned).to_vec();
    let Ok(Action::Run(config, _)) = flags::parse(&flags, &[]) else { panic!("the flags are sound") };
    Embedded::start(&config).expect("a member starts")
}

/// Goes with the member.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // It is a temporary one; what cannot be removed stays.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
