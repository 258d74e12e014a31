//! RangeStream: the same as a Range, in parts.

use prost::Message;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, RangeStreamResponse,
};
use proto::methods::path;

use bytes::Bytes;

use crate::client::{Client, data, frame, messages};
use crate::member::{Member, call};

/// All parts, or code and words.
async fn parts(client: &mut Client, request: &RangeRequest) -> Result<Vec<RangeResponse>, (String, String)> {
    let answer = client.call(path::RANGE_STREAM, &[], frame(&request.encode_to_vec())).await;
    let (code, words) = answer.grpc();
    if code != "0" {
        return Err((code, words));
    }
    let parts = messages::<RangeStreamResponse>(&answer.body).into_iter();
    Ok(parts.map(|part| part.range_response.unwrap()).collect())
}

/// The parts as one: only the last may have more than keys.
fn merged(parts: Vec<RangeResponse>) -> RangeResponse {
    let mut whole = RangeResponse::default();
    let last = parts.len() - 1;
    for (number, part) in parts.into_iter().enumerate() {
        let RangeResponse { header, kvs, more, count } = part;
        assert!(number == last || (header.is_none() && !more && count == 0), "part {number}");
        whole.kvs.extend(kvs);
        (whole.header, whole.more, whole.count) = (header, more, count);
    }
    whole
}

fn all() -> RangeRequest {
    RangeRequest { key: "k".into(), range_end: "l".into(), ..Default::default() }
}

async fn put(client: &mut Client, key: String, value: Bytes) -> i64 {
    let made: PutResponse = call(client, path::PUT, PutRequest { key: key.into(), value, ..Default::default() }).await;
    made.header.unwrap().revision
}

#[tokio::test]
async fn merged_it_is_a_range() {
    let member = Member::start().await;
    let mut client = member.client().await;
    for number in 0..25 {
        put(&mut client, format!("k{number:02}"), Bytes::from(vec![7; 100_000])).await;
    }
    let revision = put(&mut client, "k00".to_owned(), "again".into()).await;
    put(&mut client, "k99".to_owned(), "later".into()).await;
    let requests = [
        all(),
        RangeRequest { limit: 1, ..all() },
        RangeRequest { limit: 10, ..all() },
        RangeRequest { limit: 26, ..all() },
        RangeRequest { limit: 27, ..all() },
        RangeRequest { limit: -1, ..all() },
        RangeRequest { revision, ..all() },
        RangeRequest { revision, limit: 25, ..all() },
        RangeRequest { revision: revision - 1, limit: 11, ..all() },
        RangeRequest { keys_only: true, ..all() },
        RangeRequest { count_only: true, limit: 1, ..all() },
        RangeRequest { serializable: true, ..all() },
        RangeRequest { range_end: "\0".into(), ..all() },
        RangeRequest { key: "k07".into(), range_end: Bytes::new(), ..all() },
        RangeRequest { key: "none".into(), range_end: Bytes::new(), ..all() },
        RangeRequest { key: "l".into(), range_end: "k".into(), ..all() },
        RangeRequest { sort_order: SortOrder::Ascend.into(), sort_target: SortTarget::Key.into(), ..all() },
    ];
    for request in requests {
        let whole: RangeResponse = call(&mut client, path::RANGE, request.clone()).await;
        let parts = parts(&mut client, &request).await.unwrap();
        assert_eq!(merged(parts), whole, "{request:?}");
    }
    // The first part is short so that it comes soon; none is much longer than half a MiB.
    let parts = parts(&mut client, &all()).await.unwrap();
    assert_eq!(parts.iter().map(|part| part.kvs.len()).collect::<Vec<_>>(), [7, 6, 6, 6, 1]);
}

#[tokio::test]
async fn refused_with_the_words_of_etcd() {
    let member = Member::start().await;
    let mut client = member.client().await;
    for _ in 0..3 {
        put(&mut client, "k".to_owned(), "v".into()).await;
    }
    let compact = CompactionRequest { revision: 3, physical: true };
    let _: CompactionResponse = call(&mut client, path::COMPACT, compact).await;
    let descending = RangeRequest { sort_order: SortOrder::Descend.into(), ..all() };
    let by_value = SortTarget::Value.into();
    let custom = "RangeStream does not support custom sort orders";
    let filters = "RangeStream does not support revision filters";
    let cases = [
        (RangeRequest::default(), "3", "etcdserver: key is not provided"),
        (RangeRequest { sort_order: 9, ..all() }, "3", "etcdserver: invalid sort option"),
        (RangeRequest { sort_target: 9, ..all() }, "3", "etcdserver: invalid sort option"),
        (descending.clone(), "12", custom),
        (RangeRequest { sort_order: SortOrder::Ascend.into(), sort_target: by_value, ..all() }, "12", custom),
        (RangeRequest { min_mod_revision: 1, ..descending }, "12", custom),
        (RangeRequest { min_mod_revision: 1, ..all() }, "12", filters),
        (RangeRequest { max_mod_revision: 1, ..all() }, "12", filters),
        (RangeRequest { min_create_revision: 1, ..all() }, "12", filters),
        (RangeRequest { max_create_revision: -1, ..all() }, "12", filters),
        (RangeRequest { revision: 9, ..all() }, "11", "etcdserver: mvcc: required revision is a future revision"),
        (RangeRequest { revision: 2, ..all() }, "11", "etcdserver: mvcc: required revision has been compacted"),
    ];
    for (request, code, words) in cases {
        let refused = parts(&mut client, &request).await.unwrap_err();
        assert_eq!(refused, (code.to_owned(), words.to_owned()), "{request:?}");
    }
    // A target without an order is no order.
    let unordered = RangeRequest { sort_target: by_value, ..all() };
    assert_eq!(merged(parts(&mut client, &unordered).await.unwrap()).count, 1);
}

/// A client that stops reading is sent nothing more; what changes meanwhile, compactions too, changes nothing for it.
#[tokio::test]
async fn one_moment_however_long_it_takes() {
    let member = Member::start().await;
    let mut client = member.client().await;
    let mut writer = member.client().await;
    for number in 0..40 {
        put(&mut writer, format!("k{number:02}"), Bytes::from(vec![number; 200_000])).await;
    }
    let mut streaming = client.begin(path::RANGE_STREAM, &[]);
    streaming.send.send_data(Bytes::from(frame(&all().encode_to_vec())), true).unwrap();
    let mut body = streaming.body().await;
    let mut read = data(&mut body).await.unwrap().to_vec();
    let mut revision = 0;
    for number in 0..40 {
        revision = put(&mut writer, format!("k{number:02}"), "later".into()).await;
    }
    let _: CompactionResponse = call(&mut writer, path::COMPACT, CompactionRequest { revision, physical: true }).await;
    while let Some(piece) = data(&mut body).await {
        read.extend_from_slice(&piece);
    }
    let parts = messages::<RangeStreamResponse>(&read).into_iter();
    let whole = merged(parts.map(|part| part.range_response.unwrap()).collect());
    assert_eq!((whole.count, whole.more, whole.header.unwrap().revision), (40, false, 41));
    assert!(whole.kvs.iter().zip(0..).all(|(kv, number)| kv.value == vec![number; 200_000]));
}
