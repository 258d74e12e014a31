//! Leases.

use crate::support::{Member, free_ports, ours, real, run, run_until};

/// Seconds left of 500 are not the same twice.
fn without_seconds(text: String) -> String {
    (480..500).fold(text, |text, left| text.replace(&left.to_string(), "500"))
}

#[test]
fn leases() {
    let [client, peer] = free_ports();
    let member = Member::alone((client, peer));
    let both = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let ours = run(&ours(), &member.endpoint, &words, "");
        let theirs = run(&real("etcdctl"), &member.endpoint, &words, "");
        (ours.map(without_seconds), theirs.map(without_seconds))
    };
    let same = |line: &str| {
        let (ours, theirs) = both(line);
        assert_eq!(ours, theirs, "{line}");
        ours.text()
    };
    // Ids differ, because time goes on; and remaining seconds may.
    let granted = run(&ours(), &member.endpoint, &["lease", "grant", "500"], "");
    let text = granted.text();
    let id = text.split(' ').nth(1).expect("an id").to_owned();
    assert_eq!(id.len(), 16);
    assert_eq!(text, format!("lease {id} granted with TTL(500s)\n"));
    let decimal = i64::from_str_radix(&id, 16).expect("hexadecimal");

    assert_eq!(same(&format!("put k1 v --lease {id}")), "OK\n");
    for format in ["simple", "json", "fields"] {
        same(&format!("lease list -w {format}"));
        same(&format!("lease keep-alive {id} --once -w {format}"));
        same(&format!("lease timetolive {id} -w {format}"));
        same(&format!("lease timetolive {id} --keys -w {format}"));
        same(&format!("lease timetolive 12 --keys -w {format}"));
        same(&format!("lease keep-alive 12 -w {format}"));
        same(&format!("get k1 -w {format}"));
    }
    let kept = run_until(&ours(), &member.endpoint, &["lease", "keep-alive", &id], "", 1);
    assert_eq!(kept, format!("lease {id} keepalived with TTL(500)"));

    let words = ["lease", "grant", "500", "-w", "json"];
    let granted = run(&ours(), &member.endpoint, &words, "").text();
    assert!(granted.contains("\"TTL\":500,\"Error\":\"\"}\n"), "{granted}");
    let fields = run(&ours(), &member.endpoint, &["--hex", "lease", "list", "-w", "fields"], "");
    assert!(fields.text().contains(&format!("\"ID\" : {id}\n")));
    assert!(!fields.text().contains(&decimal.to_string()));

    let revoked = run(&ours(), &member.endpoint, &["lease", "revoke", &id], "");
    assert_eq!(revoked.text(), format!("lease {id} revoked\n"));
    same(&format!("lease revoke {id}"));
    assert_eq!(same("get k1"), "");
    for command in ["lease list", "lease timetolive 12", "lease grant 5"] {
        // 3.5 writes the header by mistake.
        let (ours, _) = both(&format!("{command} -w protobuf"));
        assert_eq!(ours.exit, Some(4), "{command}");
        assert!(ours.stderr.starts_with("Error: marshal unsupported"));
    }
}
