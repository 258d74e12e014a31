//! The story of `docs/locks.md`, as a reader would paste it: each block of
//! commands is run, by etcd's own etcdctl, and must print the block below it.

use crate::harness::{self, Cluster};
use std::path::Path;
use tokio::process::Command;

/// Blocks of commands with what they print.
fn blocks(text: &str) -> Vec<(String, String)> {
    let fenced: Vec<(&str, &str)> = text
        .split("```")
        .skip(1)
        .step_by(2)
        .map(|block| block.split_once('\n').expect("a block begins with its kind"))
        .collect();
    fenced
        .windows(2)
        .filter(|pair| pair[0].0 == "sh" && pair[1].0 == "text")
        .map(|pair| (pair[0].1.to_owned(), pair[1].1.to_owned()))
        .collect()
}

#[tokio::test]
async fn the_story_of_the_docs() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("fenced", 3, &[]).await;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/locks.md");
    let blocks = blocks(&std::fs::read_to_string(docs).expect("the page"));
    assert_eq!(blocks.len(), 3);
    let tools = harness::real_program();
    let tools = tools.parent().expect("a directory").display();
    let path = format!("{tools}:{}", std::env::var("PATH").unwrap_or_default());
    for (commands, printed) in blocks {
        let ran = Command::new("sh")
            .args(["-c", &commands])
            .env("PATH", &path)
            .env("ETCDCTL_ENDPOINTS", format!("127.0.0.1:{}", cluster.members[0].client_port))
            .output();
        let ran = tokio::time::timeout(harness::PATIENCE, ran).await.expect("in time").expect("there is a shell");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(String::from_utf8_lossy(&ran.stdout), printed, "{commands}{said}");
        assert!(ran.status.success(), "{commands}{said}");
    }
}
