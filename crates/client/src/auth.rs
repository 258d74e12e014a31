//! Whether authentication is on, and trading a name and a password for a token.

use proto::etcdserverpb::{AuthStatusRequest, AuthStatusResponse, AuthenticateRequest, AuthenticateResponse};
use proto::methods::path;
use tonic::Code;

use crate::Client;
use crate::attempt::{Failed, ask};
use crate::call::{Asked, Repeat, TRIES_MAX, refused_by_learner, rest_lost};
use crate::endpoints::Who;
use crate::error::Result;

impl Client {
    /// Whether authentication is on.
    pub async fn auth_status(&self) -> Result<AuthStatusResponse> {
        self.unary(path::AUTH_STATUS, Repeat::Safe, AuthStatusRequest {}).await
    }

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
        let mut lost = 0;
        let mut refused: Vec<Who<'_>> = Vec::new();
        let mut refusal = None;
        loop {
            // Who has said no is not asked twice.
            let (who, channel) = match endpoints.turn(self.dials_max(&refused), &refused).await {
                Ok(turn) => turn,
                Err(error) => return Err(refusal.unwrap_or(error)),
            };
            let request = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
            let request = self.request(request, None);
            *asked = Some(who);
            let answer = ask::<_, AuthenticateResponse>(self.grpc(channel), path::AUTHENTICATE, request).await;
            *asked = None;
            let Failed { status, is_unheard } = match answer {
                Ok(response) => {
                    who.answered();
                    return Ok(Some(response.token));
                }
                Err(failed) if failed.status.message() == "etcdserver: authentication is not enabled" => {
                    who.answered();
                    return Ok(None);
                }
                Err(failed) => failed,
            };
            let error = who.failed(&status, None);
            if is_unheard && lost < TRIES_MAX {
                lost += 1;
                rest_lost(lost, endpoints.len()).await;
                continue;
            }
            // What one member says of the credentials, all would say.
            let others_may = error.code() == Some(Code::Unavailable) || refused_by_learner(&error);
            if !others_may || refused.len() + 1 == endpoints.len() {
                return Err(error);
            }
            refused.push(who);
            refusal.get_or_insert(error);
        }
    }
}
