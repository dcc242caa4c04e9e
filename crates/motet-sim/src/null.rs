//! A cipher for the simulator, not for people: nothing is secret, but what real cryptography
//! refuses is refused here too. Wrong keys, flipped bytes, wrong headers and wrong numbers fail;
//! the plaintext stays readable, so that rules and traces can look into packets.
//!
//! It also keeps the ledger of O8: no packet number is sealed twice under a key.

use motet_proto::crypto::{Aead, Cipher, Crypto, Handshake, Role};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a tag.
const TAG: usize = 16;

/// What was sealed under which key. Shared by all endpoints of a world.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Books>);

#[derive(Default)]
struct Books {
    keys: Mutex<BTreeMap<[u8; 32], Arc<AtomicU64>>>,
    realm_packets: AtomicU64,
    realm_reused: AtomicU64,
    reused: AtomicU64,
}

impl Ledger {
    /// Times a session sealed a number that was not above all before it under that key.
    pub fn reused(&self) -> u64 {
        self.0.reused.load(Ordering::Relaxed)
    }

    /// Realm packets sealed, and how many of them repeated a number: harmless under GCM-SIV.
    pub fn realm_packets(&self) -> (u64, u64) {
        (self.0.realm_packets.load(Ordering::Relaxed), self.0.realm_reused.load(Ordering::Relaxed))
    }

    fn key(&self, key: &[u8; 32]) -> Arc<AtomicU64> {
        let mut keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(keys.entry(*key).or_default())
    }
}

/// Lets an endpoint lie: its packets are authentic, what they say is changed at random.
#[derive(Clone, Default)]
pub struct Liar(Arc<Lies>);

#[derive(Default)]
struct Lies {
    on: AtomicBool,
    told: AtomicU64,
    script: Mutex<Option<Script>>,
}

/// Rewrites the plaintext of a packet in place.
type Script = Box<dyn FnMut(&mut [u8]) + Send>;

impl Liar {
    /// From now on it lies, or does not.
    pub fn set(&self, lies: bool) {
        self.0.on.store(lies, Ordering::Relaxed);
    }

    /// From now on each session packet says what `script` makes of it; those that it leaves alone
    /// go as they are.
    pub fn script(&self, script: impl FnMut(&mut [u8]) + Send + 'static) {
        *self.0.script.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(script));
    }

    /// From now on its session packets say what `words` returns for their room, and padding.
    /// Packets for which it returns nothing, or too much, go as they are.
    pub fn say(&self, mut words: impl FnMut(usize) -> Vec<u8> + Send + 'static) {
        let lies = Arc::downgrade(&self.0);
        self.script(move |buf| {
            let said = words(buf.len());
            if let Some((front, rest)) = buf.split_at_mut_checked(said.len())
                && !said.is_empty()
            {
                front.copy_from_slice(&said);
                rest.fill(0); // PADDING
                if let Some(lies) = lies.upgrade() {
                    lies.told.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }

    /// It speaks for itself again.
    pub fn hush(&self) {
        *self.0.script.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn speak(&self, buf: &mut [u8]) {
        if let Some(script) = &mut *self.0.script.lock().unwrap_or_else(PoisonError::into_inner) {
            script(buf);
        }
    }

    /// Packets with changed content so far.
    pub fn told(&self) -> u64 {
        self.0.told.load(Ordering::Relaxed)
    }

    /// Every fourth packet says anything; in the others up to four bytes are wrong.
    fn spoil(&self, buf: &mut [u8]) {
        if buf.is_empty() || !self.0.on.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.0.told.fetch_add(1, Ordering::Relaxed);
        let mut next = || {
            state = mix(state, 0x2545_f491_4f6c_dd1d);
            state
        };
        if next() % 4 == 0 {
            buf.iter_mut().for_each(|byte| *byte = next() as u8);
            return;
        }
        for _ in 0..1 + next() % 4 {
            let at = next() as usize % buf.len();
            buf[at] = next() as u8;
        }
    }
}

/// One endpoint's keys.
pub struct NullCrypto {
    secret: [u8; 32],
    public: [u8; 32],
    ledger: Ledger,
    liar: Liar,
}

impl NullCrypto {
    /// The identity that belongs to `secret`.
    pub fn new(secret: [u8; 32], ledger: &Ledger) -> Self {
        let public = digest(b"public", &secret, &[]);
        Self { secret, public, ledger: ledger.clone(), liar: Liar::default() }
    }

    /// The same, with a way to let it lie.
    pub fn lying(self, liar: &Liar) -> Self {
        Self { liar: liar.clone(), ..self }
    }
}

impl Crypto for NullCrypto {
    type Aead = NullAead;
    type Handshake = NullHandshake;

    fn public_key(&self) -> [u8; 32] {
        self.public
    }

    fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        digest(b"hash", &[0; 32], parts)
    }

    fn mac(&self, key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
        digest(b"mac", key, parts)
    }

    fn derive(&self, key: &[u8; 32], info: &[&[u8]]) -> [u8; 32] {
        digest(b"derive", key, info)
    }

    fn private(&self, info: &[u8]) -> [u8; 32] {
        digest(b"private", &self.secret, &[info])
    }

    fn aead(&self, cipher: Cipher, key: &[u8; 32]) -> NullAead {
        let [a, b, c, d] = words(&digest(b"aead", key, &[&[cipher as u8]]));
        let used = self.ledger.key(key);
        let ledger = self.ledger.clone();
        let realm = cipher == Cipher::Aes256GcmSiv;
        NullAead { check: a ^ c, sum: b ^ d, realm, used, ledger, liar: self.liar.clone() }
    }

    fn handshake(
        &self,
        role: Role,
        suite: u8,
        psk: &[u8; 32],
        prologue: &[u8],
        seed: [u8; 32],
    ) -> NullHandshake {
        NullHandshake {
            role,
            psk: *psk,
            public: self.public,
            ephemeral: digest(b"ephemeral", &seed, &[]),
            chain: digest(b"XXpsk3", &[suite; 32], &[prologue]),
            remote: None,
            step: 0,
        }
    }

    fn suites(&self) -> [u8; 4] {
        [3, 1, 2, 0]
    }
}

/// Seals and opens under one key.
pub struct NullAead {
    check: u64,
    sum: u64,
    realm: bool,
    used: Arc<AtomicU64>,
    ledger: Ledger,
    liar: Liar,
}

impl NullAead {
    fn tag(&self, number: u64, aad: &[u8], buf: &[u8]) -> [u8; TAG] {
        let check = mix(self.check ^ number, self.sum ^ 0x9e37_79b9_7f4a_7c15);
        let sum = sum64(sum64(self.sum ^ number, aad), buf);
        let mut tag = [0; TAG];
        tag[..8].copy_from_slice(&check.to_le_bytes());
        tag[8..].copy_from_slice(&sum.to_le_bytes());
        tag
    }
}

impl Aead for NullAead {
    fn seal(&self, number: u64, aad: &[u8], buf: &mut [u8]) -> [u8; TAG] {
        let before = self.used.fetch_max(number.saturating_add(1), Ordering::Relaxed);
        let books = &self.ledger.0;
        if self.realm {
            books.realm_packets.fetch_add(1, Ordering::Relaxed);
            books.realm_reused.fetch_add(u64::from(number < before), Ordering::Relaxed);
        } else {
            books.reused.fetch_add(u64::from(number < before), Ordering::Relaxed);
        }
        self.liar.spoil(buf);
        if !self.realm {
            self.liar.speak(buf);
        }
        self.tag(number, aad, buf)
    }

    fn open(&self, number: u64, aad: &[u8], buf: &mut [u8], tag: &[u8; TAG]) -> bool {
        self.tag(number, aad, buf) == *tag
    }
}

/// A handshake of the shape of Noise_XXpsk3: the same messages of the same lengths, the pre-shared
/// key mixed in before the last payload.
#[derive(Clone)]
pub struct NullHandshake {
    role: Role,
    psk: [u8; 32],
    public: [u8; 32],
    ephemeral: [u8; 32],
    chain: [u8; 32],
    remote: Option<[u8; 32]>,
    step: u8,
}

impl NullHandshake {
    fn mix(&mut self, label: &[u8], bytes: &[u8]) {
        self.chain = digest(label, &self.chain, &[bytes]);
    }

    fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.mix(b"sealed", bytes);
        out.extend_from_slice(bytes);
        out.extend_from_slice(&self.chain[..TAG]);
    }

    fn take<'a>(&mut self, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (bytes, tag) = sealed.split_last_chunk::<TAG>()?;
        self.mix(b"sealed", bytes);
        (self.chain[..TAG] == tag[..]).then_some(bytes)
    }

    fn ours(&self, step: u8, writing: bool) -> bool {
        let initiators = step != 1;
        step < 3 && (initiators == (self.role == Role::Initiator)) == writing
    }

    fn read_message<'a>(&mut self, message: &'a [u8]) -> Option<&'a [u8]> {
        let mut rest = message;
        if self.step < 2 {
            let (ephemeral, more) = rest.split_first_chunk::<32>()?;
            self.mix(b"e", ephemeral);
            rest = more;
        }
        if self.step > 0 {
            let (public, more) = rest.split_first_chunk::<48>()?;
            self.remote = Some(self.take(public)?.try_into().ok()?);
            rest = more;
        }
        if self.step == 2 {
            let psk = self.psk;
            self.mix(b"psk", &psk);
        }
        self.take(rest)
    }
}

impl Handshake for NullHandshake {
    fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        if !self.ours(self.step, true) {
            return false;
        }
        if self.step < 2 {
            let ephemeral = self.ephemeral;
            self.mix(b"e", &ephemeral);
            out.extend_from_slice(&ephemeral);
        }
        if self.step > 0 {
            let public = self.public;
            self.put(&public, out);
        }
        if self.step == 2 {
            let psk = self.psk;
            self.mix(b"psk", &psk);
        }
        self.put(payload, out);
        self.step += 1;
        true
    }

    fn read(&mut self, message: &[u8], payload: &mut Vec<u8>) -> bool {
        if !self.ours(self.step, false) {
            return false;
        }
        let before = self.clone();
        match self.read_message(message) {
            Some(read) => {
                payload.extend_from_slice(read);
                self.step += 1;
                true
            }
            None => {
                *self = before;
                false
            }
        }
    }

    fn remote_key(&self) -> Option<[u8; 32]> {
        self.remote
    }

    fn split(&mut self) -> Option<([u8; 32], [u8; 32])> {
        let keys = |label| digest(label, &self.chain, &[]);
        (self.step == 3).then(|| (keys(b"to responder"), keys(b"to initiator")))
    }
}

/// Multiplies into 128 bits and folds: the mixing step of wyhash.
fn mix(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ 0xa076_1d64_78bd_642f) * u128::from(b ^ 0xe703_7ed1_a0b4_28db);
    (wide as u64) ^ (wide >> 64) as u64
}

/// A 64-bit sum of `bytes` under `key`; not cryptographic.
pub fn sum64(key: u64, bytes: &[u8]) -> u64 {
    let mut sum = mix(key, bytes.len() as u64);
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        sum = mix(sum, u64::from_le_bytes(*chunk)).rotate_left(23).wrapping_add(key);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(sum, u64::from_le_bytes(last))
}

fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let mut out = [0; 4];
    for (word, chunk) in out.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    out
}

/// 32 bytes that depend on the label, the key and the parts one after the other.
fn digest(label: &[u8], key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut state = words(key);
    let whole = parts.concat(); // a hash of the parts joined, as SHA-256 would be
    for (i, word) in state.iter_mut().enumerate() {
        let lane = mix(i as u64 + 1, sum64(*word, label));
        *word = sum64(lane, &whole);
    }
    for round in 0..8 {
        state[round & 3] = mix(state[round & 3], state[(round + 1) & 3].rotate_left(17));
    }
    let mut out = [0; 32];
    for (chunk, word) in out.as_chunks_mut::<8>().0.iter_mut().zip(state) {
        *chunk = word.to_le_bytes();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(psks: [[u8; 32]; 2]) -> [NullHandshake; 2] {
        let ledger = Ledger::default();
        let begin = |role, n: u8, psk| {
            NullCrypto::new([n; 32], &ledger).handshake(role, 1, &psk, b"prologue", [n; 32])
        };
        [begin(Role::Initiator, 1, psks[0]), begin(Role::Responder, 2, psks[1])]
    }

    /// Runs a handshake; `damage` flips a byte of that message. Returns the messages read.
    fn run(
        mut sides: [NullHandshake; 2],
        damage: Option<(usize, usize)>,
    ) -> (usize, [NullHandshake; 2]) {
        for step in 0..3 {
            let (from, to) = (step % 2, (step + 1) % 2);
            let mut message = Vec::new();
            assert!(sides[from].write(b"payload", &mut message));
            if let Some((which, at)) = damage
                && which == step
            {
                message[at] ^= 1;
            }
            let mut payload = Vec::new();
            if !sides[to].read(&message, &mut payload) {
                return (step, sides);
            }
            assert_eq!(payload, b"payload");
        }
        (3, sides)
    }

    #[test]
    fn a_handshake_ends_in_the_same_keys_and_tells_who_is_there() {
        let (read, [mut a, mut b]) = run(pair([[7; 32]; 2]), None);
        assert_eq!(read, 3);
        assert_eq!(a.split(), b.split());
        assert!(a.split().is_some_and(|(i, r)| i != r));
        assert_eq!((a.remote_key(), b.remote_key()), (Some(b.public), Some(a.public)));
    }

    #[test]
    fn the_first_message_is_48_bytes_long() {
        let [mut a, _] = pair([[7; 32]; 2]);
        let mut message = Vec::new();
        assert!(a.write(&[], &mut message));
        assert_eq!(message.len(), 48);
        assert!(!a.write(&[], &mut message), "it is not our turn");
    }

    #[test]
    fn a_wrong_pre_shared_key_fails_at_the_third_message() {
        assert_eq!(run(pair([[7; 32], [8; 32]]), None).0, 2);
    }

    #[test]
    fn a_flipped_byte_fails_at_its_message() {
        for step in 0..3 {
            assert_eq!(run(pair([[7; 32]; 2]), Some((step, 5))).0, step);
        }
    }

    #[test]
    fn a_packet_opens_only_as_it_was_sealed() {
        let ledger = Ledger::default();
        let crypto = NullCrypto::new([1; 32], &ledger);
        let [aead, other] = [1, 2].map(|n| crypto.aead(Cipher::Aes256Gcm, &[n; 32]));
        let mut body = *b"seventeen bytes..";
        let tag = aead.seal(4, b"head", &mut body);

        assert!(aead.open(4, b"head", &mut body, &tag));
        assert!(!aead.open(5, b"head", &mut body, &tag));
        assert!(!aead.open(4, b"hea", &mut body, &tag));
        assert!(!other.open(4, b"head", &mut body, &tag));
        for at in 0..body.len() {
            body[at] ^= 0x10;
            assert!(!aead.open(4, b"head", &mut body, &tag));
            body[at] ^= 0x10;
        }
    }

    #[test] // O8
    fn a_number_sealed_twice_under_a_key_is_noticed() {
        let ledger = Ledger::default();
        let [a, b] = [1, 2].map(|n| NullCrypto::new([n; 32], &ledger));
        let [one, clone] = [&a, &b].map(|crypto| crypto.aead(Cipher::Aes128Gcm, &[9; 32]));
        one.seal(0, &[], &mut []);
        one.seal(1, &[], &mut []);
        assert_eq!(ledger.reused(), 0);

        clone.seal(1, &[], &mut []);
        assert_eq!(ledger.reused(), 1);

        let realm = a.aead(Cipher::Aes256GcmSiv, &[3; 32]);
        realm.seal(1, &[], &mut []);
        realm.seal(1, &[], &mut []);
        assert_eq!((ledger.reused(), ledger.realm_packets()), (1, (2, 1)));
    }
}
