//! Whatever the bytes are, reading them ends, without a panic and without asking for much memory.

use bolt::{Error, Image, Planner};

const PAGE: usize = 1024;

/// An image with every kind of page: branches of two levels, overflow, inline and tree buckets.
fn sound() -> Vec<u8> {
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = (0..600u32)
        .map(|number| (format!("key {number:06}").into_bytes(), vec![3; if number == 77 { 3000 } else { 20 }]))
        .collect();
    let mut planner = Planner::with_page_bytes(PAGE);
    planner.bucket(b"empty").unwrap();
    planner.bucket(b"key").unwrap();
    for (key, value) in &pairs {
        planner.entry(key.len(), value.len()).unwrap();
    }
    let mut image = Vec::new();
    let mut writer = planner
        .finish()
        .write(|bytes| {
            image.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
    writer.bucket(b"empty").unwrap();
    writer.bucket(b"key").unwrap();
    for (key, value) in &pairs {
        writer.entry(key, value).unwrap();
    }
    writer.finish().unwrap();
    image
}

/// Reads everything there is; the number of pairs, or the first error.
fn read_all(image: &[u8]) -> Result<usize, Error> {
    let image = Image::open(image)?;
    let mut count = 0;
    for name in image.bucket_names()? {
        let bucket = image.bucket(&name)?.ok_or_else(|| Error::NotADatabase("a bucket is gone".into()))?;
        bucket.get(b"key 000300")?;
        for pair in bucket.entries() {
            pair?;
            count += 1;
            assert!(count < 100_000, "it goes round in circles");
        }
    }
    Ok(count)
}

/// Makes both meta pages fit what was changed in them.
fn set_meta(image: &mut [u8], at: usize, value: u64) {
    for page in 0..2 {
        let meta = &mut image[page * PAGE + 16..page * PAGE + 80];
        meta[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let check = meta[..56]
            .iter()
            .fold(0xcbf29ce484222325u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100000001b3));
        meta[56..64].copy_from_slice(&check.to_le_bytes());
    }
}

#[test]
fn the_sound_image_is_sound() {
    assert_eq!(read_all(&sound()).unwrap(), 600);
}

#[test]
fn one_destroyed_meta_page_is_survived_by_the_other() {
    for page in 0..2 {
        let mut image = sound();
        image[page * PAGE..(page + 1) * PAGE].fill(0x55);
        assert_eq!(read_all(&image).unwrap(), 600);
    }
    let mut image = sound();
    image[..2 * PAGE].fill(0x55);
    assert!(matches!(read_all(&image), Err(Error::NotADatabase(_))));
}

#[test]
fn an_image_cut_anywhere_is_an_error() {
    let image = sound();
    for len in (0..image.len()).step_by(97).chain([1, 15, 16, 79, 80, 1023, image.len() - 1]) {
        assert!(matches!(read_all(&image[..len]), Err(Error::NotADatabase(_))), "cut to {len}");
    }
}

#[test]
fn random_damage_never_panics_and_is_mostly_seen() {
    let sound = sound();
    let mut state = 7u64;
    let mut draw = |bound: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    };
    let mut errors = 0;
    for round in 0..8000 {
        let mut image = sound.clone();
        for _ in 0..1 + round % 4 {
            // Half of the damage hits page headers and element tables, where it hurts.
            let page = draw(image.len() / PAGE);
            let at = page * PAGE + if draw(2) == 0 { draw(64) } else { draw(PAGE) };
            image[at] = [image[at] ^ (1 << draw(8)), 0, 0xff, draw(256) as u8][draw(4)];
        }
        if let Err(error) = read_all(&image) {
            assert!(!error.to_string().is_empty());
            errors += 1;
        }
    }
    assert!(errors > 1200, "{errors}");
}

#[test]
fn a_root_that_cannot_be_is_an_error_that_names_the_page() {
    for root in [0, 1, 2, 1 << 20, u64::MAX] {
        let mut image = sound();
        set_meta(&mut image, 16, root);
        let error = read_all(&image).unwrap_err();
        assert!(matches!(error, Error::Malformed { page, .. } if page == root), "{error}");
    }
    for pages in [1 << 40, u64::MAX] {
        let mut image = sound();
        set_meta(&mut image, 40, pages);
        let error = read_all(&image).unwrap_err();
        assert!(error.to_string().contains("cut off"), "{error}");
    }
}

#[test]
fn a_branch_that_is_its_own_child_is_an_error() {
    let mut image = sound();
    let pages = image.len() / PAGE;
    let branch = (3..pages).find(|page| image[page * PAGE + 8] == 1).unwrap();
    let child = branch * PAGE + 16 + 8;
    image[child..child + 8].copy_from_slice(&(branch as u64).to_le_bytes());
    let error = read_all(&image).unwrap_err();
    assert!(error.to_string().contains("circles"), "{error}");
}

#[test]
fn an_overflow_beyond_the_file_is_an_error_not_an_allocation() {
    let mut image = sound();
    let pages = image.len() / PAGE;
    let leaf = (3..pages).find(|page| image[page * PAGE + 8] == 2).unwrap();
    image[leaf * PAGE + 12..leaf * PAGE + 16].fill(0xff);
    let error = read_all(&image).unwrap_err();
    assert!(matches!(error, Error::Malformed { page, .. } if page == leaf as u64), "{error}");
}

#[test]
fn a_file_without_a_synced_freelist_is_read() {
    let mut image = sound();
    set_meta(&mut image, 32, u64::MAX);
    assert_eq!(read_all(&image).unwrap(), 600);
}
