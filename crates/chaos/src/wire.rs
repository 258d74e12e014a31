//! The network between members and clients: every packet passes here.
//!
//! Each network namespace has one TUN device, and the other end of all of them
//! is in this process. So the kernel needs no bridge, no packet filter and no
//! netem, and a fault is a rule for packets from one node to another.
//!
//! ```text
//!   m1 ─tun─┐                    ┌─tun─ m2
//!           ├── carry ── rules ──┤
//!  clients ─┘        └─ late ────┘─tun─ m3
//! ```

mod reset;

use crate::felt::Felt;
use anyhow::{Context, Result};
use fastrand::Rng;
use reset::Broken;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};
use tun_rs::{DeviceBuilder, SyncDevice};

/// The largest packet, in bytes: that of Ethernet, so that loss is loss of little.
const PACKET_BYTES_MAX: u16 = 1_500;
/// Packets that may wait for their time, all links together; more are dropped, as a router does.
const LATE_MAX: usize = 20_000;
/// The last byte of the clients' address; members count from 1.
const CLIENTS: u8 = 100;

/// The address of a node: members from 0, then the clients.
pub fn address(node: usize, members: usize) -> Ipv4Addr {
    let last = if node == members { CLIENTS } else { node as u8 + 1 };
    Ipv4Addr::new(10, 77, 0, last)
}

/// What happens to packets on some links.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// None arrives.
    Cut,
    /// Each arrives later, by `base` and up to `jitter` more, so that some overtake others.
    Late {
        /// At least so much.
        base: Duration,
        /// And up to so much more.
        jitter: Duration,
    },
    /// So many of a hundred are lost.
    Lost(u8),
    /// So many of a hundred arrive twice.
    Doubled(u8),
    /// Of the first that carries data, and of so many of a hundred, half arrives, and the connection is reset.
    Reset(u8),
}

/// Links from node to node, with what happens there. A link has a direction.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// (from, to)
    pub links: Vec<(usize, usize)>,
    /// To each of them.
    pub effect: Effect,
    /// Counts the packets to which it happened.
    pub felt: Felt,
}

/// The network.
pub struct Wire {
    shared: Arc<Shared>,
}

struct Shared {
    devices: Vec<SyncDevice>,
    members: usize,
    troubles: RwLock<Vec<Standing>>,
    next: AtomicU64,
    late: Sender<Packet>,
    waiting: AtomicU64,
    carried: AtomicU64,
    harmed: AtomicU64,
}

struct Standing {
    number: u64,
    until: Option<Instant>,
    trouble: Trouble,
}

struct Packet {
    due: Instant,
    to: usize,
    bytes: Vec<u8>,
}

impl PartialEq for Packet {
    fn eq(&self, other: &Packet) -> bool {
        self.due == other.due
    }
}

impl Eq for Packet {}

impl PartialOrd for Packet {
    fn partial_cmp(&self, other: &Packet) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Packet {
    /// The earliest is the greatest: it is next in a heap.
    fn cmp(&self, other: &Packet) -> std::cmp::Ordering {
        other.due.cmp(&self.due)
    }
}

/// The name of a node's device.
pub fn device(node: usize) -> String {
    format!("node{node}")
}

impl Wire {
    /// Devices for so many members and for the clients, all in this namespace
    /// yet, and threads that carry packets until the process ends.
    pub fn new(members: usize, seed: u64) -> Result<Wire> {
        let build = |node| {
            let builder = DeviceBuilder::new().name(device(node)).mtu(PACKET_BYTES_MAX).enable(false);
            builder.build_sync().with_context(|| format!("no TUN device {}", device(node)))
        };
        let devices = (0..=members).map(build).collect::<Result<Vec<_>>>()?;
        let (late, waits) = mpsc::channel();
        let shared = Arc::new(Shared {
            devices,
            members,
            troubles: RwLock::default(),
            next: AtomicU64::new(0),
            late,
            waiting: AtomicU64::new(0),
            carried: AtomicU64::new(0),
            harmed: AtomicU64::new(0),
        });
        for node in 0..=members {
            let shared = shared.clone();
            let chance = Rng::with_seed(seed ^ (node as u64) << 32);
            thread::Builder::new().name(format!("wire {node}")).spawn(move || carry(&shared, node, chance))?;
        }
        let latecomers = shared.clone();
        thread::Builder::new().name("wire late".to_owned()).spawn(move || deliver_late(&latecomers, waits))?;
        Ok(Wire { shared })
    }

    /// How many nodes: members and the clients.
    pub fn nodes(&self) -> usize {
        self.shared.members + 1
    }

    /// From now on this happens, until it is lifted by the number returned.
    pub fn harm(&self, trouble: Trouble) -> u64 {
        self.add(trouble, None)
    }

    /// From now on and for so long this happens.
    pub fn harm_for(&self, trouble: Trouble, lasts: Duration) {
        self.add(trouble, Some(Instant::now() + lasts));
    }

    fn add(&self, trouble: Trouble, until: Option<Instant>) -> u64 {
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let mut troubles = self.shared.troubles.write().unwrap_or_else(PoisonError::into_inner);
        troubles.retain(|standing| standing.until.is_none_or(|until| until > Instant::now()));
        troubles.push(Standing { number, until, trouble });
        number
    }

    /// No longer.
    pub fn lift(&self, number: u64) {
        let mut troubles = self.shared.troubles.write().unwrap_or_else(PoisonError::into_inner);
        troubles.retain(|standing| standing.number != number);
    }

    /// Nothing is wrong any more.
    pub fn lift_all(&self) {
        self.shared.troubles.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Packets carried, and those lost, doubled or late on purpose.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.carried.load(Ordering::Relaxed), self.shared.harmed.load(Ordering::Relaxed))
    }
}

impl Shared {
    /// What becomes of a packet.
    fn fate(&self, from: usize, to: usize, packet: &[u8], chance: &mut Rng) -> Fate {
        let troubles = self.troubles.read().unwrap_or_else(PoisonError::into_inner);
        let stands = |standing: &&Standing| standing.until.is_none_or(|until| until > Instant::now());
        let on_this = troubles.iter().filter(|standing| standing.trouble.links.contains(&(from, to))).filter(stands);
        fate(on_this.map(|standing| &standing.trouble), packet, chance)
    }

    fn send(&self, to: usize, bytes: &[u8]) {
        // A node whose device is not up yet, or no longer, hears nothing.
        let _ = self.devices[to].send(bytes);
    }

    fn send_late(&self, to: usize, bytes: &[u8], late: Duration) {
        if late.is_zero() {
            self.send(to, bytes);
        } else if self.waiting.fetch_add(1, Ordering::Relaxed) < LATE_MAX as u64 {
            let packet = Packet { due: Instant::now() + late, to, bytes: bytes.to_vec() };
            let _ = self.late.send(packet);
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What becomes of a packet.
#[derive(Debug, PartialEq)]
enum Fate {
    /// How late each copy of it arrives; none if it is lost.
    Copies(Vec<Duration>),
    /// It breaks its connection, when it would have arrived.
    Reset(Duration, Broken),
}

/// What several troubles together do to one packet. Each that drops it counts
/// it; of one that is dropped or breaks its connection nothing else counts.
fn fate<'a>(troubles: impl Iterator<Item = &'a Trouble>, packet: &[u8], chance: &mut Rng) -> Fate {
    let (mut late, mut copies, mut lost, mut harmed) = (Duration::ZERO, 1, false, Vec::new());
    let mut broken = None;
    for trouble in troubles {
        let drops = match trouble.effect {
            Effect::Cut => true,
            Effect::Lost(percent) => chance.u8(0..100) < percent,
            Effect::Doubled(percent) => {
                if chance.u8(0..100) < percent {
                    copies += 1;
                    harmed.push(&trouble.felt);
                }
                false
            }
            Effect::Late { base, jitter } => {
                late += base + jitter.mul_f64(chance.f64());
                harmed.push(&trouble.felt);
                false
            }
            Effect::Reset(percent) => {
                // The first in any case: a short fault has few.
                if chance.u8(0..100) < percent || trouble.felt.times() == 0 {
                    broken = broken.or(reset::within(packet).map(|broken| (broken, &trouble.felt)));
                }
                false
            }
        };
        if drops {
            trouble.felt.note(1);
            lost = true;
        }
    }
    if lost {
        return Fate::Copies(Vec::new());
    }
    if let Some((broken, felt)) = broken {
        felt.note(1);
        return Fate::Reset(late, broken);
    }
    harmed.into_iter().for_each(|felt| felt.note(1));
    Fate::Copies(vec![late; copies])
}

fn carry(shared: &Shared, from: usize, mut chance: Rng) {
    let mut buffer = vec![0; usize::from(PACKET_BYTES_MAX) + 64];
    loop {
        let Ok(bytes) = shared.devices[from].recv(&mut buffer) else {
            // The device is down for a moment, while it moves to its namespace.
            thread::sleep(Duration::from_millis(1));
            continue;
        };
        let packet = &buffer[..bytes];
        let Some(to) = target(packet, shared.members) else { continue };
        let fate = shared.fate(from, to, packet, &mut chance);
        shared.carried.fetch_add(1, Ordering::Relaxed);
        if !matches!(&fate, Fate::Copies(copies) if *copies == [Duration::ZERO]) {
            shared.harmed.fetch_add(1, Ordering::Relaxed);
        }
        match fate {
            Fate::Copies(copies) => copies.into_iter().for_each(|late| shared.send_late(to, packet, late)),
            Fate::Reset(late, broken) => {
                shared.send_late(to, &broken.front, late);
                // Not before it.
                let behind = if late.is_zero() { late } else { late + Duration::from_micros(1) };
                shared.send_late(to, &broken.to_receiver, behind);
                shared.send(from, &broken.to_sender);
            }
        }
    }
}

fn deliver_late(shared: &Shared, waits: Receiver<Packet>) {
    let mut heap: BinaryHeap<Packet> = BinaryHeap::new();
    loop {
        let until =
            heap.peek().map_or(Duration::from_secs(1), |next| next.due.saturating_duration_since(Instant::now()));
        match waits.recv_timeout(until) {
            Ok(packet) => heap.push(packet),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while heap.peek().is_some_and(|next| next.due <= Instant::now()) {
            let packet = heap.pop().expect("there is one");
            shared.waiting.fetch_sub(1, Ordering::Relaxed);
            shared.send(packet.to, &packet.bytes);
        }
    }
}

/// The node that an IPv4 packet is for.
fn target(packet: &[u8], members: usize) -> Option<usize> {
    if packet.len() < 20 || packet[0] >> 4 != 4 {
        return None;
    }
    let to = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
    (0..=members).find(|&node| address(node, members) == to)
}

#[cfg(test)]
mod tests;
