//! A socket and the connection on it: what every load moves its bytes with.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http2::connection::{Connection, Reply};

/// How long a server may take to accept, to greet, or to send any reply at all.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Room for what one read of the socket brings.
const READ_BYTES: usize = 64 << 10;

/// A connection to a server that has greeted.
pub struct Wire {
    socket: TcpStream,
    pub connection: Connection,
    inbox: BytesMut,
}

impl Wire {
    /// Connects and waits for the server's greeting.
    pub async fn open(endpoint: &str, path: &str) -> Result<Self> {
        let socket = timeout(PATIENCE, TcpStream::connect(endpoint)).await.context("no answer")?;
        let socket = socket.with_context(|| format!("connecting to {endpoint}"))?;
        socket.set_nodelay(true).context("turning off Nagle's algorithm")?;
        let inbox = BytesMut::with_capacity(READ_BYTES);
        let mut wire = Self { socket, connection: Connection::new(endpoint, path), inbox };
        let greeting = std::mem::take(&mut wire.connection.outbox);
        wire.socket.write_all(&greeting).await.context("greeting the server")?;
        while !wire.connection.is_ready() {
            timeout(PATIENCE, wire.read()).await.with_context(|| format!("{endpoint} did not greet"))??;
            wire.receive(|_, _| panic!("a reply to nothing"))?;
        }
        Ok(wire)
    }

    /// Takes the replies out of what has been read.
    pub fn receive(&mut self, on_reply: impl FnMut(u32, Reply<'_>)) -> Result<()> {
        self.connection.receive(&mut self.inbox, on_reply)
    }

    /// Writes as much of the outbox as the socket takes.
    pub fn flush(&mut self) -> Result<()> {
        let mut written = 0;
        let outbox = &mut self.connection.outbox;
        while written < outbox.len() {
            match self.socket.try_write(&outbox[written..]) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("writing to the server"),
            }
        }
        outbox.drain(..written);
        Ok(())
    }

    /// Waits for bytes and reads them. Comes back without any when the socket
    /// takes more of what is left in the outbox. May be dropped and asked again.
    pub async fn read(&mut self) -> Result<()> {
        self.inbox.reserve(READ_BYTES);
        let read = if self.connection.outbox.is_empty() {
            // Knows that a short read was the last: one system call per batch.
            self.socket.read_buf(&mut self.inbox).await
        } else {
            let either = Interest::READABLE | Interest::WRITABLE;
            self.socket.ready(either).await.context("waiting for the server")?;
            self.socket.try_read_buf(&mut self.inbox)
        };
        match read {
            Ok(0) => Err(anyhow!("the server closed the connection")),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("reading from the server"),
        }
    }
}
