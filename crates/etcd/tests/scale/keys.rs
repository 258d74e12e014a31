//! Many keys under one prefix: read page by page, and all at once by clients that do not read the answer.

use crate::edge_client::{Client as RawClient, Reader, in_time};
use crate::harness::{self, Member};
use crate::many;
use crate::memory::{self, MIB};
use crate::slow;
use crate::whole;
use client::Client;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::{PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse};
use std::time::{Duration, Instant};

const KEYS: usize = 1_000_000;
const VALUE_BYTES: usize = 256;
const PAGE: usize = 500;
/// Keys of a long answer, about 7 MB.
const ANSWER_KEYS: usize = 25_000;
/// Such answers that are asked for and not read.
const UNREAD: usize = 300;
/// Txns that answer with as many.
const TXNS: usize = 80;
const CONNECTIONS: usize = 6;
/// So many of the ranges have begun when memory is looked at; the budget has room for a few more.
const BEGUN: usize = 240;
/// And so many of the txns.
const TXNS_BEGUN: usize = 6;
/// Bytes of an answer that a client takes without reading it.
const WINDOW_BYTES: u32 = 65_535;
/// What long answers may hold together (docs/operating.md), and what their reading and the allocator may take besides.
const ANSWERS_BYTES: u64 = 128 * MIB + 96 * MIB;

const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";

fn key(number: usize) -> String {
    format!("many/{number:06}")
}

fn value(number: usize) -> Vec<u8> {
    let mut value = number.to_string().into_bytes();
    value.resize(VALUE_BYTES, b'.');
    value
}

fn all() -> RangeRequest {
    RangeRequest {
        key: "many/".into(),
        range_end: client::range::prefix_end(b"many/"),
        serializable: true,
        ..RangeRequest::default()
    }
}

async fn fill(client: &Client, keys: usize) {
    let filling = client.clone();
    many::in_parts(keys, move |part| {
        let client = filling.clone();
        async move {
            let put =
                |number| PutRequest { key: key(number).into(), value: value(number).into(), ..Default::default() };
            many::put_all(&client, part.map(put)).await;
        }
    })
    .await;
}

/// Every page has what it should, and all together have every key once.
async fn read_pages(client: &Client, keys: usize) {
    let mut from = RangeRequest { limit: PAGE as i64, ..all() };
    let mut seen = 0;
    let mut times = Vec::new();
    loop {
        let asked = Instant::now();
        let page = client.range(from.clone()).await.expect("a page");
        times.push(asked.elapsed());
        for kv in &page.kvs {
            assert_eq!((&kv.key[..], &kv.value[..]), (key(seen).as_bytes(), &value(seen)[..]));
            seen += 1;
        }
        assert_eq!(page.count as usize, keys - seen + page.kvs.len(), "the count is of the whole range");
        assert_eq!(page.more, seen < keys);
        if !page.more {
            break;
        }
        assert_eq!(page.kvs.len(), PAGE);
        from.key = [&page.kvs[PAGE - 1].key[..], b"\0"].concat().into();
    }
    assert_eq!(seen, keys);
    let tenth = times.len().div_ceil(10);
    let mean = |times: &[Duration]| times.iter().sum::<Duration>() / tenth as u32;
    println!(
        "a page takes {:?} in the first tenth and {:?} in the last",
        mean(&times[..tenth]),
        mean(&times[times.len() - tenth..])
    );
}

/// Everything in one answer, within the budget of all long answers.
async fn read_whole(member: &Member, keys: usize) {
    memory::forget_peak(member);
    let before = memory::resident(member);
    whole::read(member, &all(), keys, |number, kv| {
        assert_eq!((&kv.key[..], &kv.value[..]), (key(number).as_bytes(), &value(number)[..]));
    })
    .await;
    check_peak(member, before, &format!("a range of {keys} keys"));
}

async fn connections(member: &Member) -> Vec<RawClient> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(slow::connect(member, WINDOW_BYTES).await);
    }
    connections
}

/// The member goes on beside what nobody reads.
async fn is_well(client: &Client, keys: usize) {
    for number in [0, 7, keys - 1] {
        let short = RangeRequest { key: key(number).into(), ..RangeRequest::default() };
        assert_eq!(client.range(short).await.expect("a short range").kvs[0].value, value(number));
    }
    let put = PutRequest { key: "beside".into(), ..PutRequest::default() };
    client.put(put).await.expect("a put");
}

fn check_peak(member: &Member, before: u64, what: &str) {
    memory::check(what, memory::peak(member).saturating_sub(before), ANSWERS_BYTES);
}

/// 300 answers, 2 GB together, in the order of keys and in another.
async fn leave_ranges_unread(member: &Member, client: &Client, keys: usize) {
    let unread_max = memory::number("UNREAD", UNREAD);
    let mut connections = connections(member).await;
    memory::forget_peak(member);
    let before = memory::resident(member);
    let (told, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..unread_max {
        let is_sorted = number < 30 && number % 10 == 9;
        let part = RangeRequest { range_end: key(ANSWER_KEYS).into(), ..all() };
        let order = if is_sorted { RangeRequest { sort_order: 2, sort_target: 3, ..part } } else { part };
        let call = slow::ask(&mut connections[number % CONNECTIONS], RANGE, &order);
        let told = told.clone();
        asking.spawn(async move {
            let head = call.response.await.expect("a head");
            // The test may be over; then nobody wants it.
            let _ = told.send((is_sorted, Reader::new(head.into_body())));
        });
    }
    drop(told);
    let mut unread = Vec::new();
    while unread.len() < BEGUN.min(unread_max) {
        unread.push(in_time("an answer that begins", begun.recv()).await.expect("more begin"));
    }
    is_well(client, keys).await;
    check_peak(member, before, &format!("{unread_max} ranges that nobody reads"));

    // Whoever reads gets all of it, as it was.
    for wanted in [false, true] {
        let at = unread.iter().position(|(is_sorted, _)| *is_sorted == wanted).expect("both kinds have begun");
        let (_, mut body) = unread.swap_remove(at);
        let whole: RangeResponse = body.next().await.expect("the answer");
        assert_eq!((whole.count as usize, whole.more, whole.kvs.len()), (ANSWER_KEYS, false, ANSWER_KEYS));
        if wanted {
            assert!(whole.kvs.is_sorted_by(|left, right| left.mod_revision >= right.mod_revision), "the newest first");
            continue;
        }
        for (number, kv) in whole.kvs.iter().enumerate() {
            assert_eq!((&kv.key[..], &kv.value[..]), (key(number).as_bytes(), &value(number)[..]));
        }
    }
    // Those who had to wait have their turn too, once others have gone.
    drop(unread);
    if unread_max > BEGUN {
        let (_, mut last) = in_time("those who waited", begun.recv()).await.expect("they begin");
        let last: RangeResponse = last.next().await.expect("the answer");
        assert_eq!(last.kvs.len(), ANSWER_KEYS);
    }
    check_peak(member, before, "reading some of them");
}

/// 80 answers, 560 MB together, from txns that write, and from txns that do not.
async fn leave_txns_unread(member: &Member, client: &Client, keys: usize) {
    let txns = memory::number("TXNS", TXNS);
    let mut connections = connections(member).await;
    memory::forget_peak(member);
    let before = memory::resident(member);
    let part = RangeRequest { range_end: key(ANSWER_KEYS).into(), serializable: false, ..all() };
    let range = RequestOp { request: Some(Request::RequestRange(part)) };
    let put = PutRequest { key: "by txn".into(), ..PutRequest::default() };
    let put = RequestOp { request: Some(Request::RequestPut(put)) };
    let (told, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..txns {
        let success = if number % 2 == 0 { vec![range.clone()] } else { vec![put.clone(), range.clone()] };
        let request = TxnRequest { success, ..TxnRequest::default() };
        let call = slow::ask(&mut connections[number % CONNECTIONS], TXN, &request);
        let told = told.clone();
        asking.spawn(async move {
            let head = call.response.await.expect("a head");
            // The test may be over; then nobody wants it.
            let _ = told.send(Reader::new(head.into_body()));
        });
    }
    let mut unread = Vec::new();
    while unread.len() < TXNS_BEGUN.min(txns) {
        unread.push(in_time("an answer that begins", begun.recv()).await.expect("more begin"));
    }
    is_well(client, keys).await;
    check_peak(member, before, &format!("{txns} txns that nobody reads"));
    // All have their turn, as others are read.
    for _ in 0..txns.min(3 * TXNS_BEGUN) {
        let answer: TxnResponse = unread.remove(0).next().await.expect("the answer");
        let Some(Response::ResponseRange(range)) = answer.responses.last().and_then(|op| op.response.clone()) else {
            panic!("a range is the last of them");
        };
        assert_eq!((answer.succeeded, range.kvs.len()), (true, ANSWER_KEYS));
        if unread.is_empty() {
            unread.push(in_time("an answer that begins", begun.recv()).await.expect("more begin"));
        }
    }
    drop((unread, begun, asking));

    if memory::program().1 {
        return;
    }
    // More than comes from the log is refused before anything happens.
    let put = PutRequest { key: "refused".into(), ..PutRequest::default() };
    let put = RequestOp { request: Some(Request::RequestPut(put)) };
    let whole = RequestOp { request: Some(Request::RequestRange(all())) };
    let too_much = vec![put, whole.clone(), whole.clone(), whole];
    let request = TxnRequest { success: too_much, ..TxnRequest::default() };
    let (code, words) = slow::ask(&mut connections[0], TXN, &request).answer().await.grpc();
    assert_eq!(code, "8", "{words}");
    assert!(words.contains("come from the log"), "{words}");
    let refused = client.range(RangeRequest { key: "refused".into(), ..RangeRequest::default() }).await;
    assert_eq!(refused.expect("a range").count, 0, "nothing happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_are_read_in_pages_and_at_once_within_the_budget() {
    let _turn = harness::alone().await;
    let cluster = memory::alone("scale-keys").await;
    let (member, client) = (&cluster.members[0], cluster.client());
    let keys = memory::number("KEYS", KEYS);
    let begun = Instant::now();
    fill(&client, keys).await;
    println!("{keys} keys were written after {:?}; resident: {} MiB", begun.elapsed(), memory::resident(member) / MIB);
    read_pages(&client, keys).await;
    read_whole(member, keys).await;
    leave_ranges_unread(member, &client, keys).await;
    leave_txns_unread(member, &client, keys).await;
}
