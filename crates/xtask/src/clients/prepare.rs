//! Fetching and building each program, once, into `.cache/clients`. What is
//! fetched is pinned by the lock files beside the programs.

use crate::shell;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

fn source(name: &str) -> PathBuf {
    shell::root().join("compat").join("clients").join(name)
}

/// One program for several releases of the client: the module file tells which.
pub fn go(cache: &Path, module: &str) -> Result<Command> {
    let cache = cache.join("go");
    let program = cache.join("bin").join(module.trim_end_matches(".mod"));
    let mut build = Command::new("go");
    build.current_dir(source("go")).args(["build", "-modfile", module, "-o"]).arg(&program).arg(".");
    build.env("GOMODCACHE", cache.join("mod")).env("GOCACHE", cache.join("build"));
    // A cache that its owner can delete; no other toolchain is downloaded.
    build.env("GOFLAGS", "-mod=readonly -modcacherw").env("GOTOOLCHAIN", "local").env("GOWORK", "off");
    shell::run(build)?;
    Ok(Command::new(program))
}

/// A workspace of its own, so that the lock file of the server stays lean. The
/// client library wants a `protoc`: ours is a few lines around `protox`.
pub fn rust(cache: &Path) -> Result<Command> {
    let manifest = source("rust").join("Cargo.toml");
    let target = cache.join("rust");
    let build = |package: &str| {
        let mut build = shell::cargo(&["build", "-q", "--locked", "-p", package, "--manifest-path"]);
        build.arg(&manifest).env("CARGO_TARGET_DIR", &target);
        build
    };
    shell::run(build("compat-protoc"))?;
    let mut program = build("compat-rust");
    program.env("PROTOC", target.join("debug").join("compat-protoc"));
    shell::run(program)?;
    Ok(Command::new(target.join("debug").join("compat-rust")))
}
