//! Tells the service manager that the member serves (`sd_notify`): a systemd unit with `Type=notify` waits for it.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where systemd listens, when it wants to know.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Says so, if anybody asked for it.
pub fn ready() {
    let Some(socket) = std::env::var_os(SOCKET).filter(|socket| !socket.is_empty()) else { return };
    match send(&socket, b"READY=1") {
        Ok(()) => tracing::info!("successfully notified init daemon"),
        Err(error) => {
            tracing::error!(%error, ?socket, "failed to notify systemd for readiness: a unit with Type=notify will be stopped")
        }
    }
}

fn send(socket: &OsString, state: &[u8]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        // Of the abstract namespace.
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    // It is never worth waiting for.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state, &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_sockets_are_reached() {
        let id = std::process::id();
        let path = std::env::temp_dir().join(format!("quorate-notify-{id}"));
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("quorate-notify-{id}");
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let mut heard = [0; 16];
        for (listener, socket) in [(by_path, path.clone().into_os_string()), (by_name, format!("@{name}").into())] {
            send(&socket, b"READY=1").unwrap();
            let count = listener.recv(&mut heard).unwrap();
            assert_eq!(&heard[..count], b"READY=1");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(send(&path.into(), b"READY=1").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
