//! What rules do to packets.

use super::*;

#[test]
fn packets_go_where_their_header_says() {
    let mut packet = [0; 40];
    packet[0] = 0x45;
    for (node, last) in [(0, 1), (2, 3), (3, 100)] {
        packet[16..20].copy_from_slice(&[10, 77, 0, last]);
        assert_eq!(target(&packet, 3), Some(node));
    }
    packet[19] = 4;
    assert_eq!(target(&packet, 3), None, "nobody has that address");
    packet[0] = 0x60;
    assert_eq!(target(&packet, 3), None, "not IPv4");
    assert_eq!(target(&packet[..19], 3), None, "no header");
}

#[test]
fn effects_add_up() {
    let mut chance = Rng::with_seed(1);
    let mut of = |effects: &[Effect]| match fate(troubles(effects).iter(), b"", &mut chance) {
        Fate::Copies(copies) => copies,
        fate @ Fate::Reset(..) => panic!("{fate:?}"),
    };
    assert_eq!(of(&[]), [Duration::ZERO]);
    assert_eq!(of(&[late(5), late(7)]), [Duration::from_millis(12)]);
    assert_eq!(of(&[late(5), Effect::Doubled(100)]), [Duration::from_millis(5); 2]);
    assert_eq!(of(&[Effect::Doubled(100), Effect::Cut]), []);
    assert_eq!(of(&[Effect::Lost(100)]), []);
    let half = (0..1000).filter(|_| of(&[Effect::Lost(50)]).is_empty()).count();
    assert!((400..600).contains(&half), "{half} of 1000");
}

/// A segment of TCP with two bytes of data; its checksums are not looked at.
const DATA: [u8; 42] = {
    let mut packet = [0; 42];
    (packet[0], packet[3], packet[9]) = (0x45, 42, 6);
    (packet[32], packet[33]) = (0x50, 16);
    packet
};

#[test]
fn a_connection_breaks_where_its_data_would_have_arrived() {
    let mut chance = Rng::with_seed(1);
    let mut of = |effects: &[Effect], packet: &[u8]| fate(troubles(effects).iter(), packet, &mut chance);
    let broken = reset::within(&DATA).expect("it holds data");
    assert_eq!(of(&[late(5), Effect::Reset(100)], &DATA), Fate::Reset(Duration::from_millis(5), broken));
    assert_eq!(of(&[late(5), Effect::Reset(100)], &DATA[..40]), Fate::Copies(vec![Duration::from_millis(5)]));
}

#[test]
fn only_packets_to_which_something_happened_count() {
    let mut chance = Rng::with_seed(1);
    let mut felt_of = |effects: &[Effect]| {
        let troubles = troubles(effects);
        fate(troubles.iter(), &DATA, &mut chance);
        troubles.iter().map(|trouble| trouble.felt.times()).collect::<Vec<_>>()
    };
    assert_eq!(felt_of(&[late(5), Effect::Doubled(100), Effect::Doubled(0), Effect::Lost(0)]), [1, 1, 0, 0]);
    assert_eq!(felt_of(&[late(5), Effect::Doubled(100), Effect::Cut, Effect::Cut]), [0, 0, 1, 1]);
    assert_eq!(felt_of(&[Effect::Lost(100), late(5)]), [1, 0]);
    assert_eq!(felt_of(&[late(5), Effect::Reset(100), Effect::Reset(100)]), [0, 1, 0]);
    assert_eq!(felt_of(&[Effect::Reset(100), Effect::Cut]), [0, 1]);
}

#[test]
fn the_first_data_breaks_its_connection_whatever_chance_says() {
    let mut chance = Rng::with_seed(1);
    let troubles = troubles(&[Effect::Reset(0), late(5)]);
    let mut broken = |packet: &[u8]| matches!(fate(troubles.iter(), packet, &mut chance), Fate::Reset(..));
    assert_eq!([broken(&DATA[..40]), broken(&DATA), broken(&DATA)], [false, true, false]);
    assert_eq!([troubles[0].felt.times(), troubles[1].felt.times()], [1, 2]);
}

fn late(base: u64) -> Effect {
    Effect::Late { base: Duration::from_millis(base), jitter: Duration::ZERO }
}

fn troubles(effects: &[Effect]) -> Vec<Trouble> {
    effects.iter().map(|&effect| Trouble { links: Vec::new(), effect, felt: Felt::default() }).collect()
}
