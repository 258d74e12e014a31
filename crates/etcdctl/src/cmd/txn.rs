//! `txn`: guarded operations, typed line by line.
//!
//! Three paragraphs come from standard input, each ended by an empty line:
//! guards, what to do when they hold, and what to do otherwise.

use std::io::BufRead;

use clap::ArgMatches;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{Compare, RequestOp, TxnRequest};

use crate::cli::parse_alone;
use crate::cmd::{del, get, put};
use crate::fail::{Exit, Failure, Result};
use crate::flag::Flag;
use crate::global::Session;
use crate::go::number::parse_int;
use crate::go::quote;
use crate::go::quote::unquote_prefix;
use crate::go::words;
use crate::out;
use crate::print::Answer;
use crate::verb::{Verb, arguments};

const INTERACTIVE: Flag = Flag::switch("interactive", "Input transaction in interactive mode").short('i');

/// The command.
pub const VERB: Verb =
    Verb::new("txn [options]", "Txn processes all the requests in one transaction").flags(&[INTERACTIVE]);

/// Runs it.
pub async fn run(matches: &ArgMatches) -> Result<()> {
    if !arguments(matches).is_empty() {
        return Err(Failure::arguments("txn command does not accept argument"));
    }
    let session = Session::open(matches).await?;
    let prompt = |text| {
        if INTERACTIVE.is_on(matches) { out::line(text) } else { Ok(()) }
    };
    let mut input = std::io::stdin().lock();
    prompt("compares:")?;
    let compare = paragraph(&mut input, compare)?;
    prompt("success requests (get, put, del):")?;
    let success = paragraph(&mut input, operation)?;
    prompt("failure requests (get, put, del):")?;
    let failure = paragraph(&mut input, operation)?;
    let request = TxnRequest { compare, success, failure };
    // As long as it takes: the user was asked to think, so may the cluster.
    let response = session.client.txn(request).await?;
    session.style.show(&Answer::Txn(response))
}

fn invalid(text: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::InvalidInput, text)
}

/// Lines up to an empty one. A line without an end is no line.
fn paragraph<T>(input: &mut impl BufRead, parse: impl Fn(&[u8]) -> Result<T>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    loop {
        let mut line = Vec::new();
        input.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(invalid("EOF"));
        }
        match line.trim_ascii() {
            [] => return Ok(all),
            line => all.push(parse(line)?),
        }
    }
}

/// `target("key") op "value"`
fn compare(line: &[u8]) -> Result<Compare> {
    let shown = String::from_utf8_lossy(line);
    let Some(open) = line.iter().position(|byte| *byte == b'(') else {
        return Err(invalid(format!("malformed comparison: {shown}")));
    };
    let (target, inside) = (&line[..open], &line[open + 1..]);
    let parts = Parts::read(inside);
    let (Some(key), Some(operator), Some(value)) = (&parts.key, &parts.operator, &parts.value) else {
        return Err(invalid(format!(
            "malformed comparison: {shown}; got {}({}) {} {}",
            String::from_utf8_lossy(target),
            quote(parts.key.as_deref().unwrap_or_default()),
            String::from_utf8_lossy(parts.operator.as_deref().unwrap_or_default()),
            quote(b""),
        )));
    };
    let number = |base| {
        let bad = |_| invalid(format!("invalid txn compare request: {shown}"));
        parse_int(value, base).map_err(bad)
    };
    let (target, union) = match target {
        b"ver" | b"version" => (CompareTarget::Version, TargetUnion::Version(number(10)?)),
        b"c" | b"create" => (CompareTarget::Create, TargetUnion::CreateRevision(number(10)?)),
        b"m" | b"mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number(10)?)),
        b"val" | b"value" => (CompareTarget::Value, TargetUnion::Value(value.clone().into())),
        b"lease" => (CompareTarget::Lease, TargetUnion::Lease(number(16)?)),
        other => {
            let other = String::from_utf8_lossy(other);
            let text = format!("malformed comparison: {shown} (unknown target {other})");
            return Err(invalid(text));
        }
    };
    let result = match operator.as_slice() {
        b"=" => CompareResult::Equal,
        b"!=" => CompareResult::NotEqual,
        b">" => CompareResult::Greater,
        b"<" => CompareResult::Less,
        // etcdctl panics here.
        other => {
            let other = String::from_utf8_lossy(other);
            let text = format!("malformed comparison: {shown} (unknown operator {other})");
            return Err(invalid(text));
        }
    };
    Ok(Compare {
        result: result.into(),
        target: target.into(),
        key: key.clone().into(),
        target_union: Some(union),
        range_end: bytes::Bytes::new(),
    })
}

/// What was understood of `"key") op "value"`, from the left.
#[derive(Default)]
struct Parts {
    key: Option<Vec<u8>>,
    operator: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl Parts {
    fn read(text: &[u8]) -> Self {
        let mut parts = Parts::default();
        let Some((key, rest)) = unquote_prefix(text.trim_ascii_start()) else {
            return parts;
        };
        parts.key = Some(key);
        let Some([space, rest @ ..]) = rest.strip_prefix(b")") else {
            return parts;
        };
        if !words::is_space(*space) {
            return parts;
        }
        let rest = rest.trim_ascii_start();
        let end = rest.iter().position(|byte| words::is_space(*byte));
        let (operator, rest) = rest.split_at(end.unwrap_or(rest.len()));
        if operator.is_empty() {
            return parts;
        }
        parts.operator = Some(operator.to_vec());
        parts.value = unquote_prefix(rest.trim_ascii_start()).map(|(value, _)| value);
        parts
    }
}

/// `get`, `put` or `del`, with their flags.
fn operation(line: &[u8]) -> Result<RequestOp> {
    let shown = String::from_utf8_lossy(line);
    let all = words::split(line).ok_or_else(|| invalid("invalid syntax"))?;
    let [name, rest @ ..] = all.as_slice() else {
        return Err(invalid(format!("invalid txn compare request: {shown}")));
    };
    if rest.is_empty() {
        return Err(invalid(format!("invalid txn compare request: {shown}")));
    }
    // Names may be shortened here too.
    let verbs = [put::VERB, get::VERB, del::VERB];
    let name = String::from_utf8_lossy(name);
    let verb = verbs.iter().find(|verb| verb.name().starts_with(&*name) && !name.is_empty());
    let refused = || invalid(format!("invalid txn request: {shown}"));
    let verb = verb.ok_or_else(refused)?;
    let matches = parse_alone(verb, rest).map_err(|_| refused())?;
    let request = match verb.name() {
        "put" => Request::RequestPut(put::request(&matches, Vec::new)?),
        "get" => Request::RequestRange(get::request(&matches)?),
        _ => Request::RequestDeleteRange(del::request(&matches)?),
    };
    Ok(RequestOp { request: Some(request) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards() {
        for (line, target, result, union) in [
            (r#"ver("a") > "0""#, CompareTarget::Version, CompareResult::Greater, TargetUnion::Version(0)),
            (
                r#"create( `a`)   <   "7" and more"#,
                CompareTarget::Create,
                CompareResult::Less,
                TargetUnion::CreateRevision(7),
            ),
            (r#"m("\x61") = "-1""#, CompareTarget::Mod, CompareResult::Equal, TargetUnion::ModRevision(-1)),
            (r#"value("a") != "x y""#, CompareTarget::Value, CompareResult::NotEqual, TargetUnion::Value("x y".into())),
            (r#"lease("a") = "1f""#, CompareTarget::Lease, CompareResult::Equal, TargetUnion::Lease(31)),
        ] {
            let guard = compare(line.as_bytes()).unwrap();
            assert_eq!(guard.target(), target, "{line}");
            assert_eq!(guard.result(), result, "{line}");
            assert_eq!(guard.key, "a", "{line}");
            assert_eq!(guard.target_union, Some(union), "{line}");
        }
    }

    #[test]
    fn refusals_of_guards() {
        for (line, text) in [
            ("foo", "malformed comparison: foo"),
            (r#"foo("a") = "b""#, r#"malformed comparison: foo("a") = "b" (unknown target foo)"#),
            (r#"ver(a) = "b""#, r#"malformed comparison: ver(a) = "b"; got ver("")  """#),
            (r#"ver("a")= "3""#, r#"malformed comparison: ver("a")= "3"; got ver("a")  """#),
            (r#"ver("a") = 3"#, r#"malformed comparison: ver("a") = 3; got ver("a") = """#),
            (r#"ver("a") = "b""#, r#"invalid txn compare request: ver("a") = "b""#),
            (r#"ver("a") ? "3""#, r#"malformed comparison: ver("a") ? "3" (unknown operator ?)"#),
        ] {
            let failure = compare(line.as_bytes()).unwrap_err();
            assert_eq!(failure, invalid(text), "{line}");
        }
    }

    #[test]
    fn operations() {
        let put = operation(br#"pu a "x y" --prev-kv"#).unwrap().request;
        let Some(Request::RequestPut(put)) = put else {
            panic!("no put: {put:?}");
        };
        assert_eq!((&put.value[..], put.prev_kv), (&b"x y"[..], true));
        let get = operation(b"get --prefix 'a'").unwrap().request;
        let Some(Request::RequestRange(get)) = get else {
            panic!("no range: {get:?}");
        };
        assert_eq!(get.range_end, "b");
        assert!(operation(b"del a b").is_ok());
    }

    #[test]
    fn refusals_of_operations() {
        for (line, text) in [
            ("put", "invalid txn compare request: put"),
            ("foo a", "invalid txn request: foo a"),
            ("put a b --zz", "invalid txn request: put a b --zz"),
            ("get a -w json", "invalid txn request: get a -w json"),
            ("get a --limit=x", "invalid txn request: get a --limit=x"),
        ] {
            let failure = operation(line.as_bytes()).unwrap_err();
            assert_eq!(failure, invalid(text), "{line}");
        }
        let failure = operation(b"put a").unwrap_err();
        assert_eq!(failure.exit, Exit::BadArguments);
    }

    #[test]
    fn paragraphs_end_with_an_empty_line() {
        let mut input = &b"a\n  b \n\t\nc\n"[..];
        let keep = |line: &[u8]| Ok(line.to_vec());
        let first = paragraph(&mut input, keep).unwrap();
        assert_eq!(first, [b"a", b"b"]);
        let failure = paragraph(&mut input, keep).unwrap_err();
        assert_eq!(failure, invalid("EOF"));
    }
}
