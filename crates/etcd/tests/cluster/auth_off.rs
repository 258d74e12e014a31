//! A cluster without authentication, asked by clients that have a name and a password: as the real etcd answers them.

use crate::harness::{self, Cluster};
use crate::raw;
use client::{Client, Config, Credentials};
use proto::etcdserverpb::{
    AuthStatusRequest, AuthStatusResponse, AuthenticateRequest, AuthenticateResponse, PutRequest, PutResponse,
    ResponseHeader,
};
use proto::methods::path;

#[tokio::test]
async fn authentication_is_off_and_says_so() {
    let _turn = harness::together().await;
    let mut told = Vec::new();
    for program in [harness::our_program(), harness::real_program()] {
        let mut cluster = Cluster::plan_of("auth-off", vec![program], &[]);
        cluster.start_all();
        cluster.leader().await;
        let mut said = Vec::new();
        let channel = raw::channel(&cluster.members[0]);
        for (name, password) in [("root", "x"), ("root", ""), ("", "x"), ("", "")] {
            let request = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
            let answer = raw::unary::<_, AuthenticateResponse>(&channel, path::AUTHENTICATE, request).await;
            let status = answer.expect_err("no token without authentication");
            said.push(format!("{name}:{password}: {:?} {}", status.code(), status.message()));
        }
        for _ in 0..2 {
            let status: AuthStatusResponse =
                raw::unary(&channel, path::AUTH_STATUS, AuthStatusRequest {}).await.expect("a status");
            let ResponseHeader { revision, cluster_id, member_id, raft_term } = status.header.expect("a header");
            assert!(cluster_id != 0 && member_id != 0 && raft_term != 0, "a whole header");
            said.push(format!("enabled {} revision {} @{revision}", status.enabled, status.auth_revision));
            let put = PutRequest { key: "k".into(), ..PutRequest::default() };
            let _: PutResponse = raw::unary(&channel, path::PUT, put).await.expect("a put");
        }
        let mut config = Config::to([format!("127.0.0.1:{}", cluster.members[0].client_port)]);
        config.credentials = Some(Credentials::User { name: "root".to_owned(), password: "x".to_owned() });
        let client = Client::new(config).expect("a client");
        client.log_in().await.expect("goes on without a token");
        client.put(PutRequest { key: "k".into(), ..PutRequest::default() }).await.expect("a put");
        told.push(said);
    }
    let [ours, real] = &told[..] else { panic!("two clusters") };
    assert_eq!(ours, real);
    assert_eq!(ours[0], "root:x: FailedPrecondition etcdserver: authentication is not enabled");
    assert_eq!(ours[4..], ["enabled false revision 1 @1", "enabled false revision 1 @2"]);
}
