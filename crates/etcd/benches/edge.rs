//! The gRPC edge alone: a fixed reply of 286 bytes to every call, nothing behind it.
//!
//! `cargo bench -p etcd --bench edge -- 127.0.0.1:2400`, then `h2load` against it. It serves until it is stopped.

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use etcd::grpc::{Answer, Inbound, Limits, Metadata, Method, Outbound, Service, Status, serve_connection};

struct Fixed(Bytes);

impl Service for Fixed {
    fn find(&self, _: &str) -> Result<Method, Status> {
        Ok(Method { index: 0, streaming: false })
    }

    async fn unary(&self, _: Method, _: Metadata, _: Bytes) -> Result<Answer, Status> {
        Ok(self.0.clone().into())
    }

    async fn stream(&self, _: Method, _: Metadata, _: &mut Inbound, _: Outbound) -> Result<(), Status> {
        Ok(())
    }

    async fn plain(&self, _: http::request::Parts) -> http::Response<Bytes> {
        http::Response::new(Bytes::from_static(b"ok\n"))
    }
}

fn main() -> std::io::Result<()> {
    // Without an address there is nothing to measure, and `cargo test` passes none.
    let Some(address) = std::env::args().nth(1).filter(|text| text.contains(':')) else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        let service = Arc::new(Fixed(Bytes::from(vec![b'x'; 286])));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let serving = serve_connection(stream, Bytes::new(), service.clone(), Limits::default(), pending());
            tokio::spawn(serving);
        }
    })
}
