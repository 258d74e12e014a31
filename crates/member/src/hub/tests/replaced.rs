//! A snapshot replaces the Store under the watches.

use super::*;

/// Another member's store, further on; this one is replaced by it.
fn replace(story: &mut Story, requests: Vec<pb::InternalRaftRequest>) {
    let ahead = SimDisk::new(4, SimFaults::default());
    let mut other = Store::create(ahead, "store", settings()).unwrap();
    let entries: Vec<Entry> = requests.into_iter().zip(1..).map(|(request, index)| entry(index, request)).collect();
    other.apply(&entries, &|_| false).unwrap();
    let mut image = Vec::new();
    let plan = other.view().image().unwrap();
    plan.write(&mut |bytes| {
        image.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    let (index, term) = other.applied();
    story.store.install(Image(image), index, term, other.view().conf_state()).unwrap();
    story.hub.replaced(story.store.view());
    story.listen();
    assert!(story.disk.operations() > 0);
}

struct Image(Vec<u8>);

impl bolt::ReadAt for Image {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let from = offset as usize;
        let part = self.0.get(from..from + buffer.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// `count` puts of `a`: revisions 2 to count + 1.
fn puts(count: i64) -> Vec<pb::InternalRaftRequest> {
    (0..count).map(|number| put("a", &number.to_string())).collect()
}

fn expected(revisions: std::ops::RangeInclusive<i64>) -> Vec<String> {
    revisions.map(|revision| format!("a@{revision}")).collect()
}

#[test]
fn a_synced_watch_reads_what_the_snapshot_brought_and_goes_on() {
    let mut story = Story::begins();
    story.happens(puts(3));
    story.watch(watch("a", "", 0));
    replace(&mut story, puts(10));
    story.catch_up();
    story.put("a", "live");
    assert_eq!(story.events()[&0], expected(5..=12), "each once, in order (etcd #15271)");
}

#[test]
fn a_watch_that_was_told_nothing_does_not_go_back_in_time() {
    let mut story = Story::begins();
    story.watch(watch("a", "", 0));
    story.happens(vec![put("b", "x"), put("b", "y"), put("b", "z")]);
    replace(&mut story, [vec![put("b", "x"), put("b", "y"), put("b", "z")], puts(2)].concat());
    story.catch_up();
    assert_eq!(story.events()[&0], expected(5..=6));
}

#[test]
fn a_watch_that_was_behind_reads_on_where_it_was() {
    let mut story = Story::begins();
    story.happens(puts(3));
    story.watch(watch("a", "", 3));
    replace(&mut story, puts(10));
    story.catch_up();
    assert_eq!(story.events()[&0], expected(3..=11));
}

#[test]
fn a_watch_from_the_future_still_waits_for_it() {
    let mut story = Story::begins();
    story.happens(puts(3));
    story.watch(watch("a", "", 13));
    story.watch(watch("a", "", 8));
    replace(&mut story, puts(10));
    story.catch_up();
    story.put("a", "twelve");
    story.put("a", "thirteen");
    let heard = story.events();
    assert_eq!(heard[&0], expected(13..=13), "etcd #20221");
    assert_eq!(heard[&1], expected(8..=13), "its revision has come with the snapshot");
}

#[test]
fn a_watch_whose_next_revision_is_compacted_in_the_snapshot_ends() {
    let mut story = Story::begins();
    story.happens(puts(3));
    story.watch(watch("a", "", 0));
    story.watch(watch("a", "", 9));
    story.heard();
    replace(&mut story, [puts(10), vec![compact(8)]].concat());
    story.catch_up();
    assert_eq!(
        story.heard(),
        ["1: watch 0 canceled at 0 compacted 8", "1: watch 1 at 11: PUT a=7@9, PUT a=8@10, PUT a=9@11"]
    );
}

#[test]
fn progress_waits_until_the_snapshot_is_told() {
    let mut story = Story::begins();
    story.watch(pb::WatchCreateRequest { progress_notify: true, ..watch("a", "", 0) });
    replace(&mut story, puts(5));
    story.heard();
    story.ask_progress();
    story.time(2 * INTERVAL_MS);
    assert_eq!(story.heard(), [""; 0], "what it would cover has not been told");
    story.catch_up();
    story.ask_progress();
    assert_eq!(story.heard().last().unwrap(), "1: watch -1 at 6");
}

#[test]
fn two_snapshots_close_together_are_told_as_one_history() {
    let mut story = Story::begins();
    story.watch(watch("a", "", 0));
    replace(&mut story, puts(5));
    replace(&mut story, puts(9));
    story.catch_up();
    assert_eq!(story.events()[&0], expected(2..=10));
}
