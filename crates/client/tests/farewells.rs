//! Servers that leave, and what becomes of the calls they had not answered:
//! those that were left aside are said again, all others never.

mod support;

use std::time::{Duration, Instant};

use client::{Client, Code, Config, Error};
use proto::etcdserverpb::{
    AuthenticateResponse, LeaseGrantRequest, LeaseGrantResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
    ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse,
};
use support::by_hand::{ALL, CANCEL, Connection, ENHANCE_YOUR_CALM, INTERNAL_ERROR, NO_ERROR, Place, REFUSED_STREAM};
use support::{HURRY, client};
use tokio::task::JoinHandle;

fn put(client: &Client, key: &'static str) -> JoinHandle<client::Result<PutResponse>> {
    let client = client.clone();
    let request = PutRequest { key: key.into(), ..PutRequest::default() };
    tokio::spawn(async move { client.put(request).await })
}

fn at(revision: i64) -> PutResponse {
    let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
    PutResponse { header, ..PutResponse::default() }
}

/// The next call is this put; its stream.
async fn heard(connection: &mut Connection, key: &str) -> u32 {
    let asked = connection.asked().await;
    assert_eq!(asked.message::<PutRequest>().key, key);
    asked.stream
}

#[tokio::test]
async fn a_put_left_aside_is_said_again_elsewhere() {
    for reason in [NO_ERROR, ENHANCE_YOUR_CALM] {
        let server = Place::new().await;
        let put = put(&client(&[&server.endpoint]), "a");
        let mut first = server.connection().await;
        assert_eq!(heard(&mut first, "a").await, 1);
        first.go_away(0, reason).await;
        let mut second = server.connection().await;
        let stream = heard(&mut second, "a").await;
        second.answer(stream, &at(7)).await;
        assert_eq!(put.await.unwrap().unwrap(), at(7));
    }
}

/// A farewell in two steps, as of gRPC's servers: a first one that leaves nothing aside, and then which streams it does.
#[tokio::test]
async fn only_what_was_left_aside_is_said_again() {
    let server = Place::new().await;
    let client = client(&[&server.endpoint]);
    let early = put(&client, "early");
    let mut first = server.connection().await;
    let early_stream = heard(&mut first, "early").await;
    let late = put(&client, "late");
    heard(&mut first, "late").await;
    first.go_away(ALL, NO_ERROR).await;
    first.go_away(early_stream, NO_ERROR).await;
    let mut second = server.connection().await;
    let stream = heard(&mut second, "late").await;
    second.answer(stream, &at(8)).await;
    assert_eq!(late.await.unwrap().unwrap(), at(8));
    first.answer(early_stream, &at(7)).await;
    assert_eq!(early.await.unwrap().unwrap(), at(7));
}

#[tokio::test]
async fn who_says_goodbye_is_asked_nothing_more() {
    let server = Place::new().await;
    let client = client(&[&server.endpoint]);
    let early = put(&client, "early");
    let mut first = server.connection().await;
    let early_stream = heard(&mut first, "early").await;
    first.go_away(ALL, NO_ERROR).await;
    let late = put(&client, "late");
    // It may have been sent before the farewell was read.
    let mut second = tokio::select! {
        second = server.connection() => second,
        asked = first.asked() => {
            first.go_away(asked.stream - 2, NO_ERROR).await;
            server.connection().await
        }
    };
    let stream = heard(&mut second, "late").await;
    second.answer(stream, &at(8)).await;
    assert_eq!(late.await.unwrap().unwrap(), at(8));
    first.answer(early_stream, &at(7)).await;
    assert_eq!(early.await.unwrap().unwrap(), at(7));
}

/// The farewell may not have been read when the next put is sent: it does not count that either.
#[tokio::test]
async fn who_has_left_while_nothing_was_asked_fails_no_put() {
    let server = Place::new().await;
    let client = client(&[&server.endpoint]);
    for round in 1..=20 {
        let put = put(&client, "a");
        let mut connection = server.connection().await;
        let stream = heard(&mut connection, "a").await;
        connection.answer(stream, &at(round)).await;
        assert_eq!(put.await.unwrap().unwrap(), at(round));
        connection.go_away(stream, NO_ERROR).await;
    }
}

#[tokio::test]
async fn a_put_that_was_refused_is_said_again_on_the_same_connection() {
    let server = Place::new().await;
    let put = put(&client(&[&server.endpoint]), "a");
    let mut connection = server.connection().await;
    let stream = heard(&mut connection, "a").await;
    connection.reset(stream, REFUSED_STREAM).await;
    let stream = heard(&mut connection, "a").await;
    connection.answer(stream, &at(7)).await;
    assert_eq!(put.await.unwrap().unwrap(), at(7));
}

#[tokio::test]
async fn who_refuses_for_ever_is_asked_until_the_time_is_over() {
    let server = Place::new().await;
    let client = client(&[&server.endpoint]).with_timeout(Some(HURRY));
    let put = put(&client, "a");
    let mut connection = server.connection().await;
    let mut refused = 0;
    let refuse = async {
        loop {
            let asked = connection.asked().await;
            connection.reset(asked.stream, REFUSED_STREAM).await;
            refused += 1;
        }
    };
    let put = tokio::select! {
        biased;
        put = put => put,
        () = refuse => unreachable!("it is refused for ever"),
    };
    let Err(Error::Deadline { troubles }) = put.unwrap() else { panic!("it was refused") };
    assert_eq!(troubles[0].endpoint, server.endpoint);
    assert!(troubles[0].reason.contains("refused stream"), "{troubles:?}");
    // 25, 50, 100 ms, each a half more or less.
    assert!((2..10).contains(&refused), "asked {refused} times: there are pauses");
}

/// How a server may leave a put without an answer that it may have done.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    Silently,
    Saying(u32, u32),
    Resetting(u32),
    /// After the head of its answer.
    Answering(u32),
}

#[tokio::test]
async fn a_put_that_may_have_been_done_is_never_said_again() {
    use Leaves::*;
    for leaves in [
        Silently,
        Saying(1, NO_ERROR),
        Saying(1, ENHANCE_YOUR_CALM),
        Saying(ALL, NO_ERROR),
        Resetting(NO_ERROR),
        Resetting(INTERNAL_ERROR),
        Resetting(CANCEL),
        Resetting(ENHANCE_YOUR_CALM),
        Answering(REFUSED_STREAM),
    ] {
        let server = Place::new().await;
        let client = client(&[&server.endpoint]).with_timeout(Some(Duration::from_secs(20)));
        let unsure = put(&client, "unsure");
        let mut connection = server.connection().await;
        let stream = heard(&mut connection, "unsure").await;
        match leaves {
            Silently => {}
            Saying(last, reason) => connection.go_away(last, reason).await,
            Resetting(reason) => connection.reset(stream, reason).await,
            Answering(reason) => {
                connection.begin(stream, &at(7)).await;
                connection.reset(stream, reason).await;
            }
        }
        drop(connection);
        let error = unsure.await.unwrap().expect_err(&format!("{leaves:?}"));
        assert!(matches!(error, Error::Status(_)), "{leaves:?}: {error:?}");
        // What it is asked next is something else.
        let next = put(&client, "next");
        let mut connection = server.connection().await;
        let stream = heard(&mut connection, "next").await;
        connection.answer(stream, &at(8)).await;
        assert_eq!(next.await.unwrap().unwrap(), at(8), "{leaves:?}");
    }
}

#[tokio::test]
async fn reads_grants_streams_and_logins_left_aside_are_said_again() {
    let server = Place::new().await;
    let plain = client(&[&server.endpoint]);
    let mut connection = {
        let plain = plain.clone();
        let range = tokio::spawn(async move { plain.range(RangeRequest::default()).await });
        let mut first = server.connection().await;
        first.asked().await;
        first.go_away(0, NO_ERROR).await;
        let mut second = server.connection().await;
        let stream = second.asked().await.stream;
        let found = RangeResponse { count: 3, ..RangeResponse::default() };
        second.answer(stream, &found).await;
        assert_eq!(range.await.unwrap().unwrap(), found);
        second
    };
    let granting = plain.clone();
    let grant = tokio::spawn(async move { granting.lease_grant(LeaseGrantRequest { ttl: 5, id: 0 }).await });
    let stream = connection.asked().await.stream;
    connection.go_away(stream - 2, NO_ERROR).await;
    let mut connection = server.connection().await;
    let stream = connection.asked().await.stream;
    let granted = LeaseGrantResponse { id: 9, ..LeaseGrantResponse::default() };
    connection.answer(stream, &granted).await;
    assert_eq!(grant.await.unwrap().unwrap(), granted);

    let create = WatchCreateRequest { key: "a".into(), ..WatchCreateRequest::default() };
    let watch = tokio::spawn(async move { plain.watch_stream(create).await.unwrap().next().await });
    let first = connection.asked().await;
    connection.go_away(first.stream - 2, NO_ERROR).await;
    let mut connection = server.connection().await;
    let second = connection.asked().await;
    assert_eq!(second.message::<WatchRequest>(), first.message());
    let created = WatchResponse { created: true, ..WatchResponse::default() };
    connection.begin(second.stream, &created).await;
    assert_eq!(watch.await.unwrap().unwrap(), Some(created));

    let server = Place::new().await;
    let user = support::user(&[&server.endpoint]).with_timeout(None);
    let login = tokio::spawn(async move { user.log_in().await });
    let mut first = server.connection().await;
    first.asked().await;
    first.go_away(0, NO_ERROR).await;
    let mut second = server.connection().await;
    let stream = second.asked().await.stream;
    second.answer(stream, &AuthenticateResponse { token: "t".into(), ..Default::default() }).await;
    assert_eq!(login.await.unwrap(), Ok(()));
}

/// The shortest pause there is. One round without it is proof enough: a busy
/// machine makes pauses of its own.
const PAUSE: Duration = Duration::from_micros(12_500);
const ROUNDS_MAX: usize = 300;

#[tokio::test]
async fn a_lost_connection_is_replaced_at_once() {
    let server = Place::new().await;
    let client = Client::new(Config::to([server.endpoint.clone()])).unwrap();
    for _ in 0..ROUNDS_MAX {
        let range = {
            let client = client.clone();
            tokio::spawn(async move { client.range(RangeRequest::default()).await })
        };
        let mut connection = server.connection().await;
        connection.asked().await;
        // A read may be said again whatever has become of it.
        drop(connection);
        let lost = Instant::now();
        let mut connection = server.connection().await;
        let took = lost.elapsed();
        let stream = connection.asked().await.stream;
        connection.answer(stream, &RangeResponse::default()).await;
        assert_eq!(range.await.unwrap(), Ok(RangeResponse::default()));
        if took < PAUSE {
            return;
        }
    }
    panic!("there is a pause before each first redial");
}

#[tokio::test]
async fn a_watch_that_has_told_something_goes_on_at_once() {
    let server = Place::new().await;
    let create = WatchCreateRequest { key: "a".into(), ..WatchCreateRequest::default() };
    let mut watcher = client(&[&server.endpoint]).watch(create);
    let told = |revision| {
        let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
        WatchResponse { header, ..WatchResponse::default() }
    };
    let mut lost: Option<Instant> = None;
    for revision in 1..=ROUNDS_MAX as i64 {
        let serve = async {
            let mut connection = server.connection().await;
            let took = lost.map(|at| at.elapsed());
            let stream = connection.asked().await.stream;
            connection.begin(stream, &WatchResponse { created: true, ..told(revision) }).await;
            connection.go_on(stream, &told(revision)).await;
            (connection, took)
        };
        let ((connection, took), next) = tokio::join!(serve, watcher.next());
        assert_eq!(next, Ok(Some(told(revision))));
        if took.is_some_and(|took| took < PAUSE) {
            return;
        }
        drop(connection);
        lost = Some(Instant::now());
    }
    panic!("there is a pause before each new stream");
}

#[tokio::test]
async fn an_unsure_put_says_what_has_become_of_its_connection() {
    let server = Place::new().await;
    let put = put(&client(&[&server.endpoint]), "a");
    let mut connection = server.connection().await;
    heard(&mut connection, "a").await;
    connection.go_away(1, NO_ERROR).await;
    drop(connection);
    let error = put.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(Code::Unavailable));
    assert!(error.to_string().contains(&server.endpoint), "{error}");
}
