//! Help for who reads only its beginning.

use std::process::{Command, Stdio};

#[test]
fn help_ends_quietly_when_nobody_reads() {
    for arguments in [&["--help"][..], &["help"], &["get", "--help"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcdctl"));
        let mut child =
            command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{arguments:?}");
        assert_eq!(ended.status.code(), Some(0), "{arguments:?}");
    }
}
