//! The edge's threads. A connection lives on one of them from its first byte
//! to its last: an answer wakes that thread and no other, and nothing is
//! stolen back and forth.
//!
//! What this part must never do: look at what a connection says.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Fewest and most threads; between them, one for each processor.
const THREADS_MIN: usize = 2;
const THREADS_MAX: usize = 8;

/// Well below the shortest request timeout.
const BEAT: Duration = Duration::from_millis(500);

/// The threads that serve clients. They end when this is dropped, and drop
/// their connections.
pub struct Edge {
    threads: Vec<Thread>,
    next: AtomicUsize,
}

struct Thread {
    runtime: Handle,
    /// Dropped with the edge, which ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Edge {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no thread or no poller.
    pub fn start() -> io::Result<Edge> {
        let processors = std::thread::available_parallelism().map_or(THREADS_MIN, usize::from);
        let count = processors.clamp(THREADS_MIN, THREADS_MAX);
        let threads = (0..count).map(|_| Thread::start()).collect::<io::Result<_>>()?;
        Ok(Edge { threads, next: AtomicUsize::new(0) })
    }

    /// Gives a connection to the next thread in turn, which serves it.
    ///
    /// # Errors
    /// When the connection cannot leave the thread that accepted it.
    pub fn serve<F>(&self, stream: TcpStream, serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> io::Result<()>
    where
        F: Future<Output = ()> + Send,
    {
        let stream = stream.into_std()?;
        let thread = &self.threads[self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len()];
        thread.runtime.spawn(async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::warn!(%error, "cannot poll a client's connection"),
            }
        });
        Ok(())
    }
}

impl Thread {
    fn start() -> io::Result<Thread> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        std::thread::Builder::new().name("edge".to_owned()).spawn(move || {
            runtime.block_on(live(stopped));
            // A computation that still runs for a client is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Thread { runtime: handle, _stop: stop })
    }
}

/// Until the other end is dropped. A timer that is always near keeps every
/// request's own, longer one from waking the thread that sets it: the poller is
/// told anew only of a timer that comes before all others.
async fn live(mut stopped: oneshot::Receiver<()>) {
    let mut beat = tokio::time::interval(BEAT);
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            _ = beat.tick() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn connections_are_spread_and_served() {
        let edge = Edge::start().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..edge.threads.len() {
            clients.push(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
            let (stream, _) = listener.accept().await.unwrap();
            let serve = |mut stream: TcpStream| async move {
                let name = format!("{:?}", std::thread::current().id());
                stream.write_all(name.as_bytes()).await.unwrap();
            };
            edge.serve(stream, serve).unwrap();
        }
        let mut threads = BTreeSet::new();
        for mut client in clients {
            let mut name = String::new();
            client.read_to_string(&mut name).await.unwrap();
            threads.insert(name);
        }
        assert_eq!(threads.len(), edge.threads.len(), "each connection has a thread of its own");
    }

    #[tokio::test]
    async fn dropping_the_edge_drops_its_connections() {
        let edge = Edge::start().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        edge.serve(stream, |stream| async move {
            let _held = stream;
            std::future::pending::<()>().await;
        })
        .unwrap();
        drop(edge);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "the connection is closed");
    }
}
