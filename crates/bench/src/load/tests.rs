//! The load against a server that is not ours.

mod server;

use proto::etcdserverpb::{PutRequest, PutResponse};

use super::*;
use server::{Manner, with_server};

fn load(kind: Kind, requests: u64) -> Load {
    Load { kind, connections: 3, in_flight: 20, extent: Extent::Requests(requests) }
}

#[test]
fn puts_then_ranges_are_all_answered_rightly() {
    with_server(Manner::Right, |endpoints| {
        let keyspace = Rc::new(Keyspace::new(50, 256));
        for kind in [Kind::Put, Kind::Range, Kind::SerializableRange] {
            let outcome = run(endpoints, &keyspace, &load(kind, 500)).unwrap();
            assert_eq!(outcome.failures, BTreeMap::new());
            assert_eq!(outcome.answered, 500);
            assert_eq!(outcome.latencies.count(), 500);
            assert!(outcome.seconds > 0.0 && outcome.rate() > 0.0);
        }
    });
}

#[test]
fn a_timed_load_ends_by_itself_and_leaves_the_warm_up_out() {
    with_server(Manner::Right, |endpoints| {
        let keyspace = Rc::new(Keyspace::new(50, 256));
        let time = Duration::from_millis(100);
        let extent = Extent::Time { warm_up: time, measured: time };
        let outcome = run(endpoints, &keyspace, &Load { extent, ..load(Kind::Put, 0) }).unwrap();
        assert_eq!(outcome.failures, BTreeMap::new());
        assert!((outcome.seconds - 0.1).abs() < 1e-9);
        assert!(outcome.latencies.count() < outcome.answered);
    });
}

#[test]
fn wrong_answers_are_failures_with_words() {
    let keyspace = Rc::new(Keyspace::new(50, 256));
    let failed = |manner, kind| {
        let outcome = with_server(manner, |endpoints| run(endpoints, &keyspace, &load(kind, 200)).unwrap());
        assert_eq!(outcome.answered + outcome.failures.values().sum::<u64>(), 200);
        outcome.failures
    };
    let stuck = failed(Manner::StuckRevision, Kind::Put);
    assert!(stuck.contains_key("a put made revision 1, 1 was there before it began"), "{stuck:?}");
    assert_eq!(failed(Manner::Refuses, Kind::Put), [("grpc-status 8 too many".to_owned(), 200)].into());
    assert_eq!(failed(Manner::Right, Kind::Range), [("a range of one key found 0".to_owned(), 200)].into());
}

#[test]
fn a_lost_connection_ends_the_load() {
    with_server(Manner::Closes, |endpoints| {
        let keyspace = Rc::new(Keyspace::new(50, 256));
        assert!(run(endpoints, &keyspace, &load(Kind::Put, 2000)).is_err());
        let nobody = ["127.0.0.1:1".to_owned()];
        assert!(run(&nobody, &keyspace, &load(Kind::Put, 1)).is_err());
    });
}

#[test]
fn a_single_call() {
    with_server(Manner::Right, |endpoints| {
        let put = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
        let reply: PutResponse = call(&endpoints[0], Kind::Put.path(), &put).unwrap();
        assert_eq!(reply.header.unwrap().revision, 2);
    });
}

#[test]
fn leases_are_renewed_on_streams() {
    with_server(Manner::Right, |endpoints| {
        let keyspace = Rc::new(Keyspace::new(50, 256));
        let granted = run(endpoints, &keyspace, &Load::fill(Kind::Grant, 50)).unwrap();
        assert_eq!((granted.answered, granted.failures), (50, BTreeMap::new()));
        // More bytes than the first window of a stream.
        let outcome = run(endpoints, &keyspace, &load(Kind::KeepAlive, 20_000)).unwrap();
        assert_eq!((outcome.answered, outcome.failures), (20_000, BTreeMap::new()));
        assert_eq!(outcome.latencies.count(), 20_000);
    });
}

#[test]
fn a_renewal_that_is_not_what_was_granted_is_a_failure() {
    let keyspace = Rc::new(Keyspace::new(50, 256));
    with_server(Manner::ShortLease, |endpoints| {
        run(endpoints, &keyspace, &Load::fill(Kind::Grant, 50)).unwrap();
        let outcome = run(endpoints, &keyspace, &load(Kind::KeepAlive, 200)).unwrap();
        assert_eq!((outcome.answered, outcome.failures.values().sum::<u64>()), (0, 200));
        let words = outcome.failures.keys().next().unwrap();
        assert!(words.contains("seconds instead of"), "{words}");
    });
    with_server(Manner::EndsStream, |endpoints| {
        run(endpoints, &keyspace, &Load::fill(Kind::Grant, 50)).unwrap();
        let error = run(endpoints, &keyspace, &load(Kind::KeepAlive, 200)).err().unwrap().to_string();
        assert!(error.contains("the server ended the stream"), "{error}");
    });
}

fn watch(manner: Manner, in_flight: usize) -> Result<Outcome> {
    let keyspace = Rc::new(Keyspace::new(50, 256));
    let load = Load { connections: 2, in_flight, ..load(Kind::Watch, 30) };
    with_server(manner, |endpoints| {
        run(endpoints, &keyspace, &Load::fill(Kind::Put, 70)).unwrap();
        run(endpoints, &keyspace, &load)
    })
}

#[test]
fn every_watcher_is_told_of_every_put() {
    for in_flight in [1, 8] {
        let outcome = watch(Manner::Right, in_flight).unwrap();
        assert_eq!((outcome.answered, outcome.failures), (2 * 100 * 30, BTreeMap::new()));
        assert_eq!(outcome.latencies.count(), 2 * 100 * 30);
    }
}

#[test]
fn one_wrong_event_ends_the_load() {
    for (manner, words) in [
        (Manner::MissesEvents, "where 10 is next"),
        (Manner::TellsTwice, "told of version 10 where 11 is next"),
        (Manner::KeepsQuiet, "told of version 11 where 10 is next"),
        (Manner::EndsStream, "the server ended the stream"),
        // By whichever is read first, the put's answer or an event of it.
        (Manner::StuckRevision, "was there before it"),
    ] {
        let error = watch(manner, 8).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_timed_watch_ends_by_itself() {
    with_server(Manner::Right, |endpoints| {
        let keyspace = Rc::new(Keyspace::new(50, 256));
        let time = Duration::from_millis(100);
        let extent = Extent::Time { warm_up: time, measured: time };
        let outcome = run(endpoints, &keyspace, &Load { extent, ..load(Kind::Watch, 0) }).unwrap();
        assert!((outcome.seconds - 0.1).abs() < 1e-9);
        assert!(outcome.latencies.count() < outcome.answered);
        assert_eq!(outcome.answered % 300, 0, "everybody was told of the same");
    });
}
