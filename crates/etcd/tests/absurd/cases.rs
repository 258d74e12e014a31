//! Every request with one thing wrong in it: for each field each absurd value, down into messages in messages.

use prost::Message;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    AlarmRequest, CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, LeaseKeepAliveRequest,
    LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
};
use proto::v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest};
use proto::v3lockpb::{LockRequest, UnlockRequest};

use crate::schema::{Field, Kind, Method, Schema};
use crate::wire;

/// How deep messages in messages are looked into: a txn, its operations, their requests, and those of one nested txn.
const DEPTH_MAX: usize = 5;
/// A text longer than any that is meant.
const LONG_BYTES: usize = 64 << 10;
/// Random messages for each method.
const RANDOM: usize = 40;
const SEED: u64 = 0x5eed_ab5d;

/// One message to send.
#[derive(Debug)]
pub struct Case {
    /// `Put.lease = -1`
    pub title: String,
    pub message: Vec<u8>,
    pub form: Form,
}

/// Whether the bytes are the message that they should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    Whole,
    Broken,
    /// Nobody knows before it is read.
    Random,
}

use Form::{Broken, Random, Whole};

/// All cases of a method, the same in each run.
pub fn cases(schema: &Schema, method: &Method) -> Vec<Case> {
    let title = format!("{} as it should be", method.name);
    let mut cases = vec![Case { title, message: sensible(&method.input), form: Whole }];
    walk(schema, method, &mut Vec::new(), &method.input, &mut cases);
    for (name, form, extra) in strange_fields() {
        let message = [sensible(&method.input), extra].concat();
        cases.push(Case { title: format!("{} with {name}", method.name), message, form });
    }
    random(schema, method, &mut cases);
    cases
}

fn walk(schema: &Schema, method: &Method, path: &mut Vec<(String, Field)>, message: &str, cases: &mut Vec<Case>) {
    for field in schema.fields(message) {
        path.push((message.to_owned(), field.clone()));
        let names: Vec<&str> = path.iter().map(|(_, field)| field.name.as_str()).collect();
        let name = format!("{}.{}", method.name, names.join("."));
        for (value, form, records) in absurd(&field) {
            cases.push(Case { title: format!("{name} = {value}"), message: build(path, &records), form });
        }
        if let Kind::Message(inner) = &field.kind
            && path.len() < DEPTH_MAX
        {
            walk(schema, method, path, inner, cases);
        }
        path.pop();
    }
}

/// A sensible message in which the field at the end of `path` is `records`.
fn build(path: &[(String, Field)], records: &[u8]) -> Vec<u8> {
    let (message, field) = &path[0];
    let kept = wire::fields(&sensible(message));
    let kept = kept.into_iter().filter(|(number, _)| *number != field.number && !field.siblings.contains(number));
    let mut whole: Vec<u8> = kept.flat_map(|(_, record)| record).collect();
    match &path[1..] {
        [] => whole.extend_from_slice(records),
        rest => whole.extend(wire::bytes(field.number, &build(rest, records))),
    }
    whole
}

/// Absurd values of a field, as they are on the wire.
fn absurd(field: &Field) -> Vec<(String, Form, Vec<u8>)> {
    let number = field.number;
    let as_bytes = |name: &str, form: Form, value: &[u8]| (name.to_owned(), form, wire::bytes(number, value));
    let as_number = |value: i64| (value.to_string(), Whole, wire::varint(number, value as u64));
    let mut values = vec![
        ("missing".to_owned(), Whole, Vec::new()),
        ("a length beyond the end".to_owned(), Broken, wire::claims(number, 1000, b"short")),
        ("a length beyond all".to_owned(), Broken, wire::claims(number, u64::MAX, b"short")),
    ];
    match &field.kind {
        Kind::Bytes | Kind::Text => values.extend([
            as_bytes("empty", Whole, b""),
            as_bytes("a zero byte", Whole, b"\0"),
            as_bytes("no UTF-8", if field.kind == Kind::Text { Broken } else { Whole }, b"\xff\xfe\xc3\x28"),
            as_bytes("long", Whole, &vec![b'x'; LONG_BYTES]),
            ("a number".to_owned(), Broken, wire::varint(number, 7)),
        ]),
        Kind::Integer => {
            values.extend([0, -1, i64::MIN, i64::MAX, 9_000_000_001, i64::from(i32::MAX)].map(as_number));
            values.push(as_bytes("a text", Broken, b"seven"));
            values.push(("a number without end".to_owned(), Broken, wire::endless_varint(number)));
        }
        Kind::Bool => {
            values.extend([2, -1].map(as_number));
            values.push(as_bytes("a text", Broken, b"true"));
        }
        Kind::Enum(unknown) => {
            values.extend([*unknown, -1, i64::from(i32::MAX), i64::MAX].map(as_number));
            // Several numbers may stand in one field, and letters are numbers.
            values.push(as_bytes("a text", if field.is_repeated { Whole } else { Broken }, b"NONE"));
        }
        Kind::Message(_) => values.extend([
            as_bytes("empty", Whole, b""),
            as_bytes("no message", Broken, b"\xff\xff\xff"),
            ("a number".to_owned(), Broken, wire::varint(number, 7)),
        ]),
    }
    if field.is_repeated {
        let one = match &field.kind {
            Kind::Message(message) => wire::bytes(number, &sensible(message)),
            Kind::Bytes | Kind::Text => wire::bytes(number, b"x"),
            _ => wire::varint(number, 1),
        };
        values.push(("a thousand".to_owned(), Whole, one.repeat(1000)));
    }
    values
}

/// What no message of etcd has.
fn strange_fields() -> Vec<(&'static str, Form, Vec<u8>)> {
    vec![
        ("an unknown number", Whole, wire::varint(2047, 7)),
        ("an unknown text", Whole, wire::bytes(536_870_911, b"from the future")),
        ("an unknown message of nothing", Whole, wire::bytes(500, b"")),
        ("an unknown fixed64", Whole, [wire::key(500, 1), vec![7; 8]].concat()),
        ("an unknown fixed32", Whole, [wire::key(500, 5), vec![7; 4]].concat()),
        ("half a fixed64", Broken, [wire::key(500, 1), vec![7; 3]].concat()),
        ("an unknown group", Whole, [wire::key(500, 3), wire::varint(1, 7), wire::key(500, 4)].concat()),
        ("a group without end", Broken, [wire::key(500, 3), wire::varint(1, 7)].concat()),
        ("an end without group", Broken, wire::key(500, 4)),
        ("groups in groups", Broken, wire::key(500, 3).repeat(10_000)),
        ("wire type 6", Broken, wire::key(500, 6)),
        ("wire type 7", Broken, wire::key(500, 7)),
        ("field 0", Broken, wire::key(0, 0)),
        ("half a key", Broken, vec![0x80]),
        ("bytes that are nothing", Broken, vec![0xff; 40]),
    ]
}

/// Several things wrong at once.
fn random(schema: &Schema, method: &Method, cases: &mut Vec<Case>) {
    let mut chance =
        Chance(SEED ^ method.path.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte)));
    let fields = schema.fields(&method.input);
    for number in 0..RANDOM {
        let mut message = Vec::new();
        for field in &fields {
            match chance.below(4) {
                0 => {}
                1 => {
                    let kept = wire::fields(&sensible(&method.input));
                    message
                        .extend(kept.into_iter().filter(|(number, _)| *number == field.number).flat_map(|one| one.1));
                }
                _ => {
                    let mut values = absurd(field);
                    message.extend(values.swap_remove(chance.below(values.len() as u64) as usize).2);
                }
            }
        }
        if chance.below(4) == 0 {
            message = (0..chance.below(60)).map(|_| chance.below(256) as u8).collect();
        }
        cases.push(Case { title: format!("{} at random, {number}", method.name), message, form: Random });
    }
}

/// Chance from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A message that could be meant, by its full name; empty for those that need nothing.
pub fn sensible(message: &str) -> Vec<u8> {
    let range = || RangeRequest { key: "k".into(), ..Default::default() };
    let leader = || LeaderKey { name: "e".into(), key: "e/7".into(), rev: 2, lease: 7 };
    match message.rsplit('.').next().expect("a name") {
        "LockRequest" => LockRequest { name: "l".into(), lease: 7 }.encode_to_vec(),
        "UnlockRequest" => UnlockRequest { key: "l/7".into() }.encode_to_vec(),
        "CampaignRequest" => CampaignRequest { name: "e".into(), lease: 7, value: "v".into() }.encode_to_vec(),
        "ProclaimRequest" => ProclaimRequest { leader: Some(leader()), value: "v".into() }.encode_to_vec(),
        "ResignRequest" => ResignRequest { leader: Some(leader()) }.encode_to_vec(),
        "LeaderKey" => leader().encode_to_vec(),
        "LeaderRequest" => LeaderRequest { name: "e".into() }.encode_to_vec(),
        // The list of services: the kind of question must be said.
        "ServerReflectionRequest" => wire::bytes(7, b"*"),
        "ExtensionRequest" => wire::bytes(1, b"etcdserverpb.PutRequest"),
        "RangeRequest" => range().encode_to_vec(),
        "PutRequest" => PutRequest { key: "put".into(), value: "v".into(), ..Default::default() }.encode_to_vec(),
        "DeleteRangeRequest" => DeleteRangeRequest { key: "gone".into(), ..Default::default() }.encode_to_vec(),
        "RequestOp" => RequestOp { request: Some(Request::RequestRange(range())) }.encode_to_vec(),
        "Compare" => Compare { key: "k".into(), ..Default::default() }.encode_to_vec(),
        "TxnRequest" => {
            let success = vec![RequestOp { request: Some(Request::RequestRange(range())) }];
            TxnRequest { success, ..Default::default() }.encode_to_vec()
        }
        "CompactionRequest" => CompactionRequest { revision: 1, physical: false }.encode_to_vec(),
        "LeaseGrantRequest" => LeaseGrantRequest { ttl: 600, id: 0 }.encode_to_vec(),
        "LeaseRevokeRequest" => LeaseRevokeRequest { id: 99 }.encode_to_vec(),
        "LeaseKeepAliveRequest" => LeaseKeepAliveRequest { id: 7 }.encode_to_vec(),
        "LeaseTimeToLiveRequest" => LeaseTimeToLiveRequest { id: 7, keys: true }.encode_to_vec(),
        "WatchCreateRequest" => WatchCreateRequest { key: "k".into(), ..Default::default() }.encode_to_vec(),
        "WatchRequest" => wire::bytes(1, &sensible(".etcdserverpb.WatchCreateRequest")),
        "AlarmRequest" => AlarmRequest::default().encode_to_vec(),
        _ => Vec::new(),
    }
}
