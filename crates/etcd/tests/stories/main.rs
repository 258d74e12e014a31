//! Stories: files in `testdata` that say what a client asks and what it is answered, told to a running member.
//!
//! Each file has a member of its own, so that revisions begin at 1. With the feature `real-etcd` the same files are told
//! to etcd 3.5.1: what is written there is what the real thing says, save for steps that name the reason why not.
//! `STORY=name` tells one; `STORY_UPDATE=1` writes down what ours answers, to be read and judged before it is kept.

#[path = "../edge/client.rs"]
#[allow(dead_code, reason = "made for the edge's own tests too")]
mod client;
#[path = "../cluster/harness.rs"]
#[allow(dead_code, reason = "made for clusters of several members too")]
mod harness;

mod ask;
mod say;
mod script;
mod teller;
mod words;

use std::path::{Path, PathBuf};

use harness::Cluster;
use script::Story;
use teller::Teller;
use tokio::task::LocalSet;

/// Members that run at once.
const AT_ONCE: usize = 3;

/// A member alone leads as soon as it has waited for others.
const QUICK: [&str; 4] = ["--heartbeat-interval", "10", "--election-timeout", "100"];

fn stories() -> Vec<Story> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&folder).expect("the stories can be read").map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let wanted = std::env::var("STORY").unwrap_or_default();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    paths.retain(|path| path.file_stem().is_some_and(|stem| stem.to_string_lossy().contains(&wanted)));
    assert!(!paths.is_empty(), "no story is named like {wanted}");
    let compat = folder.join("../../../COMPAT.md");
    let excluded = std::fs::read_to_string(compat).expect("COMPAT.md can be read");
    paths.into_iter().map(|path| Story::read(path, &excluded)).collect()
}

/// Tells one story to a member of its own; what went otherwise than written.
async fn tell(story: &Story, program: PathBuf, is_real: bool) -> Vec<String> {
    let mut cluster = Cluster::plan_of(&format!("story-{}", story.name), vec![program], &QUICK);
    cluster.start_all();
    cluster.leader().await;
    let mut teller = Teller::new(cluster.members[0].client_port).await;
    let mut wrong = Vec::new();
    let mut answers = Vec::new();
    // What 3.5 answers otherwise may change it otherwise too, or end it.
    for step in story.steps.iter().filter(|step| !(is_real && step.not_in_etcd_3_5)) {
        let said = teller.tell(step).await;
        if said != step.expected {
            wrong.push(format!("{}:{}\n{}", story.path.display(), step.line, difference(&step.expected, &said)));
        }
        answers.push(said);
    }
    if let Some(left) = teller.unheard().await {
        wrong.push(format!("{}: a stream was told what the story does not say: {left}", story.path.display()));
    }
    if !is_real && std::env::var_os("STORY_UPDATE").is_some() {
        story.write(&answers);
        wrong.clear();
    }
    wrong
}

fn difference(expected: &[String], said: &[String]) -> String {
    format!("  written:\n    {}\n  answered:\n    {}", expected.join("\n    "), said.join("\n    "))
}

async fn tell_all(program: &Path, is_real: bool) {
    let mut waiting = stories().into_iter();
    let mut telling = tokio::task::JoinSet::new();
    let mut wrong = Vec::new();
    let mut told = 0;
    loop {
        while telling.len() < AT_ONCE
            && let Some(story) = waiting.next()
        {
            let program = program.to_owned();
            telling.spawn_local(async move { tell(&story, program, is_real).await });
        }
        let Some(ended) = telling.join_next().await else { break };
        wrong.extend(ended.expect("a story does not panic"));
        told += 1;
    }
    assert!(told > 0);
    assert!(wrong.is_empty(), "{} steps went otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn stories_end_as_they_are_told() {
    LocalSet::new().run_until(tell_all(&harness::our_program(), false)).await;
}

#[cfg(feature = "real-etcd")]
#[tokio::test]
async fn etcd_tells_the_same_stories() {
    LocalSet::new().run_until(tell_all(&harness::real_program(), true)).await;
}
