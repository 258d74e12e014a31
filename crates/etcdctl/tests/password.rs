//! A password that is typed at a terminal: not shown, and whoever thinks better of it has his terminal back. The terminal is
//! that of `script`, of util-linux.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Types an answer to the question; all that the terminal shows, the code of the command, and the terminal's settings.
fn typed(answer: &[u8]) -> String {
    let etcdctl = env!("CARGO_BIN_EXE_etcdctl");
    let arguments = "get a --user root --endpoints 127.0.0.1:1 --dial-timeout 100ms";
    let line = format!("'{etcdctl}' {arguments} 2>/dev/null; echo code=$?; stty -a");
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script (package bsdutils or util-linux) starts");
    let (mut stdin, mut stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let (mut shown, mut chunk) = (Vec::new(), [0; 4096]);
    while !shown.ends_with(b"Password: ") {
        let read = stdout.read(&mut chunk).expect("a terminal");
        assert!(read > 0, "no question: {}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&chunk[..read]);
    }
    stdin.write_all(answer).expect("it is typed");
    stdout.read_to_end(&mut shown).expect("a terminal");
    assert!(child.wait().expect("it ends").success());
    String::from_utf8(shown).expect("text")
}

fn shows_what_is_typed(shown: &str) -> bool {
    let settings: Vec<&str> = shown.split([' ', ';', '\r', '\n']).collect();
    assert!(settings.contains(&"echo") || settings.contains(&"-echo"), "no settings: {shown}");
    settings.contains(&"echo") && settings.contains(&"isig")
}

#[test]
fn a_password_is_not_shown() {
    let shown = typed(b"secret\n");
    assert!(!shown.contains("secret"), "{shown}");
    // Nobody is there to be told.
    assert!(shown.contains("code=2\r\n"), "{shown}");
    assert!(shows_what_is_typed(&shown), "{shown}");
}

#[test]
fn an_interrupt_gives_the_terminal_back() {
    let shown = typed(b"sec\x03");
    assert!(!shown.contains("sec\r"), "{shown}");
    assert!(shown.contains("code=255\r\n"), "{shown}");
    assert!(shows_what_is_typed(&shown), "{shown}");
}
