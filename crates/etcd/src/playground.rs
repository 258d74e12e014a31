//! `etcd playground`: a whole cluster on this machine, for a newcomer.
//!
//! Each member is a process of its own with flags as anyone would write them,
//! so what is seen here is what runs in earnest.

use crate::ask;
use clap::{Parser, builder::PossibleValuesParser, builder::TypedValueParser};
use futures_util::future::select_all;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Ports between one member and the next.
const PORT_STEP: u16 = 10;
/// How long a cluster may take to elect its first leader.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks for the first leader: nobody tells of it over HTTP.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
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
        // Ctrl-C reaches the playground, which then stops the members in order.
        command.process_group(0).kill_on_drop(true);
        member.child = Some(command.spawn().map_err(|error| format!("cannot start {}: {error}", program.display()))?);
    }
    Ok(())
}

/// Waits for a leader, greets, and then for a member that ends by itself.
async fn serve(members: &mut [Member]) -> Result<(), String> {
    let ports: Vec<u16> = members.iter().map(|member| member.client_port).collect();
    let leader = tokio::select! {
        reason = first_end(members) => return Err(reason),
        leader = tokio::time::timeout(START_PATIENCE, first_leader(&ports)) => leader,
    };
    let Ok(leader) = leader else {
        let logs: Vec<String> = members.iter().map(|member| member.log.display().to_string()).collect();
        return Err(format!(
            "no leader within {} s; the members' logs say why: {}",
            START_PATIENCE.as_secs(),
            logs.join(", ")
        ));
    };
    greet(members, &members[leader].name);
    Err(first_end(members).await)
}

/// Waits for the first member that ends, and says why.
async fn first_end(members: &mut [Member]) -> String {
    let running = members.iter_mut().filter_map(|member| {
        let Member { name, log, child, .. } = member;
        let child = child.as_mut()?;
        Some(Box::pin(async move { (child.wait().await, name, log) }))
    });
    let ((status, name, log), ..) = select_all(running).await;
    let ended = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let said = std::fs::read_to_string(log).unwrap_or_default();
    format!("member {name} ended with {ended}; it said: {}", said.lines().last().unwrap_or("nothing"))
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
    members.iter().filter_map(|member| member.child.as_ref()?.id()).for_each(terminate);
    let deadline = tokio::time::Instant::now() + STOP_PATIENCE;
    for member in members {
        let Some(mut child) = member.child.take() else { continue };
        if tokio::time::timeout_at(deadline, child.wait()).await.is_err() {
            eprintln!("playground: member {} does not stop; ending it", member.name);
            let _ = child.kill().await;
        }
    }
}

/// Asks a process of ours to stop.
fn terminate(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a child has a positive process id");
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
}
