//! What a way from one host to another does to datagrams.

use motet_proto::Time;
use motet_proto::rng::Rng;
use std::time::Duration;

/// One direction between two hosts.
#[derive(Clone, Debug)]
pub struct LinkModel {
    /// Time under way. Default 100 µs.
    pub latency: Duration,
    /// Up to this much more, without overtaking. Default 20 µs.
    pub jitter: Duration,
    /// Bytes per second; `None` is as fast as can be. Default 125 MB/s.
    pub rate: Option<u64>,
    /// Bytes that may wait to be sent; what comes then is dropped. Default 1 MiB.
    pub queue: u64,
    /// Larger IP packets are dropped silently. Default 1,500.
    pub mtu: usize,
    /// Part of datagrams lost, 0 to 1.
    pub loss: f64,
    /// Losses that come in bursts.
    pub burst: Option<Burst>,
    /// Part of datagrams that come late.
    pub reorder: f64,
    /// How late: up to this. Default 2 ms.
    pub reorder_by: Duration,
    /// Part of datagrams that come twice.
    pub duplicate: f64,
    /// Part of datagrams with a flipped bit or a missing end.
    pub corrupt: f64,
}

/// Gilbert–Elliott: a good state without, a bad state with loss.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    /// Chance to turn bad, per datagram.
    pub enter: f64,
    /// Chance to turn good again, per datagram.
    pub leave: f64,
    /// Part lost while bad.
    pub loss: f64,
}

impl Default for LinkModel {
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(100),
            jitter: Duration::from_micros(20),
            rate: Some(125_000_000),
            queue: 1 << 20,
            mtu: 1_500,
            loss: 0.0,
            burst: None,
            reorder: 0.0,
            reorder_by: Duration::from_millis(2),
            duplicate: 0.0,
            corrupt: 0.0,
        }
    }
}

impl LinkModel {
    /// The same way without faults.
    pub fn healed(&self) -> Self {
        Self {
            latency: self.latency,
            jitter: self.jitter,
            rate: self.rate,
            queue: self.queue,
            mtu: self.mtu,
            ..Self::default()
        }
    }

    /// Loses this part.
    pub fn losing(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// Takes this long.
    pub fn taking(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }
}

/// IP and UDP headers.
const HEADERS: usize = 28;

/// A direction with its state.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// How it behaves.
    pub model: LinkModel,
    free: Time,
    last: Time,
    bad: bool,
}

/// What happens to the bytes of one copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// Nothing.
    None,
    /// This bit, modulo the length, is flipped.
    Flip(u64),
    /// Only these many bytes arrive.
    Cut(usize),
}

impl Damage {
    /// Does it.
    pub fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Self::None => {}
            Self::Flip(bit) => {
                let bits = bytes.len() as u64 * 8;
                if bits > 0
                    && let Some(byte) = bytes.get_mut((bit % bits / 8) as usize)
                {
                    *byte ^= 1 << (bit & 7);
                }
            }
            Self::Cut(len) => bytes.truncate(len),
        }
    }
}

impl Link {
    /// A direction that behaves so.
    pub fn new(model: LinkModel) -> Self {
        Self { model, ..Self::default() }
    }

    /// As [`pass`](Self::pass), for one receiver of a multicast that left its sender at `left`: the
    /// queue there, of rate `sender`, is one for all. A link of another rate is narrow at this
    /// receiver, and has a queue of its own.
    pub fn spread(
        &mut self,
        left: Time,
        len: usize,
        sender: Option<u64>,
        rng: &mut Rng,
    ) -> Vec<(Time, Damage)> {
        if self.model.rate != sender {
            return self.pass(left, len, rng);
        }
        let (rate, free) = (self.model.rate.take(), self.free);
        let copies = self.pass(left, len, rng);
        (self.model.rate, self.free) = (rate, free);
        copies
    }

    /// The copies of a datagram of `len` bytes sent now that arrive: none, one or two.
    pub fn pass(&mut self, now: Time, len: usize, rng: &mut Rng) -> Vec<(Time, Damage)> {
        let model = &self.model;
        if let Some(burst) = model.burst {
            self.bad = if self.bad { rng.unit() >= burst.leave } else { rng.unit() < burst.enter };
            if self.bad && rng.unit() < burst.loss {
                return Vec::new();
            }
        }
        let chance = |part: f64, rng: &mut Rng| part > 0.0 && rng.unit() < part;
        if len + HEADERS > model.mtu || chance(model.loss, rng) {
            return Vec::new();
        }
        let start = self.free.max(now);
        if let Some(rate) = model.rate {
            let waiting = start.since(now).as_secs_f64() * rate as f64;
            if waiting as u64 > model.queue {
                return Vec::new();
            }
            let nanos = (len + HEADERS) as u64 * 1_000_000_000 / rate.max(1);
            self.free = start + Duration::from_nanos(nanos);
        }
        let sent = if model.rate.is_some() { self.free } else { start };
        let jitter = rng.below(1 + model.jitter.as_nanos() as u64);
        let mut at = (sent + model.latency + Duration::from_nanos(jitter)).max(self.last);
        self.last = at;
        if chance(model.reorder, rng) {
            at = at + Duration::from_nanos(rng.below(1 + model.reorder_by.as_nanos() as u64));
        }
        let damage = if chance(model.corrupt, rng) {
            if rng.below(4) == 0 {
                Damage::Cut(rng.below(len as u64) as usize)
            } else {
                Damage::Flip(rng.u64())
            }
        } else {
            Damage::None
        };
        let mut copies = vec![(at, damage)];
        if chance(model.duplicate, rng) {
            let later = rng.below(1 + model.reorder_by.as_nanos() as u64);
            copies.push((at + Duration::from_nanos(later), Damage::None));
        }
        copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(model: LinkModel, n: u64) -> Vec<Vec<(Time, Damage)>> {
        let (mut link, mut rng) = (Link::new(model), Rng::new([1; 32]));
        (0..n).map(|i| link.pass(Time(i * 1_000_000), 1_000, &mut rng)).collect()
    }

    fn near(part: usize, of: u64, expected: f64) {
        let share = part as f64 / of as f64;
        assert!((share - expected).abs() < 0.02, "{share} is not near {expected}");
    }

    #[test]
    fn a_good_link_delivers_everything_once_in_order_after_its_latency() {
        let all = passes(LinkModel::default(), 1_000);
        assert!(all.iter().all(|copies| copies.len() == 1 && copies[0].1 == Damage::None));
        assert!(all.is_sorted_by(|a, b| a[0].0 <= b[0].0));
        assert!(all[0][0].0 >= Time(100_000));
    }

    #[test]
    fn faults_come_as_often_as_asked_for() {
        let n = 20_000;
        let lost = |model| passes(model, n).iter().filter(|copies| copies.is_empty()).count();
        near(lost(LinkModel::default().losing(0.2)), n, 0.2);
        let burst = Some(Burst { enter: 0.01, leave: 0.09, loss: 1.0 });
        near(lost(LinkModel { burst, ..LinkModel::default() }), n, 0.1);

        let all = passes(LinkModel { duplicate: 0.1, corrupt: 0.3, ..LinkModel::default() }, n);
        near(all.iter().filter(|copies| copies.len() == 2).count(), n, 0.1);
        near(all.iter().filter(|copies| copies[0].1 != Damage::None).count(), n, 0.3);
    }

    #[test]
    fn only_a_reordering_link_lets_datagrams_overtake() {
        let overtaken = |model: LinkModel| {
            let (mut link, mut rng) = (Link::new(model), Rng::new([1; 32]));
            let times: Vec<Time> =
                (0..1_000).map(|i| link.pass(Time(i * 10_000), 100, &mut rng)[0].0).collect();
            times.windows(2).filter(|pair| pair[0] > pair[1]).count()
        };
        let jitter = Duration::from_millis(5);
        assert_eq!(overtaken(LinkModel { jitter, ..LinkModel::default() }), 0);
        assert!(overtaken(LinkModel { reorder: 0.1, ..LinkModel::default() }) > 50);
    }

    #[test]
    fn a_slow_link_queues_and_then_drops() {
        let model = LinkModel { rate: Some(1_028_000), queue: 5 * 1_028, ..LinkModel::default() };
        let (mut link, mut rng) = (Link::new(model), Rng::new([1; 32]));
        let sent: Vec<_> = (0..20).map(|_| link.pass(Time::ZERO, 1_000, &mut rng)).collect();
        assert_eq!(sent.iter().filter(|copies| !copies.is_empty()).count(), 6);
        assert!(sent[5][0].0 >= Time(6_000_000));
    }

    #[test]
    fn too_large_datagrams_vanish() {
        let (mut link, mut rng) = (Link::default(), Rng::new([1; 32]));
        assert_eq!(link.pass(Time::ZERO, 1_472, &mut rng).len(), 1);
        assert_eq!(link.pass(Time::ZERO, 1_473, &mut rng).len(), 0);
    }

    #[test]
    fn damage_changes_one_bit_or_cuts_the_end() {
        let mut bytes = vec![0; 10];
        Damage::Flip(83).apply(&mut bytes);
        assert_eq!(bytes, [8, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        Damage::Cut(3).apply(&mut bytes);
        assert_eq!(bytes, [8, 0, 0]);
    }
}
