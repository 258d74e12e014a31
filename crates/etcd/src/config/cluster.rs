//! `--initial-cluster`: who the first members are, and whether this member is among them.
//!
//! It is read only when the member has no data yet; with data, the roster in the store is the truth and the flag may say
//! anything. That is why [`super::Config`] keeps the text, and boot asks for this.

use std::collections::BTreeMap;

use super::Config;
use super::url::Url;
use crate::logging::{Level, Note};

/// The members a new cluster starts with, or the ones a joining member expects to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialCluster {
    /// By name; each with at least one URL, sorted.
    pub members: BTreeMap<String, Vec<Url>>,
}

impl InitialCluster {
    /// Reads `name=url,name=url`; a repeated name adds a URL. A word without `=` counts as a name without a URL.
    pub fn parse(text: &str) -> Result<InitialCluster, String> {
        let mut members: BTreeMap<String, Vec<Url>> = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (name, url) = part.split_once('=').unwrap_or((part, ""));
            let url = Url::parse(url).map_err(|reason| format!("error setting up initial cluster: {reason}"))?;
            members.entry(name.trim().to_owned()).or_default().push(url);
        }
        members.values_mut().for_each(|urls| urls.sort());
        Ok(InitialCluster { members })
    }

    /// Something to say about a cluster that works but should be larger or smaller, if so.
    pub fn warning(&self) -> Option<Note> {
        let count = self.members.len();
        if count == 0 || !count.is_multiple_of(2) {
            return None;
        }
        let message = "initial cluster has an even number of members: it tolerates no more failures than with one member \
                       fewer, and half of it lost stops it";
        let note = Note::new(Level::Warn, message);
        Some(note.with("members", count as u64).with("tolerated-failures", (count as u64 - 1) / 2))
    }

    fn has_duplicate_url(&self) -> bool {
        let mut all: Vec<&Url> = self.members.values().flatten().collect();
        all.sort();
        all.windows(2).any(|pair| pair[0] == pair[1])
    }
}

impl std::fmt::Display for InitialCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs = self.members.iter().flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")));
        f.write_str(&pairs.collect::<Vec<_>>().join(","))
    }
}

/// Turns `host:port` into an address, so that names and numbers of one place compare equal. None: cannot be resolved.
pub type Resolve<'a> = &'a dyn Fn(&str) -> Option<std::net::SocketAddr>;

impl Config {
    /// The members of a cluster to be started anew, with this member among them under the URLs it advertises.
    pub fn new_cluster(&self, resolve: Resolve<'_>) -> Result<InitialCluster, String> {
        let cluster = self.join_cluster()?;
        self.check_advertised(&cluster, resolve)?;
        Ok(cluster)
    }

    /// The members this member expects to find when joining. Its URLs were announced by `member add`, not by its flags.
    pub fn join_cluster(&self) -> Result<InitialCluster, String> {
        let cluster = InitialCluster::parse(&self.initial_cluster)?;
        if !cluster.members.contains_key(&self.name) {
            return Err(format!("couldn't find local name {:?} in the initial cluster configuration", self.name));
        }
        if cluster.has_duplicate_url() && !self.has_only_own_duplicates(&cluster) {
            return Err(format!("initial cluster {cluster} has duplicate url"));
        }
        Ok(cluster)
    }

    /// Whether these peer URLs are the ones that the flags advertise, or lead to the same places.
    pub fn is_advertised(&self, peer_urls: &[String], resolve: Resolve<'_>) -> bool {
        let Ok(mut urls) = peer_urls.iter().map(|url| Url::parse(url)).collect::<Result<Vec<Url>, _>>() else {
            return false;
        };
        urls.sort();
        same_places(&self.initial_advertise_peer_urls, &urls, resolve).is_ok()
    }

    /// A URL repeated under our own name is reported by the comparison with what we advertise, which says more.
    fn has_only_own_duplicates(&self, cluster: &InitialCluster) -> bool {
        let mut once = cluster.clone();
        once.members.entry(self.name.clone()).or_default().dedup();
        !once.has_duplicate_url()
    }

    fn check_advertised(&self, cluster: &InitialCluster, resolve: Resolve<'_>) -> Result<(), String> {
        let listed = &cluster.members[&self.name];
        let advertised = &self.initial_advertise_peer_urls;
        let show = |urls: &[Url]| urls.iter().map(Url::to_string).collect::<Vec<_>>();
        let Err(difference) = same_places(advertised, listed, resolve) else {
            return Ok(());
        };
        let name = &self.name;
        let pairs = |urls: &[Url]| show(urls).iter().map(|url| format!("{name}={url}")).collect::<Vec<_>>().join(",");
        let missing: Vec<Url> = listed.iter().filter(|url| !advertised.contains(url)).cloned().collect();
        if !missing.is_empty() {
            let twice = match listed.len() {
                0 | 1 => String::new(),
                urls => format!("; {name} stands there {urls} times: is one of them another member?"),
            };
            return Err(format!(
                "--initial-cluster has {} but missing from --initial-advertise-peer-urls={} ({difference}{twice})",
                pairs(&missing),
                show(advertised).join(",")
            ));
        }
        let missing: Vec<Url> = advertised.iter().filter(|url| !listed.contains(url)).cloned().collect();
        if !missing.is_empty() {
            return Err(format!(
                "--initial-advertise-peer-urls has {} but missing from --initial-cluster={}",
                show(&missing).join(","),
                pairs(listed)
            ));
        }
        Err(format!(
            "failed to resolve {} to match --initial-cluster={} ({difference})",
            show(advertised).join(","),
            pairs(advertised)
        ))
    }
}

/// Whether two sorted lists name the same places, by text or by what the names resolve to.
fn same_places(left: &[Url], right: &[Url], resolve: Resolve<'_>) -> Result<(), String> {
    if left.len() != right.len() {
        let show = |urls: &[Url]| urls.iter().map(|url| format!("\"{url}\"")).collect::<Vec<_>>().join(" ");
        return Err(format!("len([{}]) != len([{}])", show(left), show(right)));
    }
    let place = |url: &Url| match resolve(url.authority()) {
        Some(address) if !url.is_unix() => format!("{}://{address}", url.scheme()),
        _ => url.to_string(),
    };
    let sorted = |urls: &[Url]| {
        let mut places: Vec<(String, String)> = urls.iter().map(|url| (place(url), url.to_string())).collect();
        places.sort();
        places
    };
    for ((place, text), (other_place, other_text)) in sorted(left).into_iter().zip(sorted(right)) {
        if place != other_place {
            return Err(format!(
                "\"{place}\"(resolved from \"{text}\") != \"{other_place}\"(resolved from \"{other_text}\")"
            ));
        }
    }
    Ok(())
}
