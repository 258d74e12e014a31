//! Snapshots: a bbolt image that another member sends.

use crate::requests::{apply, sound_requests};
use crate::store_log::{empty, read_all};
use bolt::Image;

/// Most pairs of a bucket that are looked at.
const PAIRS_MAX: usize = 10_000;

/// An image, read as such and installed.
pub fn image(bytes: &[u8]) {
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
    let conf_state = store.view().conf_state();
    let before = store.applied();
    match store.install(bytes, 50, 3, conf_state) {
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
            let mut image = Vec::new();
            let plan = store.view().image().expect("the disk is well");
            plan.write(&mut |bytes| {
                image.extend_from_slice(bytes);
                Ok(())
            })
            .expect("memory takes it");
            seeds.push(image);
        }
    }
    seeds
}
