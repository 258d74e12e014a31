//! Everything that parses bytes from outside, as functions of bytes: whatever
//! they are, an answer or an error comes, never a panic and never an endless
//! loop, and what was taken is whole.
//!
//! `cargo x fuzz` runs each [`Target`] under libFuzzer, guided by coverage
//! (`fuzz/` holds the programs); `tests/corpus.rs` runs all of them in every
//! check, over the corpus that is kept, the seeds, and changes of both.

mod chance;
mod log;
mod peers;
mod requests;
mod services;
mod snapshot;
mod store_log;
mod streams;

pub use chance::Chance;

/// One door through which bytes come in.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Feeds it with bytes. Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Sound inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const ALL: [Target; 10] = [
    Target { name: "wal_file", run: log::file, seeds: log::file_seeds },
    Target { name: "wal_frames", run: log::frames, seeds: log::frame_seeds },
    Target { name: "revisions_file", run: store_log::file, seeds: store_log::file_seeds },
    Target { name: "revisions_frames", run: store_log::frames, seeds: store_log::frame_seeds },
    Target { name: "snapshot", run: snapshot::image, seeds: snapshot::seeds },
    Target { name: "peer_stream", run: streams::peer, seeds: streams::peer_seeds },
    Target { name: "entries", run: requests::entries, seeds: requests::entry_seeds },
    Target { name: "services", run: services::calls, seeds: services::seeds },
    Target { name: "peer_requests", run: peers::peer_requests, seeds: peers::seeds },
    Target { name: "flags", run: streams::flags, seeds: streams::flag_seeds },
];

/// The target of this name.
///
/// # Panics
/// When there is none.
pub fn target(name: &str) -> Target {
    let found = ALL.into_iter().find(|target| target.name == name);
    found.unwrap_or_else(|| panic!("no target is called {name}"))
}

/// Pieces with a length in front: two bytes, big-endian. A length beyond the
/// end means the rest.
fn pieces(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let (piece, behind) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        pieces.push(piece);
        bytes = behind;
    }
    pieces
}

/// The other way round; longer pieces are cut.
fn join<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        let piece = &piece[..piece.len().min(usize::from(u16::MAX))];
        bytes.extend_from_slice(&(piece.len() as u16).to_be_bytes());
        bytes.extend_from_slice(piece);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back() {
        let whole = [&b"one"[..], b"", b"three"];
        assert_eq!(pieces(&join(whole)), whole);
        assert_eq!(pieces(&[0, 9, 7]), [&[7][..]]);
        assert!(pieces(&[1]).is_empty());
    }
}
