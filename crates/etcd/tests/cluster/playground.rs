//! The playground, a cluster in one command: it greets, outlives a member, leaves none behind, and knows its directory.

use crate::harness::{self, Member, Ports};
use proto::etcdserverpb::PutRequest;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// `etcd playground` at work, ended when dropped.
struct Playground {
    directory: PathBuf,
    /// None when it has ended.
    child: Option<Child>,
}

/// Hangups end it, whoever started the tests (`nohup` ignores them, and who is started inherits that).
fn command(directory: &Path, base_port: u16, flags: &[&str]) -> Command {
    command_with("--default-signal=HUP", directory, base_port, flags)
}

/// As one would be started by who treats hangups so; `env` becomes the program, under the same process id.
fn command_with(hangups: &str, directory: &Path, base_port: u16, flags: &[&str]) -> Command {
    let mut command = Command::new("env");
    command.arg(hangups).arg(harness::our_program());
    command.args(["playground", "--base-port", &base_port.to_string(), "--data-dir"]);
    command.arg(directory.join("data")).args(flags).stdin(Stdio::null());
    command
}

impl Playground {
    fn start(directory: &Path, ports: &Ports, flags: &[&str]) -> Playground {
        Playground::run(command(directory, ports.port(0), flags), directory)
    }

    fn run(mut command: Command, directory: &Path) -> Playground {
        let file = |name| File::create(directory.join(name)).expect("the directory can be written");
        command.stdout(file("out")).stderr(file("err"));
        let child = Some(command.spawn().expect("the program starts"));
        Playground { directory: directory.to_owned(), child }
    }

    async fn greets(&self) {
        self.says("out", " is running: ").await;
    }

    /// Waits until these words are in one of its files.
    async fn says(&self, file: &str, words: &str) {
        let path = self.directory.join(file);
        let said = || std::fs::read_to_string(&path).unwrap_or_default();
        harness::until(words, async || said().contains(words).then_some(())).await;
    }

    /// As Ctrl-C and others do; how it has ended.
    fn end(&mut self, signal: Signal) -> Option<ExitStatus> {
        let child = self.child.take()?;
        kill_process(Pid::from_child(&child), signal).expect("a child can be signalled");
        harness::end_of(child)
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        // In order, because its members are processes of their own.
        self.end(Signal::INT);
    }
}

/// The members of the playground in this directory that run, by number.
fn running(directory: &Path) -> Vec<(u16, Pid)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("there is /proc").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        // Empty for what has ended and is not yet waited for.
        let words = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let is_member = |number: &u16| {
            let data = directory.join("data").join(format!("m{number}"));
            words.split('\0').any(|word| Path::new(word) == data)
        };
        found.extend((1..=7).find(is_member).zip(Pid::from_raw(pid)));
    }
    found.sort_by_key(|(number, _)| *number);
    found
}

fn kill(directory: &Path, number: u16) {
    let (_, pid) = running(directory).into_iter().find(|(found, _)| *found == number).expect("it runs");
    kill_process(pid, Signal::KILL).expect("it is ours");
}

/// One that must be refused at once: how it ended, and what it said.
fn refused(directory: &Path, base_port: u16, flags: &[&str]) -> String {
    let file = || File::create(directory.join("refused")).expect("the directory can be written");
    let child = command(directory, base_port, flags).stdout(file()).stderr(file()).spawn();
    let ended = harness::end_of(child.expect("the program starts")).expect("it ends by itself");
    assert_eq!(ended.code(), Some(1));
    std::fs::read_to_string(directory.join("refused")).expect("it was written")
}

fn put() -> PutRequest {
    PutRequest { key: "name".into(), value: "joe".into(), ..PutRequest::default() }
}

#[tokio::test]
async fn the_playground_starts_greets_stops_and_keeps() {
    let _turn = harness::together().await;
    let (directory, ports) = (harness::new_directory("playground"), Ports::reserve());
    let said = || std::fs::read_to_string(directory.join("out")).unwrap_or_default();
    let member = |number: u16| {
        let port = ports.port(0) + 10 * number;
        Member::new("m", harness::our_program(), &directory, port, port + 1)
    };
    for round in 0..2 {
        let mut playground = Playground::start(&directory, &ports, &[]);
        playground.greets().await;
        for number in 0..3 {
            let endpoint = format!("127.0.0.1:{}", ports.port(0) + 10 * number);
            assert!(said().contains(&endpoint), "{endpoint} is not in {}", said());
        }
        let client = member(2).client();
        if round == 0 {
            let put = PutRequest { key: "name".into(), value: "joe".into(), ..PutRequest::default() };
            member(0).client().put(put).await.expect("a put");
        }
        let name = proto::etcdserverpb::RangeRequest { key: "name".into(), ..Default::default() };
        assert_eq!(client.range(name).await.expect("a range").kvs[0].value, "joe");
        let ended = playground.end(Signal::INT).expect("it stops when it is told to");
        assert_eq!(ended.code(), Some(0));
        assert!(said().contains("stopped; the data stays in"), "{}", said());
        assert_eq!(running(&directory), []);
    }
    std::fs::remove_dir_all(&directory).expect("it was ours");
}

#[tokio::test]
async fn the_playground_goes_on_without_a_member_and_ends_without_any() {
    let _turn = harness::together().await;
    let (directory, ports) = (harness::new_directory("playground-loss"), Ports::reserve());
    let mut playground = Playground::start(&directory, &ports, &[]);
    playground.greets().await;
    kill(&directory, 2);
    playground.says("err", "member m2 ended with signal 9 (SIGKILL) (log: ").await;
    playground.says("err", "2 of 3 members still up, 2 needed: the cluster goes on").await;
    let first = Member::new("m", harness::our_program(), &directory, ports.port(0), ports.port(1));
    harness::until("a majority takes writes", async || first.client().put(put()).await.ok()).await;
    kill(&directory, 3);
    playground.says("err", "1 of 3 members still up, 2 needed: too few").await;
    kill(&directory, 1);
    let ended = harness::end_of(playground.child.take().expect("it was started")).expect("it ends by itself");
    assert_eq!(ended.code(), Some(1));
    playground.says("err", "all members have ended").await;
    std::fs::remove_dir_all(&directory).expect("it was ours");
}

/// A member whose data is lost is refused, and cannot be replaced here; the others have all of it.
#[tokio::test]
async fn the_playground_starts_again_with_a_majority() {
    let _turn = harness::together().await;
    let (directory, ports) = (harness::new_directory("playground-majority"), Ports::reserve());
    let mut playground = Playground::start(&directory, &ports, &[]);
    playground.greets().await;
    let first = Member::new("m", harness::our_program(), &directory, ports.port(0), ports.port(1));
    first.client().put(put()).await.expect("a put");
    assert_eq!(playground.end(Signal::INT).expect("it stops").code(), Some(0));
    std::fs::remove_dir_all(directory.join("data/m2")).expect("it is there");
    let mut playground = Playground::start(&directory, &ports, &[]);
    playground.greets().await;
    playground.says("err", "has already been bootstrapped").await;
    playground.says("err", "the others have the data, it goes on with them").await;
    playground.says("out", "m2 has ended").await;
    harness::appears(&first.client(), "name").await;
    assert_eq!(playground.end(Signal::INT).expect("it stops").code(), Some(0));
    std::fs::remove_dir_all(&directory).expect("it was ours");
}

/// What the one who reads does: `kill -9` of a process that is named, and the command that is named too.
#[tokio::test]
async fn a_killed_member_comes_back_when_the_playground_is_told_so() {
    let _turn = harness::together().await;
    let (directory, ports) = (harness::new_directory("playground-again"), Ports::reserve());
    let mut playground = Playground::start(&directory, &ports, &[]);
    playground.greets().await;
    let me = playground.child.as_ref().expect("it runs").id();
    let before = running(&directory);
    playground.says("out", &format!("m2 {}", before[1].1.as_raw_nonzero())).await;
    let again = || kill_process(Pid::from_raw(me as i32).expect("a process"), Signal::USR1).expect("it is ours");
    again();
    for number in [2, 3] {
        kill(&directory, number);
        playground.says("err", &format!("member m{number} ended with signal 9 (SIGKILL)")).await;
    }
    playground.says("err", &format!("too few to go on; kill -USR1 {me} starts again what has ended")).await;
    again();
    for number in [2, 3] {
        playground.says("out", &format!("member m{number} is started again, process ")).await;
        let port = ports.port(0) + 10 * (number - 1);
        let member = Member::new("m", harness::our_program(), &directory, port, port + 1);
        harness::until("it takes writes", async || member.client().put(put()).await.ok()).await;
    }
    let after = running(&directory);
    assert_eq!(after.len(), 3);
    assert!(after[0] == before[0] && after[1] != before[1] && after[2] != before[2], "{before:?} {after:?}");
    assert_eq!(playground.end(Signal::INT).expect("it stops").code(), Some(0));
    assert_eq!(running(&directory), []);

    // What is written down starts a member too.
    let commands = std::fs::read_to_string(directory.join("data/commands")).expect("it is written");
    let first = commands.lines().find(|line| line.contains("--name m1 ")).expect("a line for each");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec {first}")]).stdin(Stdio::null());
    let log = File::create(directory.join("by-hand")).expect("the directory can be written");
    let mut by_hand = shell.stderr(log).stdout(Stdio::null()).spawn().expect("a shell");
    let said = || std::fs::read_to_string(directory.join("by-hand")).unwrap_or_default();
    harness::until("it starts", async || said().contains("starting an etcd server").then_some(())).await;
    by_hand.kill().expect("it is ours");
    by_hand.wait().expect("it ends");
    std::fs::remove_dir_all(&directory).expect("it was ours");
}

#[tokio::test]
async fn a_playground_that_is_refused_leaves_nothing_and_takes_nothing_that_is_not_its_own() {
    let _turn = harness::together().await;
    let (directory, ports) = (harness::new_directory("playground-refused"), Ports::reserve());
    let taken = std::net::TcpListener::bind(("127.0.0.1", ports.port(10))).expect("a port of ours");
    let words = refused(&directory, ports.port(0), &[]);
    assert!(
        words.contains(&format!("port {}, where member m2", ports.port(10))) && words.contains("--base-port"),
        "{words}"
    );
    assert!(!directory.join("data").exists(), "an empty directory stays");
    drop(taken);

    let data = directory.join("data");
    std::fs::create_dir_all(data.join("member/snap")).expect("a directory");
    std::fs::write(data.join("letters.txt"), "dear").expect("a file");
    let words = refused(&directory, ports.port(0), &[]);
    assert!(words.contains("(--data-dir) is not a playground's") && words.contains("(letters.txt, member)"), "{words}");
    let left: Vec<_> =
        std::fs::read_dir(&data).expect("it is there").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left.len(), 2, "nothing came to it: {left:?}");
    std::fs::remove_dir_all(&data).expect("it was ours");
    std::fs::create_dir_all(data.join("lost+found")).expect("a directory");
    let mut playground = Playground::start(&directory, &ports, &["--members", "1"]);
    playground.greets().await;
    assert_eq!(playground.end(Signal::INT).expect("it stops").code(), Some(0));
    std::fs::remove_dir_all(&directory).expect("it was ours");
}

#[tokio::test]
async fn the_playground_leaves_no_member_behind() {
    let _turn = harness::together().await;
    let (directory, ports) = (harness::new_directory("playground-orphans"), Ports::reserve());
    for (signal, code) in [(Signal::HUP, Some(0)), (Signal::KILL, None)] {
        let mut playground = Playground::start(&directory, &ports, &[]);
        playground.greets().await;
        assert_eq!(running(&directory).len(), 3);
        let ended = playground.end(signal).expect("it ends");
        assert_eq!(ended.code(), code, "{signal:?}");
        harness::until("no member runs", async || running(&directory).is_empty().then_some(())).await;
    }
    // Started with `nohup` it outlives its terminal: it still watches over its members.
    let nohup = command_with("--ignore-signal=HUP", &directory, ports.port(0), &[]);
    let mut playground = Playground::run(nohup, &directory);
    playground.greets().await;
    kill_process(Pid::from_child(playground.child.as_ref().expect("it runs")), Signal::HUP).expect("it is ours");
    kill(&directory, 2);
    playground.says("err", "2 of 3 members still up, 2 needed: the cluster goes on").await;
    assert_eq!(playground.end(Signal::INT).expect("it stops").code(), Some(0));
    // Nobody reads what it says.
    let mut child = command(&directory, ports.port(0), &[]).stdout(Stdio::piped()).spawn().expect("the program starts");
    drop(child.stdout.take());
    let mut playground = Playground { directory: directory.clone(), child: Some(child) };
    let first = Member::new("m", harness::our_program(), &directory, ports.port(0), ports.port(1));
    harness::until("it takes writes", async || first.client().put(put()).await.ok()).await;
    let ended = playground.end(Signal::INT).expect("it stops when it is told to");
    assert_eq!(ended.code(), Some(0));
    assert_eq!(running(&directory), []);
    std::fs::remove_dir_all(&directory).expect("it was ours");
}

#[tokio::test]
async fn the_playground_knows_what_its_directory_was_made_with() {
    let _turn = harness::together().await;
    let (directory, ports) = (harness::new_directory("playground-home"), Ports::reserve());
    let (port, other) = (ports.port(0), ports.port(4));
    let mut playground = Playground::start(&directory, &ports, &["--members", "1"]);
    playground.greets().await;
    let log = || std::fs::metadata(directory.join("data/m1.log")).expect("there is a log").len();
    let before = log();
    let words = refused(&directory, other, &["--members", "1"]);
    assert!(words.starts_with("playground: ") && words.contains("is in use by another playground"), "{words}");
    assert!(!words.contains("stopping"), "{words}");
    assert!(log() >= before, "the log was cut");
    assert_eq!(playground.end(Signal::INT).expect("it stops").code(), Some(0));

    let made = format!("was made with --members 1 --base-port {port}, not with");
    for (base_port, flags) in [(port, ["--members", "3"]), (other, ["--members", "1"])] {
        let words = refused(&directory, base_port, &flags);
        assert!(words.contains(&made) && words.contains(&format!("give --members 1 --base-port {port}")), "{words}");
    }
    // As it was before directories said so.
    std::fs::remove_file(directory.join("data/made-with")).expect("it was written");
    let words = refused(&directory, port, &["--members", "5"]);
    assert!(words.contains("was made with --members 1, not with --members 5: give --members 1"), "{words}");
    let mut playground = Playground::start(&directory, &ports, &["--members", "1"]);
    playground.greets().await;
    assert_eq!(playground.end(Signal::INT).expect("it stops").code(), Some(0));
    let words = refused(&directory, other, &["--members", "1"]);
    assert!(words.contains(&made), "{words}");
    assert!(log() > before, "a new start goes on in the same log");
    std::fs::remove_dir_all(&directory).expect("it was ours");
}

#[test]
fn help_ends_quietly_when_nobody_reads() {
    for arguments in [&["--help"][..], &["--version"], &["playground", "--help"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(harness::our_program());
        let Output { status, stderr, .. } = command.args(arguments).stdout(writer).output().expect("it ends");
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(128 + 13), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn help_that_cannot_be_written_is_an_error() {
    for arguments in [&["--help"][..], &["--version"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
        let mut command = Command::new(harness::our_program());
        let Output { status, stderr, .. } = command.args(arguments).stdout(full).output().expect("it ends");
        let stderr = String::from_utf8_lossy(&stderr);
        let last = stderr.lines().last();
        let said = "etcd: the output could not be written: No space left on device (os error 28)";
        assert_eq!((last, status.code()), (Some(said), Some(1)), "{arguments:?}");
    }
}
