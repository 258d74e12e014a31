//! How a member comes to be, as stories: new, joining, again, and what is
//! refused.

use bytes::Bytes;
use disk::{Disk, DiskFile, OpenMode, SimDisk, SimFaults};
use member::Fault;
use member::boot::{self, Opened, Start, dirs};
use member::core::{Apply, Config, Input, Outputs};
use member::log::{Identity, Log};
use prost::Message;
use proto::etcdserverpb as pb;
use raft::{Append, AppendMark, Entry, EntryKind, HardState, SnapshotMeta};
use store::Store;

const WHO: Identity = Identity { member_id: 7, cluster_id: 9 };

fn disk() -> SimDisk {
    SimDisk::new(5, SimFaults::default())
}

fn config() -> Config {
    Config {
        raft: raft::Config::new(WHO.member_id, 3),
        catch_up_entries: 10,
        read_retry_ticks: 5,
        hold_ticks: 70,
        bounds: member::core::Bounds::default(),
        backlog_bytes_max: 1 << 20,
        birth: 1,
    }
}

fn settings() -> store::Settings {
    store::Settings {
        member_id: 7,
        cluster_id: 9,
        segment_bytes: 8 << 10,
        resident_bytes: 4 << 10,
        ..Default::default()
    }
}

fn try_open(disk: &SimDisk, start: Start) -> Result<Opened<SimDisk>, Fault> {
    boot::open(disk.clone(), WHO, start, config(), settings())
}

fn open(disk: &SimDisk) -> Opened<SimDisk> {
    try_open(disk, first_start()).unwrap_or_else(|fault| panic!("a healthy disk opens: {fault}"))
}

fn refusal(disk: &SimDisk) -> String {
    match try_open(disk, first_start()) {
        Ok(_) => panic!("this must not open"),
        Err(fault) => fault.to_string(),
    }
}

/// A new cluster of this one member.
fn first_start() -> Start {
    let context = r#"{"id":7,"peerURLs":["http://m:1"],"name":"m"}"#;
    let change = proto::raftpb::ConfChange { node_id: 7, context: context.into(), ..Default::default() };
    Start::New(vec![change.encode_to_vec().into()])
}

fn put(index: u64, key: &str) -> Bytes {
    let put = Some(pb::PutRequest { key: Bytes::copy_from_slice(key.as_bytes()), ..Default::default() });
    let header = Some(pb::RequestHeader { id: index, ..Default::default() });
    pb::InternalRaftRequest { header, put, ..Default::default() }.encode_to_vec().into()
}

/// Drives a member by hand until it has nothing to do.
fn run(opened: &mut Opened<SimDisk>) -> Result<(), Fault> {
    loop {
        let mut outputs = Outputs::default();
        opened.core.take(&mut outputs);
        if outputs.is_empty() {
            return Ok(());
        }
        if let Some(mark) = opened.log.append(&outputs.appends)? {
            opened.core.step(Input::Appended(mark));
        }
        for apply in outputs.applies {
            let Apply::Entries(entries) = apply else { panic!("nobody sends a snapshot") };
            let applied = opened.store.apply(&entries, &|_| true)?;
            opened.store.flush()?;
            let changes = applied.roster.iter().filter_map(boot::raft_change).collect();
            opened.core.step(Input::Applied(member::core::Applied { index: applied.index, changes }));
        }
    }
}

fn lead(opened: &mut Opened<SimDisk>) -> Result<(), Fault> {
    run(opened)?;
    opened.core.step(Input::Campaign);
    run(opened)
}

fn write(opened: &mut Opened<SimDisk>, id: u64, key: &str) -> Result<(), Fault> {
    let proposal = member::core::Proposal { id, data: put(id, key), only_in: None };
    opened.core.step(Input::Propose(proposal));
    run(opened)
}

#[test]
fn a_new_cluster_of_one_leads_and_writes_and_goes_on_after_a_restart() {
    let disk = disk();
    assert_eq!(boot::identity(&disk).unwrap(), None);
    let mut opened = open(&disk);
    assert_eq!(opened.identity, WHO);
    lead(&mut opened).unwrap();
    for id in 1..=20 {
        write(&mut opened, id, "k").unwrap();
    }
    assert_eq!(opened.store.view().revision(), 21);
    assert_eq!(opened.store.view().conf_state().voters, [7]);
    drop(opened);
    assert_eq!(boot::identity(&disk).unwrap(), Some(WHO));
    // The revision log was not synced: what it lost comes from the log again.
    let mut again = open(&disk.restart());
    lead(&mut again).unwrap();
    assert_eq!(again.store.view().revision(), 21);
    assert_eq!(again.core.conf_state().voters, [7]);
}

#[test]
fn a_member_that_joins_starts_with_nothing_and_waits() {
    let disk = disk();
    let mut opened = try_open(&disk, Start::Join).unwrap();
    run(&mut opened).unwrap();
    assert_eq!(opened.store.applied(), (0, 0));
    assert!(opened.core.conf_state().voters.is_empty());
    opened.core.step(Input::Campaign);
    run(&mut opened).unwrap();
    assert_eq!(opened.core.status().leader, 0, "who is in no configuration does not lead");
}

#[test]
fn a_blank_log_is_begun_as_if_it_were_new() {
    let disk = disk();
    // The process ended after the log was created and before its first entry.
    Store::create(disk.clone(), dirs::STORE, settings()).unwrap();
    Log::create(disk.clone(), dirs::LOG, WHO, 1 << 20).unwrap();
    let mut opened = open(&disk);
    lead(&mut opened).unwrap();
    write(&mut opened, 1, "k").unwrap();
    assert_eq!(opened.store.view().revision(), 2);
}

#[test]
fn a_log_in_use_says_itself_whose_it_is() {
    let disk = disk();
    drop(open(&disk));
    let other = Identity { member_id: 1, cluster_id: 1 };
    let opened = boot::open(disk, other, Start::Join, config(), settings()).unwrap();
    assert_eq!(opened.identity, WHO);
}

#[test]
fn a_first_start_that_dies_at_any_operation_is_begun_again() {
    let story = |disk: &SimDisk| -> Result<u64, Fault> {
        let mut opened = try_open(disk, first_start())?;
        lead(&mut opened)?;
        write(&mut opened, 1, "k")?;
        Ok(1)
    };
    let whole = disk();
    story(&whole).unwrap();
    let operations = whole.operations();
    assert!(operations > 10, "{operations}");
    for dies_at in 1..=operations {
        let disk = SimDisk::new(dies_at, SimFaults { dies_at: Some(dies_at), ..SimFaults::default() });
        assert!(story(&disk).is_err(), "the disk died at {dies_at}");
        let disk = disk.restart();
        let mut opened = match try_open(&disk, first_start()) {
            Ok(opened) => opened,
            Err(fault) => panic!("died at {dies_at}: {fault}"),
        };
        lead(&mut opened).unwrap();
        write(&mut opened, 2, "k").unwrap();
        assert!(opened.store.view().revision() >= 2, "died at {dies_at}");
        assert_eq!(opened.core.conf_state().voters, [7], "died at {dies_at}");
    }
}

/// Receives an image, with something beside it, as every driver does.
fn receive(disk: &SimDisk, index: u64, image: &[u8], beside: &str) -> std::io::Result<()> {
    let (part, file) = boot::begin_snapshot(disk, index, 3)?;
    file.write_at(0, &[image])?;
    file.sync()?;
    boot::name_snapshot(disk, &part, index, beside.as_bytes())
}

/// A log that stands on a snapshot which Store has not installed yet. Its files are there, if there is something beside it.
/// Its index, and the image.
fn waiting_snapshot(disk: &SimDisk, beside: Option<&str>) -> (u64, Vec<u8>) {
    drop(open(disk));
    let donor = self::disk();
    let mut ahead = open(&donor);
    lead(&mut ahead).unwrap();
    for id in 1..=50 {
        write(&mut ahead, id, "k").unwrap();
    }
    let view = ahead.store.view();
    let meta = SnapshotMeta {
        index: view.applied(),
        term: view.term(),
        conf_state: boot::raft_conf_state(&view.conf_state()),
    };
    let mut image = Vec::new();
    let plan = view.image().unwrap();
    plan.write(&mut |bytes| {
        image.extend_from_slice(bytes);
        Ok(())
    })
    .unwrap();
    if let Some(beside) = beside {
        receive(disk, meta.index, &image, beside).unwrap();
    }
    let (mut log, _) = Log::open(disk.clone(), dirs::LOG, member::limits::LOG_SEGMENT_BYTES).unwrap();
    let hard_state = HardState { term: meta.term, vote: 0, commit: meta.index };
    let index = meta.index;
    let append = Append {
        mark: AppendMark { sequence: 1, index, term: meta.term },
        entries: Vec::new(),
        hard_state: Some(hard_state),
        snapshot: Some(meta),
        must_sync: true,
    };
    log.append(&[append]).unwrap();
    (index, image)
}

/// What etcd 3.5 puts beside its image: what members say of themselves. This is of the one that is opened here, and of
/// somebody who is in no roster.
fn said_beside() -> String {
    let published = r#""{\"name\":\"renamed\",\"clientURLs\":[\"http://a:2379\"]}""#;
    let attributes = |id: u64| format!(r#""{id:x}":{{"Children":{{"attributes":{{"Value":{published}}}}}}}"#);
    let members = format!(r#"{{"members":{{"Children":{{{},{}}}}}}}"#, attributes(WHO.member_id), attributes(0xabcd));
    format!(r#"{{"Root":{{"Children":{{"0":{{"Children":{members}}}}}}}}}"#)
}

#[test]
fn a_snapshot_that_waits_is_installed_at_start() {
    let disk = disk();
    waiting_snapshot(&disk, Some(""));
    let mut opened = open(&disk);
    assert_eq!(opened.store.view().revision(), 51);
    assert_eq!(disk.list(dirs::SNAPSHOTS).unwrap(), [""; 0], "its file is of no use any more");
    lead(&mut opened).unwrap();
    write(&mut opened, 99, "k").unwrap();
    assert_eq!(opened.store.view().revision(), 52);
    drop(opened);
    assert_eq!(open(&disk).store.view().revision(), 52);
}

/// etcd 3.5 keeps what members say of themselves beside its image; a crash in between does not lose it.
#[test]
fn what_came_beside_a_snapshot_is_installed_with_it() {
    let disk = disk();
    let (index, _) = waiting_snapshot(&disk, Some(&said_beside()));
    let file = disk.open(&boot::beside_path(index), OpenMode::ReadWrite).unwrap();
    let mut before = [0];
    file.read_at(7, &mut before).unwrap();
    file.write_at(7, &[b"X"]).unwrap();
    let words = refusal(&disk);
    assert!(words.contains(".snap.v2 does not match its checksum"), "{words}");
    file.write_at(7, &[&before]).unwrap();
    for _ in 0..2 {
        let view = open(&disk).store.view();
        let member = view.roster().get(WHO.member_id).unwrap();
        assert_eq!((member.name.as_str(), &member.client_urls[..]), ("renamed", &["http://a:2379".to_owned()][..]));
        assert_eq!(view.roster().get(0xabcd), None);
        assert_eq!(disk.list(dirs::SNAPSHOTS).unwrap(), [""; 0], "its files are of no use any more");
    }
}

/// A second one of the same moment takes the names of the first, which the log stands on already. Wherever the power goes,
/// there is one with what came beside it.
#[test]
fn a_snapshot_that_comes_twice_is_never_without_what_came_beside_it() {
    let whole = disk();
    let (index, image) = waiting_snapshot(&whole, Some(&said_beside()));
    let before = whole.operations();
    receive(&whole, index, &image, &said_beside()).unwrap();
    let operations = whole.operations() - before;
    assert!(operations >= 9, "{operations}");
    // What the disk keeps of what was not made durable is a matter of chance.
    for (step, seed) in (1..=operations).flat_map(|step| (0..20).map(move |seed| (step, seed))) {
        let disk = SimDisk::new(seed, SimFaults::default());
        waiting_snapshot(&disk, Some(&said_beside()));
        disk.set_faults(SimFaults { dies_at: Some(disk.operations() + step), ..SimFaults::default() });
        assert!(receive(&disk, index, &image, &said_beside()).is_err(), "the disk died at step {step}");
        let opened = try_open(&disk.restart(), first_start());
        let opened = opened.unwrap_or_else(|fault| panic!("died at step {step}, seed {seed}: {fault}"));
        let name = opened.store.view().roster().get(WHO.member_id).map(|member| member.name.clone());
        assert_eq!(name.as_deref(), Some("renamed"), "died at step {step}, seed {seed}");
    }
}

#[test]
fn a_crash_while_installing_at_start_is_tried_again() {
    let whole = disk();
    waiting_snapshot(&whole, Some(""));
    let before = whole.operations();
    drop(open(&whole));
    let operations = whole.operations() - before;
    assert!(operations > 5, "{operations}");
    for step in 1..=operations {
        let disk = disk();
        waiting_snapshot(&disk, Some(""));
        disk.set_faults(SimFaults { dies_at: Some(disk.operations() + step), ..SimFaults::default() });
        assert!(try_open(&disk, first_start()).is_err(), "the disk died at step {step}");
        let opened = try_open(&disk.restart(), first_start());
        let opened = opened.unwrap_or_else(|fault| panic!("died at step {step}: {fault}"));
        assert_eq!(opened.store.view().revision(), 51, "died at step {step}");
        assert_eq!(opened.core.conf_state().voters, [7], "died at step {step}");
    }
}

#[test]
fn a_snapshot_whose_file_is_gone_is_named() {
    let disk = disk();
    waiting_snapshot(&disk, None);
    let words = refusal(&disk);
    assert!(words.contains("snapshot at index") && words.contains("removed and added anew"), "{words}");
}

#[test]
fn old_snapshot_files_are_swept_at_start() {
    let disk = disk();
    drop(open(&disk));
    disk.create_dir(dirs::SNAPSHOTS).unwrap();
    // Also of positions that were never reached: whoever sent them was not believed, or stopped half-way.
    for index in [0, 1 << 40] {
        for name in
            [boot::snapshot_path(index), boot::beside_path(index), format!("{}.3.part", boot::snapshot_path(index))]
        {
            disk.open(&name, OpenMode::Create).unwrap();
        }
    }
    disk.open(&format!("{}/db", dirs::SNAPSHOTS), OpenMode::Create).unwrap();
    drop(open(&disk));
    assert_eq!(disk.list(dirs::SNAPSHOTS).unwrap(), ["db"], "what is not ours stays");
}

fn remove_all(disk: &SimDisk, dir: &str) {
    for name in disk.list(dir).unwrap() {
        disk.remove(&format!("{dir}/{name}")).unwrap();
    }
}

/// A member that has written and stopped.
fn with_data() -> SimDisk {
    let disk = disk();
    let mut opened = open(&disk);
    lead(&mut opened).unwrap();
    for id in 1..=5 {
        write(&mut opened, id, "k").unwrap();
    }
    opened.store.sync().unwrap();
    disk
}

#[test]
fn a_store_whose_log_is_gone_is_not_wiped() {
    let disk = with_data();
    remove_all(&disk, dirs::LOG);
    let words = refusal(&disk);
    assert!(words.contains("there is no write-ahead log in member/log"), "{words}");
    assert!(!disk.list(dirs::STORE).unwrap().is_empty(), "the data is still there");
}

#[test]
fn a_log_whose_store_is_gone_is_refused() {
    let disk = with_data();
    remove_all(&disk, dirs::STORE);
    let words = refusal(&disk);
    assert!(words.contains(dirs::STORE), "{words}");
}

#[test]
fn two_logs_of_different_times_are_refused() {
    // The revision log of a member that went on, the write-ahead log of before.
    let disk = with_data();
    remove_all(&disk, dirs::LOG);
    Log::create(disk.clone(), dirs::LOG, WHO, 1 << 20).unwrap();
    let words = refusal(&disk);
    assert!(words.contains("has applied index 7") && words.contains("removed and added anew"), "{words}");
}

#[test]
fn a_log_that_ends_before_its_own_commit_is_refused() {
    let disk = disk();
    Store::create(disk.clone(), dirs::STORE, settings()).unwrap();
    let mut log = Log::create(disk.clone(), dirs::LOG, WHO, 1 << 20).unwrap();
    let entry = Entry { kind: EntryKind::Normal, term: 1, index: 1, data: Bytes::new() };
    let append = Append {
        mark: AppendMark::default(),
        entries: vec![entry],
        hard_state: Some(HardState { term: 1, vote: 7, commit: 30 }),
        snapshot: None,
        must_sync: true,
    };
    log.append(&[append]).unwrap();
    drop(log);
    let words = refusal(&disk);
    assert!(words.contains("ends at index 1, but index 30 was committed"), "{words}");
}
