//! The program `etcd`.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use etcd::flags::{self, Action};
use etcd::{logging, playground, serve};
use std::io::Write;

fn main() {
    let arguments: Vec<String> = std::env::args_os().map(|text| text.to_string_lossy().into_owned()).collect();
    if arguments.get(1).is_some_and(|first| first == "playground") {
        std::process::exit(playground::main(arguments[1..].to_vec()));
    }
    if let Err(reason) = playground::end_with_it() {
        // Whoever would read it may be gone too.
        let _ = writeln!(std::io::stderr(), "etcd: {reason}");
        std::process::exit(1);
    }
    let environment: Vec<(String, String)> = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect();
    match flags::parse(&arguments[1..], &environment) {
        Ok(Action::Run(config, notes)) => {
            logging::install(config.log);
            notes.iter().for_each(logging::emit);
            std::process::exit(serve::main(&config));
        }
        Ok(Action::Help { usage, flags }) => {
            // Without a reader there is nobody to tell.
            let _ = std::io::stderr().write_all(usage.as_bytes());
            print(&flags);
        }
        Ok(Action::Version(text)) => print(&text),
        Err(exit) => {
            exit.report();
            std::process::exit(exit.code);
        }
    }
}

/// Writes to stdout. When nobody reads it, the process ends without a word, as a shell shows etcd's own end by SIGPIPE.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(128 + 13),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "etcd: the output could not be written: {error}");
            std::process::exit(1);
        }
    }
}
