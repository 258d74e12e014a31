//! `etcd playground`: a whole cluster on this machine, for a newcomer.
//!
//! Each member is a process of its own with flags as anyone would write them,
//! so what is seen here is what runs in earnest.

use crate::ask;
use clap::{Parser, builder::PossibleValuesParser, builder::TypedValueParser};
use commands::Commands;
use futures_util::future::select_all;
use home::{Home, Made};
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::Child;
use tokio::signal::unix::SignalKind;

mod commands;
mod home;

/// Ports between one member and the next.
const PORT_STEP: u16 = 10;
/// How long a cluster may take to elect its first leader.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks for the first leader: nobody tells of it over HTTP.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long a member may take to stop in order.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// How much of a log's end is searched for the reason why a member has ended.
const LOG_END_BYTES: u64 = 64 << 10;
/// Environment variable of the members: the process id of the playground with which they end.
const ENDS_WITH: &str = "QUORATE_PLAYGROUND_PID";

#[derive(Parser)]
#[command(
    name = "etcd playground",
    bin_name = "etcd playground",
    about = "Starts a cluster on this machine, prints where it is, and runs it until Ctrl-C",
    disable_version_flag = true
)]
struct Arguments {
    /// How many members
    #[arg(long, default_value = "3", value_parser = PossibleValuesParser::new(["1", "3", "5", "7"]).map(|text| text.parse::<u16>().expect("one of these")))]
    members: u16,
    /// Where the members keep their data; kept for the next start
    #[arg(long, default_value = "playground.etcd")]
    data_dir: PathBuf,
    /// Client port of the first member; its peer port is the next, other members follow in steps of ten
    #[arg(long, default_value_t = 2379)]
    base_port: u16,
}

/// One member of the playground.
struct Member {
    name: String,
    client_port: u16,
    peer_port: u16,
    data: PathBuf,
    log: PathBuf,
    /// Where in the log this start begins, in bytes.
    log_start: u64,
    child: Option<Child>,
}

impl Member {
    /// The number of its process, 0 when there is none.
    fn process(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).unwrap_or(0)
    }
}

/// Called first of all by every process of `etcd`: a member of a playground asks to be stopped when that ends,
/// however it ends. An error says that it has ended already.
pub fn end_with_it() -> Result<(), String> {
    let Ok(playground) = std::env::var(ENDS_WITH) else { return Ok(()) };
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|error| format!("cannot ask to be stopped with the playground: {error}"))?;
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if parent.to_string() == playground {
        Ok(())
    } else {
        Err(format!("the playground that started this member, process {playground}, has ended"))
    }
}

/// Runs the playground; returns the exit code.
pub fn main(arguments: Vec<String>) -> i32 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // As a shell shows the end of who writes to nobody.
            return match error.print() {
                Err(unread) if unread.kind() == std::io::ErrorKind::BrokenPipe => 128 + 13,
                _ => error.exit_code(),
            };
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a small runtime starts");
    match runtime.block_on(run(&arguments)) {
        Ok(code) => code,
        Err(reason) => {
            warn(&reason);
            1
        }
    }
}

/// Says something on stdout. Who has stopped reading is no reason to leave members behind.
fn tell(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Says on stderr what is not as it should be.
fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "playground: {text}");
}

/// Runs until all is stopped; the exit code. An error is why nothing was started.
async fn run(arguments: &Arguments) -> Result<i32, String> {
    let mut members = plan(arguments)?;
    let made = Made { members: arguments.members, base_port: arguments.base_port };
    // A start that is refused leaves nothing behind.
    if !arguments.data_dir.exists() {
        check_ports(&members)?;
    }
    let home = Home::open(&arguments.data_dir, made)?;
    check_ports(&members)?;
    let mut signals = signals()?;
    let mut again = listen_for(SignalKind::user_defined1())?;
    let asked_to_stop = select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv())));
    let outcome = match Commands::of(&members, &home) {
        Err(reason) => Err(reason),
        Ok(commands) => tokio::select! {
            _ = asked_to_stop => Ok(()),
            ended = serve(&mut members, &commands, &home, &mut again) => ended,
        },
    };
    let code = match outcome {
        Ok(()) => 0,
        Err(reason) => {
            warn(&reason);
            1
        }
    };
    let running = members.iter().filter(|member| member.child.is_some()).count();
    if running > 0 {
        tell(&format!("\nstopping {} …\n", counted(running)));
        stop(&mut members).await;
    }
    tell(&format!("stopped; the data stays in {}\n", arguments.data_dir.display()));
    Ok(code)
}

/// The signals that end a playground. One whose starter ignores hangups, as `nohup` does, ignores them too.
fn signals() -> Result<Vec<tokio::signal::unix::Signal>, String> {
    let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
    if !ignores_hangup() {
        kinds.push(SignalKind::hangup());
    }
    kinds.into_iter().map(listen_for).collect()
}

fn listen_for(kind: SignalKind) -> Result<tokio::signal::unix::Signal, String> {
    tokio::signal::unix::signal(kind).map_err(|error| format!("cannot listen for signals: {error}"))
}

fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    // Bit 0 is signal 1.
    mask & (1 << (Signal::HUP.as_raw() - 1)) != 0
}

fn counted(members: usize) -> String {
    match members {
        1 => "1 member".to_owned(),
        more => format!("{more} members"),
    }
}

fn plan(arguments: &Arguments) -> Result<Vec<Member>, String> {
    let highest = u32::from(arguments.base_port) + u32::from(arguments.members - 1) * u32::from(PORT_STEP) + 1;
    if arguments.base_port == 0 {
        return Err("--base-port 0 is no port: give the client port of the first member, for example 2379".to_owned());
    }
    if highest > u32::from(u16::MAX) {
        return Err(format!(
            "--base-port {} leaves no room for {} members: the last would need port {highest}",
            arguments.base_port, arguments.members
        ));
    }
    Ok((0..arguments.members)
        .map(|number| {
            let client_port = arguments.base_port + number * PORT_STEP;
            let name = format!("m{}", number + 1);
            let data = arguments.data_dir.join(&name);
            let log = arguments.data_dir.join(format!("{name}.log"));
            Member { name, client_port, peer_port: client_port + 1, data, log, log_start: 0, child: None }
        })
        .collect())
}

fn check_ports(members: &[Member]) -> Result<(), String> {
    for member in members {
        check_port(member.client_port, &member.name, "clients")?;
        check_port(member.peer_port, &member.name, "other members")?;
    }
    Ok(())
}

fn check_port(port: u16, name: &str, whose: &str) -> Result<(), String> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "port {port}, where member {name} would listen for {whose}, cannot be used: {error}; \
             choose other ports with --base-port"
        )),
    }
}

/// Starts the members, waits for a leader, greets, and goes on until no member is left. Those that have ended are started again
/// when `again` says so.
async fn serve(
    members: &mut [Member],
    commands: &Commands,
    home: &Home,
    again: &mut tokio::signal::unix::Signal,
) -> Result<(), String> {
    for member in &mut *members {
        commands.start(member)?;
    }
    let leader = led(members, home).await?;
    home.remember()?;
    greet(members, &leader, commands);
    let me = std::process::id();
    let (count, quorum) = (members.len(), members.len() / 2 + 1);
    loop {
        tokio::select! {
            ended = next_end(members) => {
                let Some(ended) = ended else { break };
                warn(&ended);
                let so = match members.iter().filter(|member| member.child.is_some()).count() {
                    0 => break,
                    up if up >= quorum => format!("{up} of {count} members still up, {quorum} needed: the cluster goes on"),
                    up => format!("{up} of {count} members still up, {quorum} needed: too few to go on"),
                };
                warn(&format!("{so}; kill -USR1 {me} starts again what has ended"));
            }
            _ = again.recv() => {
                for member in members.iter_mut().filter(|member| member.child.is_none()) {
                    match commands.start(member) {
                        Ok(()) => tell(&format!("member {} is started again, process {}\n", member.name, member.process())),
                        Err(reason) => warn(&reason),
                    }
                }
            }
        }
    }
    Err("all members have ended".to_owned())
}

/// Waits for a leader; its name. On a first start every member is needed, and one that ends says what is wrong with all; later a
/// majority is enough, because the others have the data.
async fn led(members: &mut [Member], home: &Home) -> Result<String, String> {
    let quorum = members.len() / 2 + 1;
    let deadline = tokio::time::Instant::now() + START_PATIENCE;
    loop {
        let up = members.iter().filter(|member| member.child.is_some());
        let (names, ports): (Vec<String>, Vec<u16>) =
            up.map(|member| (member.name.clone(), member.client_port)).unzip();
        tokio::select! {
            ended = next_end(members) => {
                let ended = ended.unwrap_or_default();
                if !home.is_remembered() || ports.len() - 1 < quorum {
                    return Err(ended);
                }
                warn(&format!("{ended}; the others have the data, it goes on with them"));
            }
            leader = tokio::time::timeout_at(deadline, first_leader(&ports)) => {
                let Ok(leader) = leader else {
                    let logs: Vec<String> = members.iter().map(|member| member.log.display().to_string()).collect();
                    return Err(format!(
                        "no leader within {} s; the members' logs say why: {}",
                        START_PATIENCE.as_secs(),
                        logs.join(", ")
                    ));
                };
                return Ok(names[leader].clone());
            }
        }
    }
}

/// Waits for the next member that ends, and says which and how. None when no member runs.
async fn next_end(members: &mut [Member]) -> Option<String> {
    let running: Vec<_> = members
        .iter_mut()
        .filter_map(|member| {
            let child = member.child.as_mut()?;
            let place = (member.name.clone(), member.log.clone(), member.log_start);
            Some((place, child))
        })
        .map(|(place, child)| Box::pin(async move { (child.wait().await, place) }))
        .collect();
    if running.is_empty() {
        return None;
    }
    let ((status, (name, log, log_start)), ..) = select_all(running).await;
    members.iter_mut().filter(|member| member.name == name).for_each(|member| member.child = None);
    let how = status.map_or_else(|error| error.to_string(), how);
    let said = last_error(&log, log_start).map_or_else(String::new, |line| format!("; its last error: {line}"));
    Some(format!("member {name} ended with {how}{said} (log: {})", log.display()))
}

/// "signal 9 (SIGKILL)", "exit status 1".
fn how(status: ExitStatus) -> String {
    status.to_string().replacen(": ", " ", 1)
}

/// The last line of a log from `start` on that tells of an error: a record of that level, or plain words.
fn last_error(log: &Path, start: u64) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    let from = start.max(length.saturating_sub(LOG_END_BYTES));
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut end = Vec::new();
    file.take(LOG_END_BYTES).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    // Begun in the middle, the first line is not whole.
    let lines = end.lines().skip(usize::from(from > start));
    lines.filter(|line| tells_of_error(line)).last().map(str::to_owned)
}

fn tells_of_error(line: &str) -> bool {
    match serde_json::from_str::<serde_json::Value>(line) {
        Ok(record) => matches!(record["level"].as_str(), Some("error" | "panic" | "fatal")),
        Err(_) => !line.trim().is_empty(),
    }
}

/// Asks until every member answers and one of them leads.
async fn first_leader(ports: &[u16]) -> usize {
    loop {
        if let Some(leader) = leader(ports).await {
            return leader;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Which member leads, once every member answers.
async fn leader(ports: &[u16]) -> Option<usize> {
    let mut leader = None;
    for (number, port) in ports.iter().enumerate() {
        let authority = format!("127.0.0.1:{port}");
        let healthy = ask::get(&authority, "/health", Duration::from_secs(1)).await.ok()?;
        if !healthy.status.is_success() {
            return None;
        }
        let metrics = ask::get(&authority, "/metrics", Duration::from_secs(1)).await.ok()?;
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        if text.lines().any(|line| line == "etcd_server_is_leader 1") {
            leader = Some(number);
        }
    }
    leader
}

fn greet(members: &[Member], leader: &str, commands: &Commands) {
    let endpoints: Vec<String> = members.iter().map(|member| format!("127.0.0.1:{}", member.client_port)).collect();
    let other = endpoints.last().expect("there is a member");
    let all = endpoints.join(",");
    let count = members.len();
    let quorum = count / 2 + 1;
    // Without a word etcdctl goes to 2379.
    let first = match members[0].client_port {
        2379 => String::new(),
        port => format!(" --endpoints 127.0.0.1:{port}"),
    };
    tell(&format!(
        "A cluster of {count} is running: {quorum} must be up for it to work, so it survives the loss of {}.\n\n\
         \x20 clients     {all}\n\
         \x20 leader      {leader}\n\
         \x20 processes   {}\n\
         \x20 logs        {}\n\
         \x20 commands    {}\n\n\
         Try, in another terminal (`cargo build --release -p etcdctl` makes target/release/etcdctl; etcd's own does too):\n\n\
         \x20 etcdctl{first} put name joe\n\
         \x20 etcdctl{first} get name\n\
         \x20 etcdctl{first} put /app/one 1\n\
         \x20 etcdctl --endpoints {other} get / --prefix --keys-only\n\
         \x20 etcdctl{first} endpoint status -w table --cluster\n\
         \x20 etcdctl{first} watch --prefix /\n\n\
         kill -9 one of the processes and see; kill -USR1 {} starts again what has ended.\n\
         Ctrl-C stops it; started again it has kept everything.\n",
        count - quorum,
        members.iter().map(process_of).collect::<Vec<_>>().join(", "),
        members.iter().map(|member| member.log.display().to_string()).collect::<Vec<_>>().join(", "),
        commands.file().display(),
        std::process::id(),
    ));
}

/// "m1 4711", "m2 has ended".
fn process_of(member: &Member) -> String {
    match member.process() {
        0 => format!("{} has ended", member.name),
        process => format!("{} {process}", member.name),
    }
}

async fn stop(members: &mut [Member]) {
    members.iter().filter_map(|member| member.child.as_ref()?.id()).for_each(terminate);
    let deadline = tokio::time::Instant::now() + STOP_PATIENCE;
    for member in members {
        let Some(mut child) = member.child.take() else { continue };
        if tokio::time::timeout_at(deadline, child.wait()).await.is_err() {
            warn(&format!("member {} does not stop; ending it", member.name));
            let _ = child.kill().await;
        }
    }
}

/// Asks a process of ours to stop.
fn terminate(pid: u32) {
    let pid = Pid::from_raw(pid as i32).expect("a child has a positive process id");
    let _ = rustix::process::kill_process(pid, Signal::TERM);
}
