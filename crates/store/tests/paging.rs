//! Reading many keys page by page: every page costs the same, wherever it is and however many keys there are.

use store::Revision;
use store::keys::{Head, KeyRange, Keys, Place};

const KEYS: usize = 1_000_000;
const PAGE: usize = 500;

fn head(number: usize) -> Head {
    let place = Place { segment: 1, offset: number as u64 * 300, size_bytes: 300 };
    Head { modified: Revision { main: number as i64 + 2, sub: 0 }, created: number as i64 + 2, version: 1, place }
}

/// Leaves looked at for each page, as a client reads them that begins behind the last key it has seen. A page is one key
/// longer than it says, to know whether there is more.
fn leaves_of_pages(keys: &Keys) -> Vec<usize> {
    let mut from = b"prefix/".to_vec();
    let mut seen = 0;
    let mut pages = Vec::new();
    loop {
        let mut scan = keys.scan(KeyRange::Span { from: &from, end: b"prefix0" });
        let mut last = Vec::new();
        let mut taken = 0;
        while taken <= PAGE
            && let Some((key, found)) = scan.next()
        {
            if taken < PAGE {
                assert_eq!(found, head(seen));
                seen += 1;
                last = key.to_vec();
            }
            taken += 1;
        }
        pages.push(scan.leaves());
        if taken <= PAGE {
            assert_eq!(seen, keys.len());
            return pages;
        }
        last.push(0);
        from = last;
    }
}

#[test]
fn each_page_of_a_million_keys_costs_the_same() {
    let names: Vec<String> = (0..KEYS).map(|number| format!("prefix/{number:07}")).collect();
    let built = Keys::bulk(names.iter().enumerate().map(|(number, name)| (name, head(number))));
    let mut grown = Keys::new();
    // Written in another order than that of keys, as clients do.
    for number in (0..KEYS / 10).map(|number| number * 7_919 % (KEYS / 10)) {
        grown.insert(names[number].as_bytes(), head(number));
    }
    for (keys, unevenness) in [(built, 100), (grown, 4)] {
        let pages = leaves_of_pages(&keys);
        assert_eq!(pages.len(), keys.len() / PAGE);
        let (least, most) = (pages.iter().min().unwrap(), pages.iter().max().unwrap());
        // Leaves are between half full and full, so a page lies in up to twice as many; the last has no key behind it.
        assert!(*most <= 2 * least + 2, "between {least} and {most} leaves");
        assert!(*most < PAGE / 8, "{most} leaves for {PAGE} keys");
        let tenth = pages.len() / 10;
        let sum = |pages: &[usize]| pages.iter().sum::<usize>();
        let (first, last) = (sum(&pages[..tenth]), sum(&pages[pages.len() - tenth..]));
        // How full leaves are depends on the order of writing, not on where they are.
        assert!(first.abs_diff(last) * unevenness <= first, "the first tenth took {first} leaves, the last {last}");
    }
}
