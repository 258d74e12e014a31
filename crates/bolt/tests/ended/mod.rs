//! Waiting for the programs that a test has started.

use std::process::{Child, Command, Output};
use std::sync::mpsc;
use std::time::Duration;

/// How long a program may take to its end.
const PATIENCE: Duration = Duration::from_secs(60);

/// The end of a program, which is ended if it takes too long.
pub fn end_of(child: Child, title: &str) -> Output {
    let pid = child.id().to_string();
    let (tell, ended) = mpsc::channel();
    // It ends with the child.
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    let ended = ended.recv_timeout(PATIENCE);
    let output = ended.unwrap_or_else(|_| {
        let _ = Command::new("kill").args(["-KILL", &pid]).status();
        panic!("{title} has not ended after {PATIENCE:?}");
    });
    output.expect("a child can be waited for")
}
