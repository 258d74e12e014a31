//! `put`: writes one key.

use std::io::Read;

use clap::ArgMatches;
use proto::etcdserverpb::PutRequest;

use crate::fail::{Failure, Result};
use crate::flag::Flag;
use crate::global::Session;
use crate::go::number::parse_int;
use crate::print::Answer;
use crate::verb::{Verb, arguments};

const LEASE: Flag = Flag::text("lease", "0", "lease ID (in hexadecimal) to attach to the key");
const PREV_KV: Flag = Flag::switch("prev-kv", "return the previous key-value pair before modification");
const IGNORE_VALUE: Flag = Flag::switch("ignore-value", "updates the key using its current value");
const IGNORE_LEASE: Flag = Flag::switch("ignore-lease", "updates the key using its current lease");

/// The command.
pub const VERB: Verb = Verb {
    long: "\
Puts the given key into the store.

When <value> begins with '-', <value> is interpreted as a flag.
Insert '--' for workaround:

$ put <key> -- <value>
$ put -- <key> <value>

If <value> isn't given as a command line argument and '--ignore-value' is not specified,
this command tries to read the value from standard input.

If <lease> isn't given as a command line argument and '--ignore-lease' is not specified,
this command tries to read the value from standard input.

For example,
$ cat file | put <key>
will store the content of the file to <key>.
",
    ..Verb::new(
        "put [options] <key> <value> (<value> can also be given from stdin)",
        "Puts the given key into the store",
    )
    .flags(&[LEASE, PREV_KV, IGNORE_VALUE, IGNORE_LEASE])
};

/// Runs it.
pub async fn run(matches: &ArgMatches) -> Result<()> {
    let request = request(matches, read_input)?;
    let session = Session::open(matches).await?;
    let response = session.timed().put(request).await?;
    session.style.show(&Answer::Put(response))
}

/// The request that these flags and arguments describe. A value that is not
/// among them comes from `input`, which may not be empty.
pub fn request(matches: &ArgMatches, input: impl Fn() -> Vec<u8>) -> Result<PutRequest> {
    let too_few = || Failure::arguments("put command needs 1 argument and input from stdin or 2 arguments");
    let mut arguments = arguments(matches).into_iter();
    let key = arguments.next().ok_or_else(too_few)?;
    let given = arguments.next();
    let ignore_value = IGNORE_VALUE.is_on(matches);
    if ignore_value && given.is_some() {
        return Err(Failure::arguments("put command needs only 1 argument when 'ignore-value' is set"));
    }
    let value = match given {
        Some(value) => value,
        None if ignore_value => Vec::new(),
        None => Some(input()).filter(|value| !value.is_empty()).ok_or_else(too_few)?,
    };
    let lease = parse_int(LEASE.value(matches).as_bytes(), 16)
        .map_err(|error| Failure::arguments(format!("bad lease ID ({error}), expecting ID in Hex")))?;
    Ok(PutRequest {
        key: key.into(),
        value: value.into(),
        lease,
        prev_kv: PREV_KV.is_on(matches),
        ignore_value,
        ignore_lease: IGNORE_LEASE.is_on(matches),
    })
}

/// All of standard input. What cannot be read is as good as nothing.
fn read_input() -> Vec<u8> {
    let mut bytes = Vec::new();
    match std::io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse_alone;

    fn of(line: &str, input: &str) -> Result<PutRequest> {
        let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.into()).collect();
        request(&parse_alone(&VERB, &words).unwrap(), || input.into())
    }

    #[test]
    fn values_from_arguments_or_input() {
        assert_eq!(of("a b c", "").unwrap().value, "b");
        assert_eq!(of("a", "line\n").unwrap().value, "line\n");
        assert_eq!(of("a --ignore-value", "line").unwrap().value, "");
        let text = "put command needs 1 argument and input from stdin or 2 arguments";
        assert_eq!(of("a", "").unwrap_err(), Failure::arguments(text));
        let text = "put command needs only 1 argument when 'ignore-value' is set";
        assert_eq!(of("a b --ignore-value", "").unwrap_err(), Failure::arguments(text));
    }

    #[test]
    fn leases_are_hexadecimal() {
        assert_eq!(of("a b --lease 1f", "").unwrap().lease, 31);
        let text = "bad lease ID (strconv.ParseInt: parsing \"zz\": invalid syntax), \
                    expecting ID in Hex";
        assert_eq!(of("a b --lease zz", "").unwrap_err(), Failure::arguments(text));
    }
}
