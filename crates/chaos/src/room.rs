//! A network namespace for one member, without a name: it goes with its last
//! process, and the one that holds it ends when our end of its standard input
//! closes, whatever ends us.

use crate::wire;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The namespace, held by a process that does nothing else.
pub struct Room {
    holder: Child,
}

impl Room {
    /// A namespace with this node's device in it, up, with its address.
    pub fn new(node: usize, members: usize) -> Result<Room> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo ready && exec cat"]);
        let mut holder =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("unshare does not start")?;
        let mut line = String::new();
        let out = holder.stdout.take().context("it is a pipe")?;
        BufReader::new(out).read_line(&mut line)?;
        let room = Room { holder };
        if line != "ready\n" {
            bail!("unshare --net makes no network namespace here");
        }
        let (device, pid) = (wire::device(node), room.holder.id().to_string());
        run(ip().args(["link", "set", "dev", &device, "netns", &pid]))?;
        up(|| room.enter("ip"), node, members)?;
        Ok(room)
    }

    /// A command that will run in there. It becomes that program: its id is the
    /// program's own.
    pub fn enter(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.holder.id().to_string(), "--net", "--", program]);
        command
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Gives the clients their address, in this process's own namespace.
pub fn clients(members: usize) -> Result<()> {
    up(ip, members, members)
}

fn ip() -> Command {
    Command::new("ip")
}

fn up(ip: impl Fn() -> Command, node: usize, members: usize) -> Result<()> {
    let device = wire::device(node);
    let address = format!("{}/24", wire::address(node, members));
    run(ip().args(["link", "set", "dev", "lo", "up"]))?;
    run(ip().args(["address", "add", &address, "dev", &device]))?;
    run(ip().args(["link", "set", "dev", &device, "up"]))
}

/// Runs to the end; what it said is in the error.
pub fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
