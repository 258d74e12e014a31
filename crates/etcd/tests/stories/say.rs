//! Answers in the words of a story. What is not zero is said, so nothing can come back unseen.

use bytes::Bytes;
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::{RangeResponse, ResponseHeader, TxnResponse, WatchResponse};
use proto::mvccpb::{Event, KeyValue};

/// Values longer than this are told by their length.
const SHOWN_MAX: usize = 60;

/// The revision of a header that names cluster, member and term.
pub fn at(header: &Option<ResponseHeader>) -> String {
    match header {
        None => "without header".to_owned(),
        Some(header) if header.cluster_id == 0 || header.member_id == 0 || header.raft_term == 0 => {
            format!("@{} without ids", header.revision)
        }
        Some(header) => format!("@{}", header.revision),
    }
}

/// The revision of a header inside a txn, which names nothing else.
fn inner(header: &Option<ResponseHeader>) -> String {
    match header {
        None => "without header".to_owned(),
        Some(header) if header.cluster_id != 0 || header.member_id != 0 || header.raft_term != 0 => {
            format!("@{} with ids", header.revision)
        }
        Some(header) => format!("@{}", header.revision),
    }
}

pub fn text(bytes: &Bytes) -> String {
    if bytes.is_empty() {
        return "\"\"".to_owned();
    }
    if bytes.len() > SHOWN_MAX {
        return format!("<{} bytes>", bytes.len());
    }
    bytes.escape_ascii().to_string().replace("\\x00", "\\0")
}

pub fn kv(kv: &KeyValue) -> String {
    let mut said = format!("{} = {}", text(&kv.key), text(&kv.value));
    let numbers =
        [("create", kv.create_revision), ("mod", kv.mod_revision), ("version", kv.version), ("lease", kv.lease)];
    for (name, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        said.push_str(&format!(" {name} {number}"));
    }
    said
}

pub fn before(kvs: &[KeyValue]) -> Vec<String> {
    kvs.iter().map(|before| format!("  before {}", kv(before))).collect()
}

pub fn range(response: &RangeResponse, at: &str) -> Vec<String> {
    let more = if response.more { " more" } else { "" };
    let mut said = vec![format!("count {}{more} {at}", response.count)];
    said.extend(response.kvs.iter().map(|found| format!("  {}", kv(found))));
    said
}

pub fn txn(response: &TxnResponse, at: &str) -> Vec<String> {
    let succeeded = if response.succeeded { "succeeded" } else { "failed" };
    let mut said = vec![format!("{succeeded} {at}")];
    for answer in &response.responses {
        let lines = match &answer.response {
            None => vec!["nothing".to_owned()],
            Some(Response::ResponseRange(response)) => range(response, &inner(&response.header)),
            Some(Response::ResponsePut(response)) => {
                let mut lines = vec![format!("put {}", inner(&response.header))];
                lines.extend(before(response.prev_kv.as_slice()));
                lines
            }
            Some(Response::ResponseDeleteRange(response)) => {
                let mut lines = vec![format!("deleted {} {}", response.deleted, inner(&response.header))];
                lines.extend(before(&response.prev_kvs));
                lines
            }
            Some(Response::ResponseTxn(response)) => txn(response, &inner(&response.header)),
        };
        said.extend(lines.into_iter().map(|line| format!("  {line}")));
    }
    said
}

pub fn watch(response: &WatchResponse) -> Vec<String> {
    let mut said = format!("watch {}", response.watch_id);
    for (name, there) in [
        ("created", response.created),
        ("canceled", response.canceled),
        ("fragment", response.fragment),
        ("progress", !response.created && !response.canceled && response.events.is_empty()),
    ] {
        if there {
            said.push_str(&format!(" {name}"));
        }
    }
    said.push_str(&format!(" {}", at(&response.header)));
    if response.compact_revision != 0 {
        said.push_str(&format!(" compacted {}", response.compact_revision));
    }
    if !response.cancel_reason.is_empty() {
        said.push_str(&format!(": {}", response.cancel_reason));
    }
    let mut lines = vec![said];
    lines.extend(response.events.iter().flat_map(event));
    lines
}

fn event(event: &Event) -> Vec<String> {
    let Some(kv) = &event.kv else { return vec!["  event without key".to_owned()] };
    let named = match event.r#type {
        0 => format!("  put {}", self::kv(kv)),
        1 => format!("  delete {}", self::kv(kv).replacen(" = \"\"", "", 1)),
        other => format!("  kind {other} {}", self::kv(kv)),
    };
    let mut lines = vec![named];
    lines.extend(before(event.prev_kv.as_slice()).iter().map(|line| format!("  {line}")));
    lines
}
