//! What `--help` says. The flag part is read from the table.

use super::table::{FLAGS, Flag, Group, Status};

/// The short text, also printed after a command line that cannot be parsed.
pub(super) const USAGE: &str = "Usage:

  etcd [flags]
    Start an etcd server.

  etcd --version
    Show the version of etcd.

  etcd -h | --help
    Show the help information about etcd.

  etcd --config-file
    Path to the server configuration file (not supported yet).

  etcd playground
    Run a whole cluster on this machine, to try it; etcd playground --help lists its flags.

  etcd gateway
    Run the stateless pass-through etcd TCP connection forwarding proxy (not supported yet).

  etcd grpc-proxy
    Run the stateless etcd v3 gRPC L7 reverse proxy (not supported yet).
";

/// Every flag by group, in the order of the table.
pub(super) fn flags() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        text.push_str(&format!("\n{}:\n", group.title()));
        for flag in FLAGS.iter().filter(|flag| flag.group == group) {
            text.push_str(&format!("  --{} '{}'\n    {}\n", flag.name, flag.default, line(flag)));
        }
    }
    text.push_str(
        "\nEvery flag can also be given as an environment variable: ETCD_ and the name in capitals, with _ for -.\n\
         \nCAUTIOUS with unsafe flag! It may break the guarantees given by the consensus protocol!\n",
    );
    text
}

fn line(flag: &Flag) -> String {
    match flag.status {
        Status::Works => flag.doc.to_owned(),
        Status::Later => format!("{} (not supported yet)", flag.doc),
        Status::Ignored(reason) => format!("{} (accepted, no effect: {reason})", flag.doc),
    }
}
