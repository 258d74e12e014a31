//! Keys, values and transactions, in every format.

use crate::support::Outcome;
use crate::twins::Twins;

#[test]
fn keys_in_every_format() {
    let twins = Twins::new();
    assert_eq!(twins.same("put a 1").text(), "OK\n");
    twins.same("put a 2 --prev-kv");
    for format in ["simple", "json", "fields", "protobuf"] {
        twins.same(&format!("put a 3 --prev-kv -w {format}"));
        twins.same(&format!("put b 4 -w={format}"));
        twins.same(&format!("get a --write-out {format}"));
        twins.same(&format!("get a --prefix -w{format}"));
        twins.same(&format!("get --from-key a --limit 1 -w {format}"));
        twins.same(&format!("get nothing -w {format}"));
        twins.same(&format!("get a c --keys-only --order DESCEND -w {format}"));
        twins.same(&format!("del a --prev-kv -w {format}"));
        twins.same(&format!("del b --prefix -w {format}"));
    }
    // Bytes that are no text, a space, an empty value, and what HTML reads.
    twins.same_with(&["put", "odd <&> é\u{1}", "x\ty\"\\\u{2028}"], "");
    twins.same_with(&["put", "empty", "--", ""], "");
    twins.same_with(&["put", "typed"], "from\nstandard input\n");
    twins.same_with(&["put", "--", "-dash", "--value"], "");
    for format in ["simple", "json", "fields", "protobuf"] {
        twins.same_with(&["get", "", "--prefix", "-w", format], "");
        twins.same_with(&["get", "--from-key", "", "--limit=0x2", "-w", format], "");
    }
    twins.same("--hex get --prefix odd");
    twins.same("get --prefix odd --hex=T -w json");
    twins.same("get --prefix e --print-value-only");
    twins.same("get --from-key a --count-only -w fields");
    twins.same("get --from-key a --sort-by modify --order descend --consistency s");
    twins.same("get --from-key a --sort-by VALUE --prefix=false --keys-only");
    twins.same("put typed --ignore-value --prev-kv");
    twins.same("get typed --rev 20 -w json");
    // Three arguments are one too many, which `get` and `put` do not mind.
    twins.same("put a b c");
    twins.same("get a b c");
}

#[test]
fn transactions() {
    let twins = Twins::new();
    twins.same("put a 1");
    twins.same("put b 2");
    let txn = "val(\"a\") = \"1\"\nver(\"b\") > \"0\"\n\n\
               put a \"x y\" --prev-kv\nget 'b' \"c\\x41\"\ndel c --prev-kv\n\nget b\n\n";
    for format in ["simple", "fields", "json", "protobuf"] {
        let outcome = twins.same_with(&["txn", "-w", format], txn);
        assert_eq!(outcome.exit, Some(0));
    }
    let outcome = twins.same_with(&["txn", "--interactive"], txn);
    assert!(outcome.text().starts_with("compares:\n"), "{outcome:?}");
    for input in [
        "",
        "\n\n\n",
        "\n\n",
        "foo\n",
        "foo(\"a\") = \"b\"\n",
        "ver(a) = \"b\"\n",
        "ver(\"a\") = \"b\"\n",
        "ver(\"a\")= \"3\"\n",
        "ver(\"a\") = 3\n",
        "ver(\"a\") = \"3\n",
        "( \"a\") = \"3\"\n",
        "val(`a`)   =   `x y` rest\n\nget a\n\n\n",
        "mod(\"\\141\") < \"99\"\nc(\"a\") != \"0\"\n\nget a --hex\n\n\n",
        "\nput\n",
        "\nfoo a\n",
        "\nput a\n",
        "\nput a b c\n\n\n",
        "\nput a 1\nput a 2\n\n\n",
        "\npu a 1\nge b\nde c\n\n\n",
    ] {
        let (ours, theirs) = twins.both(&["txn"], input);
        assert_eq!(ours.text(), theirs.text(), "{input:?}");
        assert_eq!(ours.exit, theirs.exit, "{input:?}");
        // etcd's shows usage too.
        let last = |outcome: &Outcome| outcome.stderr.lines().last().map(str::to_owned);
        assert_eq!(last(&ours), last(&theirs), "{input:?}");
    }
}
