//! Fetching and building each program, once, into `.cache/clients`. What is
//! fetched is pinned by the lock files beside the programs.

use crate::shell;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn source(name: &str) -> PathBuf {
    shell::root().join("compat").join("clients").join(name)
}

/// One program for several releases of the client: the module file tells which.
pub fn go(cache: &Path, folder: &str, module: &str) -> Result<Command> {
    let cache = cache.join("go");
    let program = cache.join("bin").join(format!("{folder}-{}", module.trim_end_matches(".mod")));
    let mut build = Command::new("go");
    build.current_dir(source(folder)).args(["build", "-modfile", module, "-o"]).arg(&program).arg(".");
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

/// The client in an environment of its own, which knows nothing else of the
/// machine than its Python.
pub fn python(cache: &Path) -> Result<Command> {
    let folder = cache.join("python");
    let python = folder.join("bin").join("python");
    let requirements = source("python").join("requirements.txt");
    let mut version = Command::new("python3");
    version.args(["-c", "import sys; print(sys.version, sys.base_prefix)"]);
    once(&folder, &[said(version)?, read(&requirements)?], || {
        let mut environment = Command::new("python3");
        environment.args(["-m", "venv"]).arg(&folder);
        shell::run(environment)?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--requirement"]);
        pip.arg(&requirements).env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_ROOT_USER_ACTION", "ignore");
        shell::run(pip)
    })?;
    let mut program = Command::new(&python);
    program.arg("-B").arg(source("python").join("main.py"));
    Ok(program)
}

/// The client beside a copy of the lock file; the program finds it by `NODE_PATH`.
pub fn node(cache: &Path) -> Result<Command> {
    let folder = cache.join("node");
    let files = ["package.json", "package-lock.json"].map(|name| (name, source("node").join(name)));
    once(&folder, &[read(&files[0].1)?, read(&files[1].1)?], || {
        for (name, from) in &files {
            fs::copy(from, folder.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        let mut install = Command::new("npm");
        // No package of the lock file needs its install script.
        install.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--cache"]);
        install.arg(cache.join("npm")).current_dir(&folder);
        shell::run(install)
    })?;
    let mut program = Command::new("node");
    program.arg(source("node").join("main.js")).env("NODE_PATH", folder.join("node_modules"));
    Ok(program)
}

/// Maven fetches the libraries and tells where they lie, javac compiles.
pub fn java(cache: &Path) -> Result<Command> {
    let folder = cache.join("java");
    let model = source("java").join("pom.xml");
    let (libraries, classes) = (folder.join("classpath"), folder.join("classes"));
    let wanted = read(&model)?;
    once(&folder, std::slice::from_ref(&wanted), || {
        let mut fetch = Command::new("mvn");
        fetch.args(["--quiet", "--batch-mode", "--file"]).arg(&model);
        fetch.arg(format!("-Dmaven.repo.local={}", folder.join("repository").display()));
        fetch.arg("dependency:build-classpath").arg(format!("-Dmdep.outputFile={}", libraries.display()));
        said(fetch).map(drop)
    })?;
    let libraries = read(&libraries)?;
    let mut sources = Vec::new();
    for entry in fs::read_dir(source("java").join("src"))? {
        sources.push(entry?.path());
    }
    sources.sort();
    let mut from = vec![wanted];
    for path in &sources {
        from.push(read(path)?);
    }
    once(&classes, &from, || {
        let mut compile = Command::new("javac");
        compile.arg("-d").arg(&classes).args(["-cp", &libraries]).args(&sources);
        shell::run(compile)
    })?;
    let mut program = Command::new("java");
    program.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]);
    program.arg(format!("{}:{libraries}", classes.display())).arg("Main");
    Ok(program)
}

/// Makes what a folder holds, unless it was made there from the same. What is
/// half made is made anew.
fn once(folder: &Path, from: &[String], make: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = folder.join("made-from");
    // Some of what is made names the folder: a copy elsewhere does not count.
    let from = format!("{}\n{}", folder.display(), from.join("\n"));
    if fs::read_to_string(&stamp).is_ok_and(|text| text == from) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    make()?;
    fs::write(stamp, from)?;
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What a command prints.
fn said(mut command: Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        let words = [output.stdout, output.stderr].concat();
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&words));
    }
    Ok(String::from_utf8(output.stdout)?)
}
