//! Requests out of the words of a story.

use proto::etcdserverpb::compare::TargetUnion;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
};

use crate::words::{Words, bytes_of};

pub fn put(mut words: Words<'_>) -> PutRequest {
    let options = ["lease", "prev", "ignore_value", "ignore_lease"];
    let request = PutRequest {
        key: words.take_bytes(),
        value: words.take_plain(&options).unwrap_or_default(),
        lease: words.number("lease"),
        prev_kv: words.has("prev"),
        ignore_value: words.has("ignore_value"),
        ignore_lease: words.has("ignore_lease"),
    };
    words.end();
    request
}

pub fn range(mut words: Words<'_>) -> RangeRequest {
    let options = [
        "rev",
        "limit",
        "order",
        "sort",
        "keys_only",
        "count_only",
        "serializable",
        "min_mod",
        "max_mod",
        "min_create",
        "max_create",
    ];
    let request = RangeRequest {
        key: words.take_bytes(),
        range_end: words.take_plain(&options).unwrap_or_default(),
        revision: words.number("rev"),
        limit: words.number("limit"),
        sort_order: words.choice("order", &["none", "ascend", "descend"]),
        sort_target: words.choice("sort", &["key", "version", "create", "mod", "value"]),
        keys_only: words.has("keys_only"),
        count_only: words.has("count_only"),
        serializable: words.has("serializable"),
        min_mod_revision: words.number("min_mod"),
        max_mod_revision: words.number("max_mod"),
        min_create_revision: words.number("min_create"),
        max_create_revision: words.number("max_create"),
    };
    words.end();
    request
}

pub fn delete(mut words: Words<'_>) -> DeleteRangeRequest {
    let request = DeleteRangeRequest {
        key: words.take_bytes(),
        range_end: words.take_plain(&["prev"]).unwrap_or_default(),
        prev_kv: words.has("prev"),
    };
    words.end();
    request
}

pub fn watch(mut words: Words<'_>) -> WatchCreateRequest {
    let options = ["id", "rev", "prev", "noput", "nodelete", "notify", "fragment", "filter"];
    let mut request = WatchCreateRequest {
        key: words.take_bytes(),
        range_end: words.take_plain(&options).unwrap_or_default(),
        watch_id: words.number("id"),
        start_revision: words.number("rev"),
        prev_kv: words.has("prev"),
        progress_notify: words.has("notify"),
        fragment: words.has("fragment"),
        filters: Vec::new(),
    };
    if words.has("noput") {
        request.filters.push(0);
    }
    if words.has("nodelete") {
        request.filters.push(1);
    }
    if let Some(number) = words.option("filter") {
        request.filters.push(number.parse().expect("a number"));
    }
    words.end();
    request
}

/// A txn out of its indented lines.
pub fn txn(lines: &[String]) -> TxnRequest {
    let mut request = TxnRequest::default();
    let depth = lines.first().map_or(0, |line| indent(line));
    let mut at = 0;
    while at < lines.len() {
        let line = &lines[at];
        assert_eq!(indent(line), depth, "{line}: indented otherwise than the line above");
        let below = lines[at + 1..].iter().take_while(|line| indent(line) > depth).count();
        let below = &lines[at + 1..at + 1 + below];
        let mut words = Words::of(line);
        match words.take() {
            "if" => request.compare.push(compare(words)),
            "then" => request.success.push(operation(words, below)),
            "else" => request.failure.push(operation(words, below)),
            other => panic!("{line}: {other} is no part of a txn"),
        }
        at += 1 + below.len();
    }
    request
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn operation(mut words: Words<'_>, below: &[String]) -> RequestOp {
    let request = match words.take() {
        "put" => Request::RequestPut(put(words)),
        "get" => Request::RequestRange(range(words)),
        "del" => Request::RequestDeleteRange(delete(words)),
        "txn" => Request::RequestTxn(txn(below)),
        "nothing" => return RequestOp { request: None },
        other => panic!("{other} is no operation of a txn"),
    };
    RequestOp { request: Some(request) }
}

/// `value(a) = 1`, `mod(a,c) > 3`, and numbers where no name fits. `unset` leaves the operand out.
fn compare(mut words: Words<'_>) -> Compare {
    let left = words.take();
    let (target, keys) = left.trim_end_matches(')').split_once('(').expect("target(key)");
    let (key, range_end) = keys.split_once(',').unwrap_or((keys, ""));
    let targets = ["version", "create", "mod", "value", "lease"];
    let target =
        targets.iter().position(|name| *name == target).map_or_else(|| target.parse().unwrap(), |at| at as i32);
    let result = words.take();
    let results = ["=", ">", "<", "!="];
    let result =
        results.iter().position(|name| *name == result).map_or_else(|| result.parse().unwrap(), |at| at as i32);
    let operand = words.take();
    words.end();
    let integer = || operand.parse().expect("a number");
    let target_union = match target {
        _ if operand == "unset" => None,
        0 => Some(TargetUnion::Version(integer())),
        1 => Some(TargetUnion::CreateRevision(integer())),
        2 => Some(TargetUnion::ModRevision(integer())),
        4 => Some(TargetUnion::Lease(integer())),
        _ => Some(TargetUnion::Value(bytes_of(operand))),
    };
    Compare { key: bytes_of(key), range_end: bytes_of(range_end), target, result, target_union }
}
