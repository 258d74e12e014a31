//! What is said again, and what is not.

mod support;

use client::{Client, Code, Config, Credentials, Error};
use proto::etcdserverpb::{AuthenticateResponse, PutRequest, PutResponse, RangeRequest, RangeResponse};
use support::{Answer, HURRY, NO_LEADER, Server, body, client, dead, frame, mute, trouble, user};

#[tokio::test]
async fn a_read_is_repeated_while_unavailable() {
    let server = Server::new(|count, _, _| match count {
        0..3 => NO_LEADER,
        _ => body(&RangeResponse { count: 7, ..RangeResponse::default() }),
    })
    .await;
    let client = client(&[&server.endpoint]);
    let response = client.range(RangeRequest::default()).await.unwrap();
    assert_eq!(response.count, 7);
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn who_answered_is_not_said_to_have_been_silent() {
    let server = Server::new(|_, _, _| NO_LEADER).await;
    let client = client(&[&server.endpoint]).with_timeout(Some(HURRY));
    let error = client.range(RangeRequest::default()).await.unwrap_err();
    assert!(server.asked() > 1, "it was asked again");
    assert_eq!(error, Error::Deadline { troubles: vec![trouble(&server.endpoint, true, "etcdserver: no leader")] });
}

#[tokio::test]
async fn a_deadline_blames_who_was_asked_whatever_it_was_asked() {
    let silent = Server::new(|_, path, _| match path {
        "/etcdserverpb.Auth/Authenticate" => body(&AuthenticateResponse::default()),
        _ => Answer::Silence,
    })
    .await;
    let blamed = |endpoint: &str| Error::Deadline { troubles: vec![trouble(endpoint, false, "no answer in time")] };
    let error = user(&[&silent.endpoint]).put(PutRequest::default()).await.unwrap_err();
    assert_eq!((error, silent.asked()), (blamed(&silent.endpoint), 2));
    let in_pieces = client(&[&silent.endpoint]).with_timeout(Some(HURRY)).range_stream(RangeRequest::default()).await;
    assert_eq!((in_pieces.unwrap_err(), silent.asked()), (blamed(&silent.endpoint), 3));
    let (_mute, mute) = mute().await;
    assert_eq!(user(&[&mute]).log_in().await.unwrap_err(), blamed(&mute));
}

#[tokio::test]
async fn a_refused_login_ends_with_the_first_who_refuses() {
    const WRONG: &str = "etcdserver: authentication failed, invalid user ID or password";
    let server = Server::new(|_, _, _| Answer::No(Code::InvalidArgument, WRONG)).await;
    let error = user(&[&dead().await, &server.endpoint, &dead().await]).log_in().await.unwrap_err();
    assert_eq!((error.to_string(), server.asked()), (WRONG.to_owned(), 1));
}

#[tokio::test]
async fn a_login_that_one_member_cannot_serve_goes_to_the_others() {
    let leaderless = Server::new(|_, _, _| NO_LEADER).await;
    let server = Server::new(|_, _, _| body(&AuthenticateResponse::default())).await;
    // Whoever of them speaks first is asked first.
    let mut logins = 0;
    while leaderless.asked() == 0 {
        user(&[&leaderless.endpoint, &server.endpoint]).with_timeout(None).log_in().await.unwrap();
        logins += 1;
    }
    assert_eq!((leaderless.asked(), server.asked()), (1, logins));
    // With nobody else there, its refusal is the answer.
    let error = user(&[&leaderless.endpoint, &dead().await]).log_in().await.unwrap_err();
    assert_eq!((error.to_string(), leaderless.asked()), ("etcdserver: no leader".to_owned(), 2));
}

#[tokio::test]
async fn a_write_is_said_once() {
    let server = Server::new(|_, _, _| NO_LEADER).await;
    let client = client(&[&server.endpoint]);
    let error = client.put(PutRequest::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "etcdserver: no leader");
    assert_eq!(error.code(), Some(Code::Unavailable));
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_read_that_is_refused_is_not_repeated() {
    let server = Server::new(|_, _, _| Answer::No(Code::OutOfRange, "no such revision")).await;
    let client = client(&[&server.endpoint]);
    let error = client.range(RangeRequest::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "rpc error: code = OutOfRange desc = no such revision");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_write_goes_past_an_endpoint_where_nobody_listens() {
    let dead = dead().await;
    let server = Server::new(|_, _, _| body(&PutResponse::default())).await;
    let client = client(&[&dead, &server.endpoint]);
    for _ in 0..4 {
        client.put(PutRequest::default()).await.unwrap();
    }
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn a_learner_sends_the_caller_elsewhere() {
    const REFUSAL: &str = "etcdserver: rpc not supported for learner";
    let learner = Server::new(|_, _, _| Answer::No(Code::FailedPrecondition, REFUSAL)).await;
    let voter = Server::new(|_, _, _| body(&PutResponse::default())).await;
    let client = client(&[&learner.endpoint, &voter.endpoint]);
    let mut writes = 0;
    while learner.asked() == 0 {
        client.put(PutRequest::default()).await.unwrap();
        writes += 1;
    }
    assert_eq!((learner.asked(), voter.asked()), (1, writes));
    // With learners alone, the refusal is the answer.
    let alone = Client::new(Config::to([learner.endpoint.clone()])).unwrap();
    let error = alone.put(PutRequest::default()).await.unwrap_err();
    assert_eq!(error.to_string(), REFUSAL);
    assert_eq!(learner.asked(), 2);
}

#[tokio::test]
async fn a_stale_token_is_renewed_once() {
    let server = Server::new(|count, path, token| {
        if path == "/etcdserverpb.Auth/Authenticate" {
            return body(&AuthenticateResponse { token: format!("token-{count}"), ..AuthenticateResponse::default() });
        }
        match token {
            // The first one is from the first question.
            Some("token-0") => Answer::No(Code::Unauthenticated, "etcdserver: invalid auth token"),
            Some("token-2") => body(&PutResponse::default()),
            other => panic!("unexpected token {other:?}"),
        }
    })
    .await;
    let mut config = Config::to([server.endpoint.clone()]);
    config.credentials = Some(Credentials::User { name: "root".into(), password: "secret".into() });
    let client = Client::new(config).unwrap();
    client.put(PutRequest::default()).await.unwrap();
    client.put(PutRequest::default()).await.unwrap();
    // Two tokens, one refusal, two writes.
    assert_eq!(server.asked(), 5);
}

#[tokio::test]
async fn an_answer_too_large_is_refused_in_gos_words() {
    let server =
        Server::new(|_, _, _| Answer::Piece(frame(&RangeResponse { count: 1 << 40, ..Default::default() }))).await;
    let mut config = Config::to([server.endpoint.clone()]);
    config.response_bytes_max = 2;
    let error = Client::new(config).unwrap().range(RangeRequest::default()).await.unwrap_err();
    let words = "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (7 vs. 2)";
    assert_eq!((error.to_string(), server.asked()), (words.to_owned(), 1));
}
