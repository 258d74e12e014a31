//! Flags that describe another cluster than the data directory holds: as with etcd, the directory counts. Here it is said.

use crate::config::{Config, InitialCluster, Resolve, Url};
use crate::logging::{Level, Note};
use store::roster::{self, Member};

/// What to say to who started a member that has data, of the flags given, its id and the members that it knows.
///
/// A token is not stored, but it went into the ids of a cluster's first members, with their peer URLs of that time. Where
/// each of those has been replaced or has other peer URLs since, the right token looks as strange as a wrong one; it is
/// ignored all the same, and what is said is true of both.
pub fn notes(config: &Config, me: u64, members: &[&Member], resolve: Resolve<'_>) -> Vec<Note> {
    // A crash can come between the first entries and what they do.
    if members.is_empty() {
        return Vec::new();
    }
    let is_given = |flag: &str| config.given_for_first_start.contains(&flag);
    let mut notes = Vec::new();
    let token = config.initial_cluster_token.as_str();
    if is_given("initial-cluster-token") && !members.iter().any(|member| is_made_with(token, member)) {
        let note = note(Level::Warn, config, "initial-cluster-token", token);
        notes.push(note.with("reason", "no member has the id that it makes with that member's peer URLs of today"));
    }
    if is_given("initial-advertise-peer-urls")
        && let Some(me) = members.iter().find(|member| member.id == me)
        && !config.is_advertised(&me.peer_urls, resolve)
    {
        let urls: Vec<String> = config.initial_advertise_peer_urls.iter().map(Url::to_string).collect();
        let urls = urls.join(",");
        let reason = format!(
            "the others look for this member at {}, until they are told: etcdctl member update {:x} --peer-urls={urls} (which \
             members of our own do not carry out yet, only etcd's)",
            sorted(me).join(","),
            me.id
        );
        notes.push(note(Level::Warn, config, "initial-advertise-peer-urls", &urls).with("reason", reason));
    }
    // It grows old as members come and go, so this is worth less.
    if is_given("initial-cluster") && !is_same(&config.initial_cluster, members) {
        let present: Vec<String> = members.iter().flat_map(|member| pairs(member)).collect();
        let note = note(Level::Info, config, "initial-cluster", &config.initial_cluster);
        notes.push(note.with("reason", "the cluster has other members").with("members", present.join(",")));
    }
    notes
}

fn note(level: Level, config: &Config, flag: &str, value: &str) -> Note {
    Note::new(level, "flag is ignored: the data directory holds a member already")
        .with("flag", flag)
        .with("value", value)
        .with("data-dir", config.data_dir.display().to_string())
}

fn is_made_with(token: &str, member: &Member) -> bool {
    roster::identity::member_id(&sorted(member), token, None) == member.id
}

fn sorted(member: &Member) -> Vec<String> {
    let mut urls = member.peer_urls.clone();
    urls.sort();
    urls
}

fn pairs(member: &Member) -> Vec<String> {
    sorted(member).iter().map(|url| format!("{}={url}", member.name)).collect()
}

/// Whether the flag names these members. One that has not started yet has no name.
fn is_same(flag: &str, members: &[&Member]) -> bool {
    let Ok(InitialCluster { members: named }) = InitialCluster::parse(flag) else { return false };
    let has = |member: &&Member| {
        let urls = |urls: &Vec<Url>| urls.iter().map(Url::to_string).collect::<Vec<_>>();
        let mut alike = named.iter().filter(|(_, listed)| urls(listed) == sorted(member));
        alike.any(|(name, _)| member.name.is_empty() || *name == member.name)
    };
    named.len() == members.len() && members.iter().all(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{self, Action};

    fn config(line: &str) -> Config {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match flags::parse(&arguments, &[]) {
            Ok(Action::Run(config, _)) => *config,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn member(name: &str, port: u16, token: &str) -> Member {
        let peer_urls = vec![format!("http://127.0.0.1:{port}")];
        let id = roster::identity::member_id(&peer_urls, token, None);
        Member { id, name: name.to_owned(), peer_urls, client_urls: Vec::new(), is_learner: false }
    }

    fn ignored(line: &str, members: &[Member]) -> Vec<String> {
        let members: Vec<&Member> = members.iter().collect();
        let flag = |note: Note| note.fields[0].1.as_str().map(str::to_owned);
        notes(&config(line), members.first().map_or(0, |member| member.id), &members, &|_| None)
            .into_iter()
            .filter_map(flag)
            .collect()
    }

    const BOTH: &str = "--initial-cluster m1=http://127.0.0.1:1,m2=http://127.0.0.1:2";

    #[test]
    fn flags_that_describe_the_cluster_are_not_worth_a_word() {
        let members = [member("m1", 1, "t"), member("m2", 2, "t")];
        assert!(ignored(&format!("--initial-cluster-token t {BOTH}"), &members).is_empty());
        assert!(ignored("--name m1", &members).is_empty(), "not given, not ignored");
        // One has been added since, by its time, and has not started.
        let added = Member { id: 7, name: String::new(), ..member("", 3, "t") };
        let with = format!("--initial-cluster-token t {BOTH},m3=http://127.0.0.1:3");
        assert!(ignored(&with, &[members[0].clone(), members[1].clone(), added]).is_empty());
        assert!(ignored(&format!("--initial-cluster-token u {BOTH}"), &[]).is_empty(), "nothing is known yet");
    }

    #[test]
    fn flags_that_describe_another_cluster_are_named() {
        let members = [member("m1", 1, "t"), member("m2", 2, "t")];
        assert_eq!(ignored("--initial-cluster-token u", &members), ["initial-cluster-token"]);
        assert_eq!(ignored(BOTH, &members[..1]), ["initial-cluster"]);
        assert_eq!(ignored("--initial-cluster garbage", &members), ["initial-cluster"]);
        // The right one, but nobody has the peer URLs any more that went into its id.
        let moved = |at: usize, port| Member { id: members[at].id, ..member("m", port, "t") };
        assert_eq!(ignored("--initial-cluster-token t", &[moved(0, 3), moved(1, 4)]), ["initial-cluster-token"]);
        assert!(ignored("--initial-cluster-token t", &[moved(0, 3), members[1].clone()]).is_empty());
        let moved = "--initial-advertise-peer-urls http://127.0.0.1:9 --initial-cluster m1=http://127.0.0.1:9,m2=http://127.0.0.1:2";
        assert_eq!(ignored(moved, &members), ["initial-advertise-peer-urls", "initial-cluster"]);
        let renamed = [member("other", 1, "t"), member("m2", 2, "t")];
        assert_eq!(ignored(BOTH, &renamed), ["initial-cluster"]);
    }
}
