//! `etcd playground`: a whole cluster on this machine, for a newcomer.
//!
//! Each member is a process of its own with flags as anyone would write them,
//! so what is seen here is what runs in earnest.

use crate::ask;
use clap::{Parser, builder::PossibleValuesParser, builder::TypedValueParser};
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ports between one member and the next.
const PORT_STEP: u16 = 10;
/// How long a cluster may take to elect its first leader.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long a member may take to stop in order.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

#[derive(Parser)]
#[command(
    name = "etcd playground",
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
    log: PathBuf,
    child: Option<Child>,
}

/// Runs the playground; returns the exit code.
pub fn main(arguments: Vec<String>) -> i32 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return error.exit_code();
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a small runtime starts");
    match runtime.block_on(run(&arguments)) {
        Ok(()) => 0,
        Err(reason) => {
            eprintln!("playground: {reason}");
            1
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), String> {
    let mut members = plan(arguments)?;
    for member in &members {
        check_port(member.client_port, &member.name, "clients")?;
        check_port(member.peer_port, &member.name, "other members")?;
    }
    std::fs::create_dir_all(&arguments.data_dir)
        .map_err(|error| format!("cannot create {} (--data-dir): {error}", arguments.data_dir.display()))?;
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
        .map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| format!("cannot listen for SIGTERM: {error}"))?;
    let started = start(&mut members, arguments);
    let outcome = match started {
        Err(reason) => Err(reason),
        Ok(()) => tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
            ended = serve(&mut members) => ended,
        },
    };
    println!("\nstopping {} members …", members.len());
    stop(&mut members).await;
    println!("stopped; the data stays in {}", arguments.data_dir.display());
    outcome
}

fn plan(arguments: &Arguments) -> Result<Vec<Member>, String> {
    let highest = u32::from(arguments.base_port) + u32::from(arguments.members - 1) * u32::from(PORT_STEP) + 1;
    if arguments.base_port == 0 || highest > u32::from(u16::MAX) {
        return Err(format!(
            "--base-port {} leaves no room for {} members: the last would need port {highest}",
            arguments.base_port, arguments.members
        ));
    }
    Ok((0..arguments.members)
        .map(|number| {
            let client_port = arguments.base_port + number * PORT_STEP;
            let name = format!("m{}", number + 1);
            let log = arguments.data_dir.join(format!("{name}.log"));
            Member { name, client_port, peer_port: client_port + 1, log, child: None }
        })
        .collect())
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

fn start(members: &mut [Member], arguments: &Arguments) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let pairs: Vec<String> =
        members.iter().map(|member| format!("{}={}", member.name, url(member.peer_port))).collect();
    let cluster = pairs.join(",");
    for member in members {
        let log =
            File::create(&member.log).map_err(|error| format!("cannot write {}: {error}", member.log.display()))?;
        let mut command = Command::new(&program);
        command
            .args(["--name", &member.name, "--data-dir"])
            .arg(arguments.data_dir.join(&member.name))
            .args(["--listen-client-urls", &url(member.client_port)])
            .args(["--advertise-client-urls", &url(member.client_port)])
            .args(["--listen-peer-urls", &url(member.peer_port)])
            .args(["--initial-advertise-peer-urls", &url(member.peer_port)])
            .args(["--initial-cluster", &cluster, "--initial-cluster-token", "playground"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        // The members' own settings come from here, not from the shell.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD_")) {
            command.env_remove(name);
        }
        own_process_group(&mut command);
        member.child = Some(command.spawn().map_err(|error| format!("cannot start {}: {error}", program.display()))?);
    }
    Ok(())
}

/// Ctrl-C reaches the playground, which then stops the members in order.
fn own_process_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

/// Waits for a leader, greets, and then for a member that ends by itself.
async fn serve(members: &mut [Member]) -> Result<(), String> {
    let deadline = Instant::now() + START_PATIENCE;
    let leader = loop {
        if let Some(reason) = ended(members) {
            return Err(reason);
        }
        if let Some(leader) = leader(members).await {
            break leader;
        }
        if Instant::now() > deadline {
            let logs: Vec<String> = members.iter().map(|member| member.log.display().to_string()).collect();
            return Err(format!(
                "no leader within {} s; the members' logs say why: {}",
                START_PATIENCE.as_secs(),
                logs.join(", ")
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    greet(members, &leader);
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if let Some(reason) = ended(members) {
            return Err(reason);
        }
    }
}

/// Why a member is not running any more, if one is not.
fn ended(members: &mut [Member]) -> Option<String> {
    members.iter_mut().find_map(|member| {
        let status = member.child.as_mut()?.try_wait().ok()??;
        let said = std::fs::read_to_string(&member.log).unwrap_or_default();
        let last = said.lines().last().unwrap_or("nothing").to_owned();
        member.child = None;
        Some(format!("member {} ended with {status}; it said: {last}", member.name))
    })
}

/// The name of the leading member, once every member answers.
async fn leader(members: &[Member]) -> Option<String> {
    let mut leader = None;
    for member in members {
        let authority = format!("127.0.0.1:{}", member.client_port);
        let healthy = ask::get(&authority, "/health", Duration::from_secs(1)).await.ok()?;
        if !healthy.status.is_success() {
            return None;
        }
        let metrics = ask::get(&authority, "/metrics", Duration::from_secs(1)).await.ok()?;
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        if text.lines().any(|line| line == "etcd_server_is_leader 1") {
            leader = Some(member.name.clone());
        }
    }
    leader
}

fn greet(members: &[Member], leader: &str) {
    let endpoints: Vec<String> = members.iter().map(|member| format!("127.0.0.1:{}", member.client_port)).collect();
    let other = endpoints.last().expect("there is a member");
    let all = endpoints.join(",");
    let count = members.len();
    let quorum = count / 2 + 1;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(
        out,
        "A cluster of {count} is running: {quorum} must be up for it to work, so it survives the loss of {}.\n\n\
         \x20 clients     {all}\n\
         \x20 leader      {leader}\n\
         \x20 logs        {}\n\n\
         Try, in another terminal (etcdctl is `cargo run --release -p etcdctl --`, or etcd's own):\n\n\
         \x20 etcdctl put name joe\n\
         \x20 etcdctl get name\n\
         \x20 etcdctl --endpoints {other} get / --prefix --keys-only\n\
         \x20 etcdctl endpoint status -w table --cluster\n\
         \x20 etcdctl watch --prefix /\n\n\
         Ctrl-C stops it; started again it has kept everything.",
        count - quorum,
        members.iter().map(|member| member.log.display().to_string()).collect::<Vec<_>>().join(", "),
    );
    let _ = out.flush();
}

async fn stop(members: &mut [Member]) {
    for member in members.iter() {
        if let Some(child) = &member.child {
            terminate(child.id());
        }
    }
    let deadline = Instant::now() + STOP_PATIENCE;
    for member in members {
        let Some(mut child) = member.child.take() else { continue };
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                eprintln!("playground: member {} does not stop; ending it", member.name);
                let _ = child.kill();
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = child.wait();
    }
}

/// Asks a process of ours to stop.
fn terminate(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a child has a positive process id");
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
}
