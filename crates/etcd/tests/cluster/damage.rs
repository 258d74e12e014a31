//! Damage on disk. What a crash can leave is cut; what it cannot is named with
//! file and place, and stops that member alone.

use crate::harness::{self, Cluster};
use crate::load::{self, Load};
use disk::{OsDisk, OsFile, SegmentReader, SegmentWriter, Standing};
use proto::etcdserverpb::PutRequest;
use std::path::{Path, PathBuf};

/// The newest file of a directory, by name.
fn newest(directory: &Path) -> PathBuf {
    let entries = std::fs::read_dir(directory).expect("the directory is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.pop().expect("the directory has files")
}

/// A cluster that has been killed after some writes that every member has.
async fn all_dead(title: &str) -> (Cluster, load::Acknowledged) {
    let mut cluster = Cluster::start(title, 3, &[]).await;
    let load = Load::start(&cluster, "load", 4, &[0, 1, 2]);
    load.goes_on(200).await;
    let acknowledged = load.stop().await;
    cluster.same_everywhere().await;
    cluster.kill_all();
    (cluster, acknowledged)
}

/// The end of one member's log is not as it was written.
async fn torn(title: &str, tear: impl Fn(&Path)) {
    let (mut cluster, acknowledged) = all_dead(title).await;
    let path = newest(&cluster.members[1].data.join("member/log"));
    tear(&path);
    cluster.start_all();
    cluster.leader().await;
    cluster.same_everywhere().await;
    load::expect_all(&cluster.members[1].client(), "load", &acknowledged).await;
    let said = cluster.members[1].said();
    let cut = said.lines().find(|line| line.contains("torn by a crash and has been cut"));
    let cut = cut.unwrap_or_else(|| panic!("nothing is said of the cut"));
    assert!(cut.contains(path.file_name().and_then(|name| name.to_str()).expect("a name")), "{cut}");
}

/// A segment and where its last frame ends: behind it may be room that was set
/// aside, which reads as zeros.
fn read_to_the_end(path: &Path) -> (OsDisk, SegmentReader<OsFile>) {
    let (directory, name) = (path.parent().expect("a directory"), path.file_name().expect("a name").to_string_lossy());
    let disk = OsDisk::new(directory).expect("the directory is there");
    let mut reader = SegmentReader::open(&disk, &name, Standing::Last).expect("a segment");
    while reader.next().expect("whole frames").is_some() {}
    (disk, reader)
}

/// The bytes of a segment up to its end.
fn written(path: &Path) -> Vec<u8> {
    let (_, reader) = read_to_the_end(path);
    let mut bytes = std::fs::read(path).expect("the file is there");
    bytes.truncate(reader.tail().offset as usize);
    bytes
}

/// Writes one more frame, as the member would have, and returns the segment up
/// to its end with the place where that frame begins.
fn one_more_frame(path: &Path) -> (Vec<u8>, usize) {
    let (disk, reader) = read_to_the_end(path);
    let name = path.file_name().expect("a name").to_string_lossy();
    let mut writer = SegmentWriter::resume(&disk, &name, &reader.tail()).expect("the segment goes on");
    let start = writer.len() as usize;
    writer.append(&[(3, &[&[7; 3_000]])]).expect("room");
    (written(path), start)
}

/// The last frame had not been written whole when the machine stopped.
#[tokio::test]
async fn half_a_frame_at_the_end_of_the_log_is_cut() {
    let _turn = harness::together().await;
    let tear = |path: &Path| {
        let (bytes, start) = one_more_frame(path);
        std::fs::write(path, &bytes[..start + 1_500]).expect("the log can be written");
    };
    torn("torn-frame", tear).await;
}

/// The file had its length, but one sector of the last frame never arrived.
#[tokio::test]
async fn a_lost_sector_at_the_end_of_the_log_is_cut() {
    let _turn = harness::together().await;
    let tear = |path: &Path| {
        let (mut bytes, start) = one_more_frame(path);
        let sector = (start + 1_000) / 512 * 512;
        bytes[sector..sector + 512].fill(0);
        std::fs::write(path, bytes).expect("the log can be written");
    };
    torn("torn-sector", tear).await;
}

/// The revision log is written behind the write-ahead log, which has what it lacks; so there is nothing to be said of it.
#[tokio::test]
async fn half_a_frame_at_the_end_of_the_revision_log_is_cut() {
    let _turn = harness::together().await;
    let (mut cluster, acknowledged) = all_dead("torn-revisions").await;
    let path = newest(&cluster.members[1].data.join("member/store"));
    let (bytes, start) = one_more_frame(&path);
    std::fs::write(&path, &bytes[..start + 1_500]).expect("the log can be written");
    cluster.start_all();
    cluster.leader().await;
    cluster.same_everywhere().await;
    load::expect_all(&cluster.members[1].client(), "load", &acknowledged).await;
    // What comes next is where the torn frame was, and is read again.
    let put = PutRequest { key: "next".into(), value: vec![7; 3_000].into(), ..PutRequest::default() };
    cluster.client().put(put).await.expect("a put");
    cluster.same_everywhere().await;
    cluster.kill_all();
    cluster.start_all();
    cluster.leader().await;
    cluster.same_everywhere().await;
    load::expect_all(&cluster.members[1].client(), "load", &acknowledged).await;
    let kept = harness::appears(&cluster.members[1].client(), "next").await;
    assert_eq!(kept.value, vec![7; 3_000]);
}

/// A cluster with some writes and one follower that is dead, and had written
/// more to its revision log than the first half of its write-ahead log says.
async fn one_dead(title: &str) -> (Cluster, usize, load::Acknowledged) {
    let mut cluster = Cluster::start(title, 3, &[]).await;
    let load = Load::start(&cluster, "load", 4, &[0, 1, 2]);
    load.goes_on(200).await;
    let dead = cluster.others(cluster.leader().await)[0];
    let data = cluster.members[dead].data.clone();
    harness::until("the revision log is written", async || {
        let length = |directory: &str| std::fs::metadata(newest(&data.join(directory))).map_or(0, |file| file.len());
        (length("member/store") > 20_000).then_some(())
    })
    .await;
    cluster.members[dead].kill();
    (cluster, dead, load.stop().await)
}

/// One bit in the middle of a file: no crash does that.
async fn a_flipped_bit(title: &str, directory: &str) {
    let (mut cluster, dead, acknowledged) = one_dead(title).await;
    let path = newest(&cluster.members[dead].data.join(directory));
    let middle = written(&path).len() / 2;
    let mut bytes = std::fs::read(&path).expect("the file is there");
    bytes[middle] ^= 0x10;
    std::fs::write(&path, &bytes).expect("the file can be written");

    let said_before = cluster.members[dead].said().len();
    cluster.members[dead].start();
    let status = cluster.members[dead].ended().await;
    assert!(!status.success(), "it stops with {status}");
    let said = cluster.members[dead].said()[said_before..].to_owned();
    let plain: Vec<&str> = said.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(plain.len(), 1, "one plain line: {plain:#?}");
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(plain[0].contains(name), "{name} is not in {:?}", plain[0]);
    let place = plain[0].split("offset ").nth(1).and_then(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    });
    let place = place.unwrap_or_else(|| panic!("no offset in {:?}", plain[0]));
    assert!(place <= middle && middle - place < 512, "byte {middle} was flipped, {place} is named");
    assert!(std::fs::read(&path).unwrap() == bytes, "the damaged file was changed");

    // The others do not care.
    let others = cluster.others(dead);
    let load = Load::start(&cluster, "after", 4, &others);
    load.goes_on(100).await;
    let after = load.stop().await;
    let client = cluster.client_of(&others);
    load::expect_all(&client, "after", &after).await;
    load::expect_all(&client, "load", &acknowledged).await;
}

#[tokio::test]
async fn a_flipped_bit_in_the_log_stops_the_member() {
    let _turn = harness::together().await;
    a_flipped_bit("flipped-log", "member/log").await;
}

#[tokio::test]
async fn a_flipped_bit_in_the_store_stops_the_member() {
    let _turn = harness::together().await;
    a_flipped_bit("flipped-store", "member/store").await;
}

/// Acknowledged entries are cut off the end of one log: that member says so,
/// or is brought up to date, but never forgets in silence what it promised.
#[tokio::test]
async fn a_log_that_lost_its_end_is_not_believed() {
    let _turn = harness::together().await;
    let (mut cluster, dead, acknowledged) = one_dead("lost-end").await;
    let path = newest(&cluster.members[dead].data.join("member/log"));
    let bytes = written(&path);
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("the log can be written");
    let said_before = cluster.members[dead].said().len();
    cluster.members[dead].start();
    let status = cluster.members[dead].ended().await;
    assert!(!status.success(), "it stops with {status}");
    let said = cluster.members[dead].said()[said_before..].to_owned();
    assert!(said.contains("must be removed and added anew"), "{said}");
    let client = cluster.client_of(&cluster.others(dead));
    load::expect_all(&client, "load", &acknowledged).await;
}
