//! Trading a name and a password for a token.

use proto::etcdserverpb::{AuthenticateRequest, AuthenticateResponse};
use proto::methods::path;
use tonic_prost::ProstCodec;

use crate::Client;
use crate::call::http_path;
use crate::error::{Error, Result};

impl Client {
    /// A fresh token; None when the cluster has authentication off, in which
    /// case nobody asks for one.
    ///
    /// Made apart from the other calls, because those need its result.
    pub(crate) async fn authenticate(&self, name: &str, password: &str) -> Result<Option<String>> {
        let endpoints = self.shared_endpoints();
        let mut last = None;
        for _ in 0..endpoints.len() {
            let mut grpc = self.grpc(endpoints.turn().channel());
            let request = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
            if let Err(error) = grpc.ready().await {
                last = Some(tonic::Status::from_error(error.into()));
                continue;
            }
            let codec = ProstCodec::<AuthenticateRequest, AuthenticateResponse>::default();
            let request = self.request(request, None);
            match grpc.unary(request, http_path(path::AUTHENTICATE), codec).await {
                Ok(response) => return Ok(Some(response.into_inner().token)),
                Err(status) => {
                    if status.message() == "etcdserver: authentication is not enabled" {
                        return Ok(None);
                    }
                    last = Some(status);
                }
            }
        }
        let status = last.unwrap_or_else(|| tonic::Status::unavailable("no endpoint answered"));
        Err(Error::from_transport(&status, None))
    }
}
