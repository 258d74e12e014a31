//! Trading a name and a password for a token.

use proto::etcdserverpb::{AuthenticateRequest, AuthenticateResponse};
use proto::methods::path;
use tokio::time::sleep;
use tonic::Code;
use tonic_prost::ProstCodec;

use crate::Client;
use crate::call::{Asked, TRIES_MAX, http_path, pause, refused_by_learner};
use crate::endpoints::Target;
use crate::error::{Error, Result, reason_unreachable};

impl Client {
    /// A fresh token; None when the cluster has authentication off, in which
    /// case nobody asks for one.
    ///
    /// Made apart from the other calls, because those need its result.
    pub(crate) async fn authenticate<'a>(
        &'a self,
        name: &str,
        password: &str,
        asked: &mut Asked<'a>,
    ) -> Result<Option<String>> {
        let endpoints = self.shared_endpoints();
        let count = endpoints.len();
        let mut tries = 0;
        let mut refusals: Vec<(&Target, Error)> = Vec::new();
        loop {
            let target = endpoints.turn();
            // The others cannot be reached, and who has said no is not asked twice.
            if let Some(at) = refusals.iter().position(|(who, _)| std::ptr::eq(*who, target)) {
                return Err(refusals.swap_remove(at).1);
            }
            let mut grpc = self.grpc(target.channel());
            let request = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
            let codec = ProstCodec::<AuthenticateRequest, AuthenticateResponse>::default();
            let request = self.request(request, None);
            *asked = Some(target);
            let answer = match grpc.ready().await {
                Err(error) => Err(tonic::Status::from_error(error.into())),
                Ok(()) => grpc.unary(request, http_path(path::AUTHENTICATE), codec).await,
            };
            *asked = None;
            let status = match answer {
                Ok(response) => {
                    target.answered();
                    return Ok(Some(response.into_inner().token));
                }
                Err(status) if status.message() == "etcdserver: authentication is not enabled" => {
                    target.answered();
                    return Ok(None);
                }
                Err(status) => status,
            };
            tries += 1;
            let error = target.failed(&status, None);
            // Who could not be reached may come yet.
            if reason_unreachable(&status).is_some() {
                endpoints.pass_over(target);
                if tries >= TRIES_MAX * count {
                    return Err(error);
                }
            } else {
                // What one member says of the credentials, all would say.
                let others_may = error.code() == Some(Code::Unavailable) || refused_by_learner(&error);
                if !others_may || refusals.len() + 1 == count {
                    return Err(error);
                }
                refusals.push((target, error));
            }
            if tries.is_multiple_of(count) {
                sleep(pause(tries / count)).await;
            }
        }
    }
}
