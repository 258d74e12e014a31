//! Snapshots: a bbolt image that another member sends, and what comes beside it.
//!
//! An input is the length of what comes beside (four bytes, little endian), that, and the image.

use crate::requests::{apply, sound_requests};
use crate::store_log::{empty, read_all};
use bolt::Image;

/// Most pairs of a bucket that are looked at.
const PAIRS_MAX: usize = 10_000;

/// What comes beside, and the image.
pub(crate) fn parts(input: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = input.split_first_chunk() else { return (&[], input) };
    rest.split_at((u32::from_le_bytes(*length) as usize).min(rest.len()))
}

/// An image, read as such, checked and installed.
pub fn image(input: &[u8]) {
    let (beside, bytes) = parts(input);
    if let Ok(image) = Image::open(bytes) {
        for name in image.bucket_names().unwrap_or_default() {
            if let Ok(Some(bucket)) = image.bucket(&name) {
                let _ = bucket.get(b"key");
                for pair in bucket.entries().take(PAIRS_MAX) {
                    if pair.is_err() {
                        break;
                    }
                }
            }
        }
    }
    let (_, mut store) = empty();
    // As the message has it that the image came with.
    let said = store::snapshot::Reader::open(bytes).map(|reader| reader.facts().roster.conf_state().clone());
    let conf_state = said.unwrap_or_else(|_| store.view().conf_state());
    let before = store.applied();
    // What is believed is decided here; below it is only not to break anything.
    let _ = store::snapshot::check(bytes, beside);
    match store.install_with(bytes, 50, 3, conf_state, beside) {
        Ok(()) => {
            assert_eq!(store.applied(), (50, 3));
            read_all(&store);
            for request in sound_requests() {
                if apply(&mut store, &request).is_err() {
                    return;
                }
            }
        }
        Err(_) => assert_eq!(store.applied(), before, "a snapshot that is refused changes nothing"),
    }
}

/// One with a few keys, a lease and some history.
pub fn seeds() -> Vec<Vec<u8>> {
    let (_, mut store) = empty();
    let mut seeds = Vec::new();
    for request in sound_requests() {
        apply(&mut store, &request).expect("a sound request");
        if seeds.is_empty() || store.applied().0 == 9 {
            let plan = store.view().image().expect("the disk is well");
            let beside = plan.beside();
            let mut seed = [&(beside.len() as u32).to_le_bytes(), &beside[..]].concat();
            plan.write(&mut |bytes| {
                seed.extend_from_slice(bytes);
                Ok(())
            })
            .expect("memory takes it");
            let (beside, image) = parts(&seed);
            store::snapshot::check(image, beside).expect("it is as its sender says");
            seeds.push(seed);
        }
    }
    seeds
}
