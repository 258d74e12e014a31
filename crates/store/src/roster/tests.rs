use proto::raftpb::{ConfChange, ConfChangeSingle, ConfChangeType, ConfChangeV2};

use super::*;

fn entry(kind: ConfChangeType, id: u64, context: &str) -> Vec<u8> {
    let context = context.to_owned().into();
    ConfChange { id: 99, r#type: kind.into(), node_id: id, context }.encode_to_vec()
}

/// `add 1 a`: a change as its log entry would carry it.
fn command(text: &str) -> Command {
    let words: Vec<&str> = text.split(' ').collect();
    let id: u64 = words[1].parse().unwrap();
    let urls = words.get(2).map_or(String::new(), |name| format!("\"http://{name}:2380\""));
    let plain = format!(r#"{{"id":{id},"peerURLs":[{urls}]}}"#);
    let learner = format!(r#"{{"id":{id},"peerURLs":[{urls}],"isLearner":true}}"#);
    let promote = format!(r#"{{"id":{id},"peerURLs":null,"isPromote":true}}"#);
    use ConfChangeType::*;
    let data = match words[0] {
        "add" => entry(ConfChangeAddNode, id, &plain),
        "learner" => entry(ConfChangeAddLearnerNode, id, &learner),
        "promote" => entry(ConfChangeAddNode, id, &promote),
        "update" => entry(ConfChangeUpdateNode, id, &plain),
        "remove" => entry(ConfChangeRemoveNode, id, ""),
        other => panic!("{other} is no change"),
    };
    Command::decode(&data).unwrap()
}

fn apply(roster: &mut Roster, text: &str) -> Result<Change, Refusal> {
    roster.apply(&command(text), 1)
}

#[track_caller]
fn accepted(roster: &mut Roster, text: &str, kind: ChangeKind) {
    let id = command(text).id;
    assert_eq!(apply(roster, text), Ok(Change { kind, id }), "{text}");
}

#[track_caller]
fn refused(roster: &mut Roster, text: &str, why: Refusal) {
    let before = roster.clone();
    assert_eq!(apply(roster, text), Err(why), "{text}");
    assert_eq!(*roster, before, "a refused change changes nothing");
}

#[test]
fn a_cluster_grows_and_shrinks() {
    let mut roster = Roster::default();
    accepted(&mut roster, "add 3 c", ChangeKind::AddVoter);
    accepted(&mut roster, "add 1 a", ChangeKind::AddVoter);
    refused(&mut roster, "add 1 x", Refusal::MemberExist);
    refused(&mut roster, "add 4 a", Refusal::PeerUrlExist);
    refused(&mut roster, "promote 1", Refusal::MemberNotLearner);
    refused(&mut roster, "promote 2", Refusal::MemberNotFound);

    accepted(&mut roster, "learner 2 b", ChangeKind::AddLearner);
    refused(&mut roster, "learner 5 e", Refusal::TooManyLearners);
    assert_eq!(roster.conf_state().voters, [1, 3]);
    assert_eq!(roster.conf_state().learners, [2]);

    accepted(&mut roster, "update 2 bb", ChangeKind::Update);
    assert!(roster.get(2).unwrap().is_learner, "an update promotes nobody");
    assert_eq!(roster.get(2).unwrap().peer_urls, ["http://bb:2380"]);
    refused(&mut roster, "update 2 c", Refusal::PeerUrlExist);
    accepted(&mut roster, "update 2 bb", ChangeKind::Update);
    refused(&mut roster, "update 9 z", Refusal::MemberNotFound);

    accepted(&mut roster, "promote 2", ChangeKind::AddVoter);
    assert_eq!(roster.conf_state().voters, [1, 2, 3]);
    assert!(roster.conf_state().learners.is_empty());
    assert_eq!(roster.get(2).unwrap().peer_urls, ["http://bb:2380"]);

    accepted(&mut roster, "remove 1", ChangeKind::Remove);
    refused(&mut roster, "remove 1", Refusal::MemberNotFound);
    refused(&mut roster, "add 1 a", Refusal::MemberNotFound);
    assert!(roster.is_removed(1));
    assert_eq!(roster.conf_state().voters, [2, 3]);
    accepted(&mut roster, "add 6 a", ChangeKind::AddVoter);
    assert_eq!(roster.to_wire().iter().map(|member| member.id).collect::<Vec<_>>(), [2, 3, 6]);
}

#[test]
fn a_member_says_who_it_is() {
    let mut roster = Roster::default();
    accepted(&mut roster, "add 1 a", ChangeKind::AddVoter);
    assert!(roster.set_attributes(1, "one".into(), vec!["http://a:2379".into()]));
    assert!(!roster.set_attributes(2, "two".into(), vec![]));
    roster.set_cluster_version("3.7.0".into());
    roster.set_downgrade(Downgrade { target_version: "3.6.0".into(), enabled: true });
    assert_eq!(roster.get(1).unwrap().name, "one");
    assert_eq!(roster.cluster_version(), Some("3.7.0"));
    assert!(roster.downgrade().unwrap().enabled);
}

#[test]
fn json_is_what_go_writes() {
    let mut member = Member { id: 10276657743932975437, ..Member::default() };
    member.peer_urls = vec!["http://localhost:2380".into()];
    let fresh = r#"{"id":10276657743932975437,"peerURLs":["http://localhost:2380"]}"#;
    assert_eq!(member_to_json(&member), fresh.as_bytes());
    assert_eq!(member_from_json(fresh.as_bytes()), Ok(member.clone()));

    member.is_learner = true;
    member.name = "default".into();
    member.client_urls = vec!["http://localhost:2379".into()];
    let full = r#"{"id":10276657743932975437,"peerURLs":["http://localhost:2380"],"isLearner":true,"name":"default","clientURLs":["http://localhost:2379"]}"#;
    assert_eq!(member_to_json(&member), full.as_bytes());
    assert_eq!(member_from_json(full.as_bytes()), Ok(member));

    let downgrade = Downgrade { target_version: "3.6.0".into(), enabled: true };
    let json = br#"{"target-version":"3.6.0","enabled":true}"#;
    assert_eq!(downgrade_to_json(&downgrade), json);
    assert_eq!(downgrade_from_json(json), Ok(downgrade));

    let state = ConfState { voters: vec![1, 2], ..ConfState::default() };
    let json = br#"{"voters":[1,2],"auto_leave":false}"#;
    assert_eq!(conf_state_to_json(&state), json);
    assert_eq!(conf_state_from_json(json), Ok(state));
}

#[test]
fn a_malformed_change_is_said_so() {
    use ConfChangeType::*;
    let good = r#"{"id":1,"peerURLs":["http://a:1"]}"#;
    assert!(Command::decode(&entry(ConfChangeAddNode, 1, good)).is_ok());
    let other_id = Command::decode(&entry(ConfChangeAddNode, 2, good)).unwrap_err();
    assert!(other_id.to_string().contains("is for 2 but carries member 1"), "{other_id}");
    assert!(Command::decode(&entry(ConfChangeAddNode, 1, "{")).is_err());
    assert!(Command::decode(b"\xff\xff").is_err());
    let unknown = ConfChange { r#type: 77, ..ConfChange::default() };
    assert!(Command::decode(&unknown.encode_to_vec()).is_err());
}

#[test]
fn the_newer_form_of_a_change_may_hold_one() {
    let one = ConfChangeSingle { r#type: ConfChangeType::ConfChangeRemoveNode.into(), node_id: 7 };
    let mut change = ConfChangeV2 { changes: vec![one], ..ConfChangeV2::default() };
    let command = Command::decode_v2(&change.encode_to_vec()).unwrap();
    assert_eq!((command.kind, command.id), (ChangeKind::Remove, 7));
    change.changes.push(one);
    assert!(Command::decode_v2(&change.encode_to_vec()).is_err());
}
