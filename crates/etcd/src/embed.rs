//! One member inside this process, a cluster of its own: its loops, its services and their edge, behind a port of loopback.
//!
//! For programs that ask very much of one member, as those that look for bytes that harm it. Signals and the ports of
//! peers belong to processes (`serve`); and a panic ends no process here, it ends a connection or a loop.

use crate::boot::{self, Booted};
use crate::config::Config;
use crate::edge::Edge;
use crate::run::{self, Running};
use crate::{clock, cluster, listen, serve};
use disk::DirectoryLock;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// A member that runs until it is dropped; then everything acknowledged is durable.
pub struct Embedded {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    running: Option<Running>,
    /// Accepts, publishes, follows the roster.
    runtime: Option<Runtime>,
    _lock: DirectoryLock,
}

impl Embedded {
    /// Starts the member that the flags describe. The only one of its cluster leads at once. Where clients reach it is
    /// not what the flags say, but [`Embedded::address`].
    ///
    /// # Errors
    /// One line that names the cause.
    pub fn start(config: &Config) -> Result<Embedded, String> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start polling: {error}"))?;
        let plan = runtime.block_on(boot::plan(config))?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listener = listener.map_err(|error| format!("cannot listen on loopback: {error}"))?;
        let address = listener.local_addr().map_err(|error| format!("cannot tell the port: {error}"))?;
        let edge = Arc::new(Edge::start().map_err(|error| format!("cannot start the edge's threads: {error}"))?);
        let Booted { lock, disk, opened, settings, .. } = boot::boot(config, plan, clock::seed())?;
        let running = run::start(disk, opened, serve::birth(config, settings), runtime.handle());
        let (stop, stopped) = watch::channel(false);
        let handle = running.handle.clone();
        runtime.spawn(cluster::follow_roster(handle.clone(), running.roster_changes.clone()));
        runtime.spawn(cluster::keep_version(handle.clone()));
        running.campaign();
        let (name, urls) = (config.name.clone(), config.advertise_client_urls.clone());
        runtime.spawn(async move {
            cluster::publish(&handle, &name, &urls).await;
            listen::serve(listener, edge, handle, stopped).await;
        });
        Ok(Embedded { address, stop, running: Some(running), runtime: Some(runtime), _lock: lock })
    }

    /// Where it takes gRPC and HTTP/1.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // Nobody may listen any more.
        let _ = self.stop.send(true);
        if let Some(running) = self.running.take() {
            running.stop();
        }
        // What is still under way for a client is not waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
