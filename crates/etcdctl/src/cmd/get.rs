//! `get`: reads a key or a range of keys.

use clap::ArgMatches;
use client::range::widen;
use proto::etcdserverpb::RangeRequest;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};

use crate::fail::{Exit, Failure, Result};
use crate::flag::Flag;
use crate::global::Session;
use crate::go::quote;
use crate::print::{Answer, Format};
use crate::verb::{Verb, arguments};

const CONSISTENCY: Flag = Flag::text("consistency", "l", "Linearizable(l) or Serializable(s)");
const ORDER: Flag = Flag::text("order", "", "Order of results; ASCEND or DESCEND (ASCEND by default)");
const SORT_BY: Flag = Flag::text("sort-by", "", "Sort target; CREATE, KEY, MODIFY, VALUE, or VERSION");
/// Most results.
pub const LIMIT: Flag = Flag::int("limit", "Maximum number of results");
/// All keys that begin with the argument.
pub const PREFIX: Flag = Flag::switch("prefix", "Get keys with matching prefix");
const FROM: Flag =
    Flag::switch("from-key", "Get keys that are greater than or equal to the given key using byte compare");
/// The revision to read at.
pub const REV: Flag = Flag::int("rev", "Specify the kv revision");
const KEYS_ONLY: Flag = Flag::switch("keys-only", "Get only the keys");
const COUNT_ONLY: Flag = Flag::switch("count-only", "Get only the count");
const VALUE_ONLY: Flag = Flag::switch("print-value-only", "Only write values when using the \"simple\" output format");
const MIN_CREATE_REV: Flag = Flag::int("min-create-rev", "Minimum create revision");
const MAX_CREATE_REV: Flag = Flag::int("max-create-rev", "Maximum create revision");
const MIN_MOD_REV: Flag = Flag::int("min-mod-rev", "Minimum modification revision");
const MAX_MOD_REV: Flag = Flag::int("max-mod-rev", "Maximum modification revision");
const STREAM: Flag = Flag::switch("stream", "Get the results in pieces, as a stream");

/// The command.
pub const VERB: Verb = Verb::new("get [options] <key> [range_end]", "Gets the key or a range of keys").flags(&[
    CONSISTENCY,
    ORDER,
    SORT_BY,
    LIMIT,
    PREFIX,
    FROM,
    REV,
    KEYS_ONLY,
    COUNT_ONLY,
    VALUE_ONLY,
    MIN_CREATE_REV,
    MAX_CREATE_REV,
    MIN_MOD_REV,
    MAX_MOD_REV,
    STREAM,
]);

/// Runs it.
pub async fn run(matches: &ArgMatches) -> Result<()> {
    let request = request(matches)?;
    let mut session = Session::open(matches).await?;
    let response = if STREAM.is_on(matches) {
        session.timed().range_stream(request).await?
    } else {
        session.timed().range(request).await?
    };
    let format = session.style.format;
    if COUNT_ONLY.is_on(matches) && format != Format::Fields {
        let text = "--count-only is only for `--write-out=fields`";
        return Err(Failure::arguments(text));
    }
    if VALUE_ONLY.is_on(matches) {
        if format != Format::Simple {
            let text = "print-value-only is only for `--write-out=simple`";
            return Err(Failure::arguments(text));
        }
        session.style.value_only = true;
    }
    session.style.show(&Answer::Get(response))
}

/// The request that these flags and arguments describe.
pub fn request(matches: &ArgMatches) -> Result<RangeRequest> {
    let mut arguments = arguments(matches).into_iter();
    let Some(key) = arguments.next() else {
        return Err(Failure::arguments("get command needs one argument as key and an optional argument as range_end"));
    };
    let (prefix, from_key) = (PREFIX.is_on(matches), FROM.is_on(matches));
    if prefix && from_key {
        return Err(Failure::arguments("`--prefix` and `--from-key` cannot be set at the same time, choose one"));
    }
    let (keys_only, count_only) = (KEYS_ONLY.is_on(matches), COUNT_ONLY.is_on(matches));
    if keys_only && count_only {
        return Err(Failure::arguments("`--keys-only` and `--count-only` cannot be set at the same time, choose one"));
    }
    let serializable = serializable(&CONSISTENCY.value(matches))?;
    let range_end = arguments.next();
    if range_end.is_some() && (prefix || from_key) {
        return Err(Failure::arguments(
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
        ));
    }
    let order = sort_order(&ORDER.value(matches))?;
    let target = sort_target(&SORT_BY.value(matches))?;

    let mut request = RangeRequest {
        key: key.into(),
        range_end: range_end.unwrap_or_default().into(),
        limit: LIMIT.number(matches),
        revision: REV.number(matches).max(0),
        sort_order: order.into(),
        sort_target: target.into(),
        serializable,
        keys_only,
        count_only,
        min_mod_revision: MIN_MOD_REV.number(matches),
        max_mod_revision: MAX_MOD_REV.number(matches),
        min_create_revision: MIN_CREATE_REV.number(matches),
        max_create_revision: MAX_CREATE_REV.number(matches),
    };
    // Keys come in ascending order anyway; asking for it would only forbid
    // streaming them.
    if target == SortTarget::Key && order == SortOrder::Ascend {
        request.sort_order = SortOrder::None.into();
    }
    widen(&mut request.key, &mut request.range_end, prefix, from_key);
    Ok(request)
}

/// Whether `--consistency` says that one member's own answer is enough.
pub fn serializable(consistency: &str) -> Result<bool> {
    match consistency {
        "l" => Ok(false),
        "s" => Ok(true),
        other => {
            let text = format!("unknown consistency flag {}", quote(other.as_bytes()));
            Err(Failure::new(Exit::BadFeature, text))
        }
    }
}

fn sort_order(text: &str) -> Result<SortOrder> {
    match text.to_uppercase().as_str() {
        "" => Ok(SortOrder::None),
        "ASCEND" => Ok(SortOrder::Ascend),
        "DESCEND" => Ok(SortOrder::Descend),
        _ => Err(Failure::new(Exit::BadFeature, format!("bad sort order {text}"))),
    }
}

fn sort_target(text: &str) -> Result<SortTarget> {
    match text.to_uppercase().as_str() {
        "" | "KEY" => Ok(SortTarget::Key),
        "CREATE" => Ok(SortTarget::Create),
        "MODIFY" => Ok(SortTarget::Mod),
        "VALUE" => Ok(SortTarget::Value),
        "VERSION" => Ok(SortTarget::Version),
        _ => Err(Failure::new(Exit::BadFeature, format!("bad sort target {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse_alone;
    use client::range::FROM_KEY;

    fn of(line: &str) -> Result<RangeRequest> {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.into()).collect();
        request(&parse_alone(&VERB, &words).unwrap())
    }

    #[test]
    fn ranges() {
        let range = |line| {
            let request = of(line).unwrap();
            (request.key.to_vec(), request.range_end.to_vec())
        };
        assert_eq!(range("a"), (b"a".to_vec(), b"".to_vec()));
        assert_eq!(range("a c"), (b"a".to_vec(), b"c".to_vec()));
        assert_eq!(range("a --prefix"), (b"a".to_vec(), b"b".to_vec()));
        assert_eq!(range("a --from-key"), (b"a".to_vec(), b"\0".to_vec()));
        // An empty word is an empty key.
        let none = parse_alone(&VERB, &[b"".to_vec(), b"--prefix".to_vec()]).unwrap();
        let request = request(&none).unwrap();
        assert_eq!((request.key, request.range_end), (FROM_KEY, FROM_KEY));
    }

    #[test]
    fn order_and_target() {
        let request = of("a --order descend --sort-by modify").unwrap();
        assert_eq!(request.sort_order(), SortOrder::Descend);
        assert_eq!(request.sort_target(), SortTarget::Mod);
        let request = of("a --order ASCEND").unwrap();
        assert_eq!(request.sort_order(), SortOrder::None);
    }

    #[test]
    fn refusals() {
        for (line, exit, text) in [
            ("a --order x", Exit::BadFeature, "bad sort order x"),
            ("a --sort-by x", Exit::BadFeature, "bad sort target x"),
            ("a --consistency x", Exit::BadFeature, "unknown consistency flag \"x\""),
            (
                "a --prefix --from-key",
                Exit::BadArguments,
                "`--prefix` and `--from-key` cannot be set at the same time, choose one",
            ),
            (
                "a b --prefix",
                Exit::BadArguments,
                "too many arguments, only accept one argument when `--prefix` or `--from-key` \
                 is set",
            ),
        ] {
            assert_eq!(of(line).unwrap_err(), Failure::new(exit, text), "{line}");
        }
    }
}
