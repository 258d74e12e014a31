//! What is written is read; what cannot be written is refused; what was not planned is noticed.

use bolt::{Error, Image, Plan, Planner};

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;
type Buckets = Vec<(&'static str, Pairs)>;

fn plan(buckets: &Buckets, page_bytes: usize) -> Plan {
    let mut planner = Planner::with_page_bytes(page_bytes);
    for (name, pairs) in buckets {
        planner.bucket(name.as_bytes()).unwrap();
        for (key, value) in pairs {
            planner.entry(key.len(), value.len()).unwrap();
        }
    }
    planner.finish()
}

fn write(buckets: &Buckets, page_bytes: usize) -> Vec<u8> {
    let plan = plan(buckets, page_bytes);
    let mut image = Vec::new();
    let mut writer = plan
        .write(|bytes| {
            assert_eq!(bytes.len() % page_bytes, 0, "whole pages");
            image.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
    for (name, pairs) in buckets {
        writer.bucket(name.as_bytes()).unwrap();
        for (key, value) in pairs {
            writer.entry(key, value).unwrap();
        }
    }
    writer.finish().unwrap();
    assert_eq!(image.len() as u64, plan.size_bytes());
    image
}

fn check(buckets: &Buckets, image: &[u8], page_bytes: usize) {
    let image = Image::open(image).unwrap();
    assert_eq!(image.page_bytes(), page_bytes);
    let mut names: Vec<&str> = buckets.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(image.bucket_names().unwrap(), names);
    for (name, pairs) in buckets {
        let bucket = image.bucket(name.as_bytes()).unwrap().unwrap();
        let found: Vec<_> = bucket.entries().map(|pair| pair.unwrap()).collect();
        assert_eq!(found.len(), pairs.len(), "bucket {name}");
        for (found, written) in found.iter().zip(pairs) {
            assert!(found.0 == written.0 && found.1 == written.1, "bucket {name}");
        }
        for (key, value) in pairs.iter().step_by(1 + pairs.len() / 50) {
            assert_eq!(bucket.get(key).unwrap().unwrap(), *value);
            let mut other = key.clone();
            other.push(1);
            assert!(bucket.get(&other).unwrap().is_none());
        }
        assert!(bucket.get(b"").unwrap().is_none());
    }
    assert!(image.bucket(b"no such bucket").unwrap().is_none());
}

/// Pairs like etcd's: keys of 17 bytes, values of sizes drawn below `value_bytes`, now and then one of many pages.
fn pairs(count: u64, value_bytes: u64, large: bool) -> Pairs {
    let mut state = count;
    let mut draw = |bound: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % bound
    };
    let mut pairs = Pairs::new();
    for number in 0..count {
        let mut key = number.to_be_bytes().to_vec();
        key.push(b'_');
        key.extend([0; 8]);
        let len = if large && draw(50) == 0 { 20_000 + draw(100_000) } else { draw(value_bytes) };
        pairs.push((key, vec![number as u8; len as usize]));
    }
    pairs
}

#[test]
fn images_of_every_shape_come_back_as_they_went() {
    let numbered = |count: usize| -> Pairs {
        (0..count).map(|number| (format!("{number:08}").into_bytes(), Vec::new())).collect()
    };
    let stories: Vec<Buckets> = vec![
        vec![],
        vec![("empty", vec![])],
        vec![("b", vec![]), ("a", numbered(1)), ("c", vec![])],
        vec![("one leaf", numbered(100)), ("three levels", numbered(200_000))],
        vec![("key", pairs(20_000, 300, false)), ("meta", numbered(3))],
        vec![("large", pairs(500, 2000, true)), ("zeros", vec![(vec![0], vec![]), (vec![0, 0], vec![0; 5000])])],
        vec![("long keys", (0..300u32).map(|n| ([&n.to_be_bytes()[..], &[7; 30_000]].concat(), vec![1])).collect())],
    ];
    for (number, buckets) in stories.iter().enumerate() {
        for page_bytes in [1024, 4096, 65_536] {
            println!("story {number}, pages of {page_bytes}");
            let image = write(buckets, page_bytes);
            check(buckets, &image, page_bytes);
        }
    }
}

#[test]
fn many_buckets_make_the_root_a_tree() {
    let mut planner = Planner::new();
    let names: Vec<String> = (0..2000).map(|number| format!("bucket {number:05}")).collect();
    for name in names.iter().rev() {
        planner.bucket(name.as_bytes()).unwrap();
    }
    let plan = planner.finish();
    let mut image = Vec::new();
    let mut writer = plan
        .write(|bytes| {
            image.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
    for name in names.iter().rev() {
        writer.bucket(name.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
    let image = Image::open(&image[..]).unwrap();
    assert_eq!(image.bucket_names().unwrap(), names);
    let bucket = image.bucket(names[1234].as_bytes()).unwrap().unwrap();
    assert_eq!((bucket.sequence(), bucket.entries().count()), (0, 0));
}

#[test]
fn pages_are_filled_to_nine_tenths() {
    let pairs = pairs(50_000, 200, false);
    let payload: usize = pairs.iter().map(|(key, value)| 16 + key.len() + value.len()).sum();
    let size = plan(&vec![("key", pairs)], 4096).size_bytes() as f64;
    let fill = payload as f64 / size;
    assert!((0.84..0.9).contains(&fill), "{fill}");
}

#[test]
fn a_second_pass_that_differs_from_the_first_is_an_error() {
    let written = |story: &[(&[u8], &[u8])]| {
        let mut planner = Planner::new();
        planner.bucket(b"b").unwrap();
        planner.entry(1, 10).unwrap();
        planner.entry(1, 5000).unwrap();
        let plan = planner.finish();
        let mut writer = plan.write(|_| Ok(())).unwrap();
        writer.bucket(b"b")?;
        for (key, value) in story {
            writer.entry(key, value)?;
        }
        writer.finish()
    };
    let long = [0; 5000];
    written(&[(b"a", &long[..10]), (b"b", &long)]).unwrap();
    for story in [
        vec![],
        vec![(&b"a"[..], &long[..10])],
        vec![(&b"a"[..], &long[..10]), (b"b", &long[..10])],
        vec![(&b"a"[..], &long[..10]), (b"b", &long), (b"c", &long[..1])],
    ] {
        let error = written(&story).unwrap_err();
        assert!(matches!(error, Error::Deviates(_)), "{error}");
    }
}

#[test]
fn what_a_database_cannot_hold_is_refused() {
    let refused = |result: Result<(), Error>, words: &str| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Refused(_)) && error.to_string().contains(words), "{error}");
    };
    let mut planner = Planner::new();
    refused(planner.entry(1, 1), "outside of all buckets");
    refused(planner.bucket(b""), "an empty key");
    planner.bucket(b"b").unwrap();
    refused(planner.entry(0, 1), "an empty key");
    refused(planner.entry(32769, 1), "32 KiB");
    refused(planner.entry(1, usize::MAX), "2 GiB");
    refused(planner.bucket(b"b"), "two buckets named \"b\"");

    let mut planner = Planner::new();
    planner.bucket(b"b").unwrap();
    planner.entry(1, 1).unwrap();
    planner.entry(1, 1).unwrap();
    let mut writer = planner.finish().write(|_| Ok(())).unwrap();
    refused(writer.entry(b"x", b"1"), "outside of all buckets");
    writer.bucket(b"b").unwrap();
    writer.entry(b"x", b"1").unwrap();
    refused(writer.entry(b"x", b"2"), "not in order");
}

#[test]
fn an_error_of_the_sink_comes_through() {
    let mut planner = Planner::new();
    planner.bucket(b"b").unwrap();
    let plan = planner.finish();
    let error = plan.write(|_| Err(std::io::ErrorKind::StorageFull.into())).err().unwrap();
    assert!(matches!(error, Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull));
}
