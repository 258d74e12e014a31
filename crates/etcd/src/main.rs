//! The program `etcd`.

use etcd::flags::{self, Action};
use etcd::{logging, playground, serve};

fn main() {
    let arguments: Vec<String> = std::env::args_os().map(|text| text.to_string_lossy().into_owned()).collect();
    if arguments.get(1).is_some_and(|first| first == "playground") {
        std::process::exit(playground::main(arguments[1..].to_vec()));
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
            eprint!("{usage}");
            print!("{flags}");
        }
        Ok(Action::Version(text)) => print!("{text}"),
        Err(exit) => {
            exit.report();
            std::process::exit(exit.code);
        }
    }
}
