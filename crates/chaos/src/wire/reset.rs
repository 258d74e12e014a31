//! A TCP connection that breaks in the middle of what it carries: of one segment the front half arrives, and then both
//! ends are told that the connection is reset, each by a segment that seems to come from the other.

/// Lengths of headers without options, in bytes.
const IP_BYTES: usize = 20;
const TCP_BYTES: usize = 20;
/// The number of TCP in IP's header.
const TCP: u8 = 6;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// What goes over the wire in place of a segment.
#[derive(Debug, PartialEq)]
pub struct Broken {
    /// The front half of it.
    pub front: Vec<u8>,
    /// Behind that, to the same end.
    pub to_receiver: Vec<u8>,
    /// To the end that has sent it.
    pub to_sender: Vec<u8>,
}

/// Breaks the connection of this packet. None unless it is a segment of TCP with at least two bytes of data.
pub fn within(packet: &[u8]) -> Option<Broken> {
    let (&first, &protocol) = (packet.first()?, packet.get(9)?);
    let ip_bytes = usize::from(first & 15) * 4;
    let whole = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
    let packet = packet.get(..whole)?;
    let tcp = packet.get(ip_bytes..)?;
    let tcp_bytes = usize::from(*tcp.get(12)? >> 4) * 4;
    let is_fragment = packet[6] & 0x3f != 0 || packet[7] != 0;
    if first >> 4 != 4 || ip_bytes < IP_BYTES || protocol != TCP || is_fragment || tcp_bytes < TCP_BYTES {
        return None;
    }
    let data = tcp.len().checked_sub(tcp_bytes)?;
    let flags = tcp[13];
    if data < 2 || flags & (SYN | RST) != 0 || flags & ACK == 0 {
        return None;
    }
    let (here, there) = (&packet[12..16], &packet[16..20]);
    let (from, to) = (&tcp[..2], &tcp[2..4]);
    let number = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().expect("four bytes"));
    let (sent, heard) = (number(4), number(8));
    let half = data / 2;
    let mut front = packet[..whole - (data - half)].to_vec();
    sealed(&mut front, ip_bytes);
    Some(Broken {
        front,
        to_receiver: reset(here, there, from, to, sent.wrapping_add(half as u32), heard),
        to_sender: reset(there, here, to, from, heard, sent),
    })
}

/// A segment that resets: it stands where the other end expects the next byte.
fn reset(here: &[u8], there: &[u8], from: &[u8], to: &[u8], sent: u32, heard: u32) -> Vec<u8> {
    let ip = [&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, TCP, 0, 0], here, there].concat();
    let numbers = [sent.to_be_bytes(), heard.to_be_bytes()].concat();
    let mut packet = [&ip, from, to, &numbers, &[0x50, RST | ACK, 0, 0, 0, 0, 0, 0]].concat();
    sealed(&mut packet, IP_BYTES);
    packet
}

/// Sets length and checksums right.
fn sealed(packet: &mut [u8], ip_bytes: usize) {
    let whole = packet.len() as u16;
    packet[2..4].copy_from_slice(&whole.to_be_bytes());
    packet[10..12].fill(0);
    let check = checksum(&[&packet[..ip_bytes]]);
    packet[10..12].copy_from_slice(&check);
    packet[ip_bytes + 16..ip_bytes + 18].fill(0);
    let length = (whole - ip_bytes as u16).to_be_bytes();
    let check = checksum(&[&packet[12..20], &[0, TCP], &length, &packet[ip_bytes..]]);
    packet[ip_bytes + 16..ip_bytes + 18].copy_from_slice(&check);
}

/// As IP and TCP have it. All parts but the last have even lengths.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    (!(folded as u16)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment from 10.77.0.1:5 to 10.77.0.2:6, sealed.
    fn segment(flags: u8, data: &[u8]) -> Vec<u8> {
        let ip = [0x45, 0, 0, 0, 1, 2, 0x40, 0, 64, TCP, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2];
        let tcp = [0, 5, 0, 6, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9, 0x50, flags, 1, 0, 0, 0, 0, 0];
        let mut packet = [&ip[..], &tcp, data].concat();
        sealed(&mut packet, IP_BYTES);
        packet
    }

    fn is_sealed(packet: &[u8]) -> bool {
        let length = (packet.len() as u16 - 20).to_be_bytes();
        u16::from_be_bytes([packet[2], packet[3]]) as usize == packet.len()
            && checksum(&[&packet[..20]]) == [0, 0]
            && checksum(&[&packet[12..20], &[0, TCP], &length, &packet[20..]]) == [0, 0]
    }

    #[test]
    fn half_arrives_and_both_ends_are_told() {
        let broken = within(&segment(ACK | 8, b"abcde")).expect("it holds data");
        assert_eq!(broken.front, segment(ACK | 8, b"ab"));
        for packet in [&broken.front, &broken.to_receiver, &broken.to_sender] {
            assert!(is_sealed(packet), "{packet:?}");
        }
        let told = |packet: &[u8]| (packet[12..24].to_vec(), packet[24..28].to_vec(), packet[33]);
        let forth = vec![10, 77, 0, 1, 10, 77, 0, 2, 0, 5, 0, 6];
        // Behind two bytes the number has gone round.
        assert_eq!(told(&broken.to_receiver), (forth, vec![0, 0, 0, 1], RST | ACK));
        let back = vec![10, 77, 0, 2, 10, 77, 0, 1, 0, 6, 0, 5];
        assert_eq!(told(&broken.to_sender), (back, vec![0, 0, 0, 9], RST | ACK));
    }

    #[test]
    fn only_data_is_broken() {
        for (flags, data) in [(ACK, &b""[..]), (ACK, b"a"), (SYN | ACK, b"ab"), (RST | ACK, b"ab"), (0, b"ab")] {
            assert_eq!(within(&segment(flags, data)), None, "{flags} {data:?}");
        }
        let whole = segment(ACK, b"abc");
        for length in 0..whole.len() {
            assert_eq!(within(&whole[..length]), None, "cut at {length}");
        }
        let mut other = whole.clone();
        other[9] = 17;
        assert_eq!(within(&other), None, "not TCP");
        let mut padded = whole.clone();
        padded.extend_from_slice(b"more");
        assert_eq!(within(&padded), within(&whole), "what lies behind a packet is none of it");
    }
}
