//! Trading a name and a password for a token.

use proto::etcdserverpb::{AuthenticateRequest, AuthenticateResponse};
use proto::methods::path;
use tokio::time::sleep;
use tonic_prost::ProstCodec;

use crate::Client;
use crate::call::{TRIES_MAX, http_path, pause};
use crate::error::{Result, reason_unreachable};

impl Client {
    /// A fresh token; None when the cluster has authentication off, in which
    /// case nobody asks for one.
    ///
    /// Made apart from the other calls, because those need its result.
    pub(crate) async fn authenticate(&self, name: &str, password: &str) -> Result<Option<String>> {
        let endpoints = self.shared_endpoints();
        let count = endpoints.len();
        let (mut tries, mut refusals) = (0, 0);
        loop {
            let target = endpoints.turn();
            let mut grpc = self.grpc(target.channel());
            let request = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
            let codec = ProstCodec::<AuthenticateRequest, AuthenticateResponse>::default();
            let request = self.request(request, None);
            let asked = match grpc.ready().await {
                Err(error) => Err(tonic::Status::from_error(error.into())),
                Ok(()) => grpc.unary(request, http_path(path::AUTHENTICATE), codec).await,
            };
            let status = match asked {
                Ok(response) => {
                    target.answered();
                    return Ok(Some(response.into_inner().token));
                }
                Err(status) if status.message() == "etcdserver: authentication is not enabled" => return Ok(None),
                Err(status) => status,
            };
            tries += 1;
            let error = target.failed(&status, None);
            if reason_unreachable(&status).is_some() {
                endpoints.pass_over(target);
            } else {
                refusals += 1;
            }
            // Who could not be reached may come yet; who has said no is not asked twice.
            if refusals >= count || tries >= TRIES_MAX * count {
                return Err(error);
            }
            if tries.is_multiple_of(count) {
                sleep(pause(tries / count)).await;
            }
        }
    }
}
