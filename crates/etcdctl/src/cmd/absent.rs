//! Commands of etcdctl that do not work yet. They have their names here so that
//! nobody has to guess whether a word was misspelt.

use crate::fail::{Exit, Failure, Result};
use crate::verb::{Rest, Verb};

/// A command that does not work yet, whatever follows.
pub const fn absent(usage: &'static str, short: &'static str) -> Verb {
    Verb { rest: Rest::Anything, ..Verb::new(usage, short) }
}

/// `defrag`
pub const DEFRAG: Verb = absent("defrag", "Defragments the storage of the etcd members with given endpoints");
/// `snapshot`
pub const SNAPSHOT: Verb = Verb::new("snapshot <subcommand>", "Manages etcd node snapshots")
    .verbs(&[absent("save <filename>", "Stores an etcd node backend snapshot to a given file")]);
/// `downgrade`
pub const DOWNGRADE: Verb = Verb::new("downgrade <TARGET_VERSION>", "Downgrade related commands").verbs(&[
    absent("validate <TARGET_VERSION>", "Validate downgrade capability before starting downgrade"),
    absent("enable <TARGET_VERSION>", "Start a downgrade action to cluster"),
    absent("cancel", "Cancel the ongoing downgrade action to cluster"),
]);
/// `user`
pub const USER: Verb = Verb::new("user <subcommand>", "User related commands").verbs(&[
    absent("add <user name or user:password> [options]", "Adds a new user"),
    absent("delete <user name>", "Deletes a user"),
    absent("get <user name> [options]", "Gets detailed information of a user"),
    absent("list", "Lists all users"),
    absent("passwd <user name> [options]", "Changes password of user"),
    absent("grant-role <user name> <role name>", "Grants a role to a user"),
    absent("revoke-role <user name> <role name>", "Revokes a role from a user"),
]);
/// `role`
pub const ROLE: Verb = Verb::new("role <subcommand>", "Role related commands").verbs(&[
    absent("add <role name>", "Adds a new role"),
    absent("delete <role name>", "Deletes a role"),
    absent("get <role name>", "Gets detailed information of a role"),
    absent("list", "Lists all roles"),
    absent("grant-permission [options] <role name> <permission type> <key> [endkey]", "Grants a key to a role"),
    absent("revoke-permission <role name> <key> [endkey]", "Revokes a key from a role"),
]);
/// `make-mirror`
pub const MAKE_MIRROR: Verb =
    absent("make-mirror [options] <destination>", "Makes a mirror at the destination etcd cluster");
/// `check`
pub const CHECK: Verb =
    Verb::new("check <subcommand>", "commands for checking properties of the etcd cluster").verbs(&[
        absent(
            "datascale [options]",
            "Check the memory usage of holding data for different workloads on a given server \
         endpoint.",
        ),
        absent("perf [options]", "Check the performance of the etcd cluster"),
    ]);

/// Says so.
pub fn run(names: &[&str]) -> Result<()> {
    let name = names.join(" ");
    let text = format!("etcdctl {name} is not implemented yet");
    Err(Failure::new(Exit::Error, text))
}
