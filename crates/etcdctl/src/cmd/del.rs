//! `del`: deletes a key or a range of keys.

use std::time::Duration;

use clap::ArgMatches;
use client::range::widen;
use proto::etcdserverpb::DeleteRangeRequest;

use crate::fail::{Failure, Result};
use crate::flag::Flag;
use crate::global::Session;
use crate::go::quote;
use crate::out;
use crate::print::Answer;
use crate::verb::{Verb, arguments};

const PREFIX: Flag = Flag::switch("prefix", "delete keys with matching prefix");
const PREV_KV: Flag = Flag::switch("prev-kv", "return deleted key-value pairs");
const FROM: Flag =
    Flag::switch("from-key", "delete keys that are greater than or equal to the given key using byte compare");
const RANGE: Flag = Flag::switch("range", "delete range of keys without delay");

/// The command.
pub const VERB: Verb =
    Verb::new("del [options] <key> [range_end]", "Removes the specified key or range of keys [key, range_end)")
        .flags(&[PREFIX, PREV_KV, FROM, RANGE]);

/// Time to think better of deleting a range that may not have been meant as one.
const SECOND_THOUGHTS: Duration = Duration::from_secs(2);

/// Runs it.
pub async fn run(matches: &ArgMatches) -> Result<()> {
    let request = request(matches)?;
    if needs_second_thoughts(matches, &request) {
        let (from, to) = (quote(&request.key), quote(&request.range_end));
        out::complain(format_args!(
            "Warning: Keys between {from} and {to} will be deleted. Please interrupt the command \
             within next 2 seconds to cancel. You can provide `--range` flag to avoid the delay."
        ));
        tokio::time::sleep(SECOND_THOUGHTS).await;
    }
    let session = Session::open(matches).await?;
    let response = session.timed().delete(request).await?;
    session.style.show(&Answer::Delete(response))
}

/// The request that these flags and arguments describe.
pub fn request(matches: &ArgMatches) -> Result<DeleteRangeRequest> {
    let mut arguments = arguments(matches).into_iter();
    let (key, range_end, more) = (arguments.next(), arguments.next(), arguments.next());
    let (Some(key), None) = (key, more) else {
        return Err(Failure::arguments("del command needs one argument as key and an optional argument as range_end"));
    };
    let (prefix, from_key) = (PREFIX.is_on(matches), FROM.is_on(matches));
    if prefix && from_key {
        return Err(Failure::arguments("`--prefix` and `--from-key` cannot be set at the same time, choose one"));
    }
    if range_end.is_some() && (prefix || from_key) {
        return Err(Failure::arguments(
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
        ));
    }
    let mut request = DeleteRangeRequest {
        key: key.into(),
        range_end: range_end.unwrap_or_default().into(),
        prev_kv: PREV_KV.is_on(matches),
    };
    widen(&mut request.key, &mut request.range_end, prefix, from_key);
    Ok(request)
}

/// Whether the range came as two arguments, without `--range`.
fn needs_second_thoughts(matches: &ArgMatches, request: &DeleteRangeRequest) -> bool {
    let by_flag = PREFIX.is_on(matches) || FROM.is_on(matches) || RANGE.is_on(matches);
    !by_flag && !request.range_end.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse_alone;

    #[test]
    fn only_a_bare_range_waits() {
        for (line, waits) in
            [("a", false), ("a b", true), ("a b --range", false), ("a --prefix", false), ("a --from-key", false)]
        {
            let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.into()).collect();
            let matches = parse_alone(&VERB, &words).unwrap();
            let request = request(&matches).unwrap();
            assert_eq!(needs_second_thoughts(&matches, &request), waits, "{line}");
        }
    }
}
