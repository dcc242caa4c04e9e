//! The handshake as the core sees it.

use motet_crypto::{AwsLc, Identity, NoiseHandshake, endpoint_id};
use motet_proto::crypto::{Crypto, Handshake, Role};

const PSK: [u8; 32] = [3; 32];
const PROLOGUE: [u8; 48] = [9; 48];

fn alice() -> AwsLc {
    AwsLc::new(Identity::from_bytes([1; 32]))
}

fn bob() -> AwsLc {
    AwsLc::new(Identity::from_bytes([2; 32]))
}

fn pair(suite: u8) -> (NoiseHandshake, NoiseHandshake) {
    (
        alice().handshake(Role::Initiator, suite, &PSK, &PROLOGUE, [11; 32]),
        bob().handshake(Role::Responder, suite, &PSK, &PROLOGUE, [22; 32]),
    )
}

/// Sends one message; the payload that arrived, if it did.
fn pass(from: &mut NoiseHandshake, to: &mut NoiseHandshake, payload: &[u8]) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    assert!(from.write(payload, &mut message));
    let mut read = Vec::new();
    to.read(&message, &mut read).then_some(read)
}

fn finish(mut initiator: NoiseHandshake, mut responder: NoiseHandshake) -> ([u8; 32], [u8; 32]) {
    assert!(pass(&mut initiator, &mut responder, b"1").is_some());
    assert!(pass(&mut responder, &mut initiator, b"2").is_some());
    assert!(pass(&mut initiator, &mut responder, b"3").is_some());
    let keys = initiator.split().expect("finished");
    assert_eq!(responder.split(), Some(keys));
    keys
}

#[test]
fn three_messages_carry_payloads_and_public_keys_and_end_in_keys_for_each_direction() {
    for suite in 1..=3 {
        let (mut initiator, mut responder) = pair(suite);
        assert_eq!(pass(&mut initiator, &mut responder, b"").unwrap(), b"");
        assert_eq!((initiator.remote_key(), responder.remote_key()), (None, None));
        assert_eq!(pass(&mut responder, &mut initiator, b"params").unwrap(), b"params");
        assert_eq!(initiator.remote_key(), Some(bob().public_key()));
        assert_eq!((initiator.split(), responder.split()), (None, None), "not yet");
        let long = vec![5; 1200];
        assert_eq!(pass(&mut initiator, &mut responder, &long).unwrap(), long);
        assert_eq!(responder.remote_key(), Some(alice().public_key()));
        let keys = initiator.split().unwrap();
        assert_eq!(responder.split(), Some(keys));
        assert_ne!(keys.0, keys.1);
    }
}

#[test]
fn messages_without_payload_have_48_96_and_64_bytes() {
    let (mut initiator, mut responder) = pair(3);
    let (mut message, mut nothing) = (Vec::new(), Vec::new());
    for expected in [48, 96, 64] {
        message.clear();
        assert!(initiator.write(b"", &mut message));
        assert_eq!(message.len(), expected);
        assert!(responder.read(&message, &mut nothing));
        std::mem::swap(&mut initiator, &mut responder);
    }
    assert!(nothing.is_empty());
}

#[test]
fn messages_and_payloads_are_appended() {
    let (mut initiator, mut responder) = pair(1);
    let mut message = b"header".to_vec();
    assert!(initiator.write(b"payload", &mut message));
    let mut payload = b"before ".to_vec();
    assert!(responder.read(&message[6..], &mut payload));
    assert_eq!((&message[..6], &payload[..]), (&b"header"[..], &b"before payload"[..]));
}

#[test]
fn a_wrong_psk_fails_at_the_third_message_and_names_nobody() {
    for suite in 1..=3 {
        let (mut initiator, _) = pair(suite);
        let mut responder = bob().handshake(Role::Responder, suite, &[4; 32], &PROLOGUE, [22; 32]);
        assert!(pass(&mut initiator, &mut responder, b"").is_some());
        assert!(pass(&mut responder, &mut initiator, b"").is_some());
        assert_eq!(pass(&mut initiator, &mut responder, b""), None);
        assert_eq!((responder.remote_key(), responder.split()), (None, None));
    }
}

#[test]
fn every_byte_of_the_prologue_counts() {
    for at in 0..PROLOGUE.len() {
        let mut prologue = PROLOGUE;
        prologue[at] ^= 1;
        let (mut initiator, _) = pair(3);
        let mut responder = bob().handshake(Role::Responder, 3, &PSK, &prologue, [22; 32]);
        assert_eq!(pass(&mut initiator, &mut responder, b""), None, "byte {at}");
    }
}

#[test]
fn every_byte_of_every_message_counts() {
    for turn in 0..3 {
        for at in 0..[48, 96, 64][turn] {
            let (mut initiator, mut responder) = pair(2);
            for _ in 0..turn {
                assert!(pass(&mut initiator, &mut responder, b"").is_some());
                std::mem::swap(&mut initiator, &mut responder);
            }
            let mut message = Vec::new();
            assert!(initiator.write(b"", &mut message));
            message[at] ^= 1;
            let mut payload = b"kept".to_vec();
            assert!(!responder.read(&message, &mut payload), "message {turn} byte {at}");
            assert_eq!(payload, b"kept", "nothing unauthentic is handed out");
            message[at] ^= 1;
            assert_eq!((responder.remote_key(), responder.split()), (None, None));
            // Only who holds the true third message can spoil its end: then the handshake is over.
            let over = turn == 2 && at >= 48;
            assert_eq!(responder.read(&message, &mut payload), !over, "message {turn} byte {at}");
        }
    }
}

#[test]
fn short_long_and_degenerate_messages_are_refused() {
    let small_order = [[0; 32], [0; 32]].concat();
    let huge = vec![7; 70_000];
    let (mut initiator, _) = pair(3);
    let mut first = Vec::new();
    assert!(initiator.write(b"", &mut first));
    for length in 0..first.len() {
        assert!(!pair(3).1.read(&first[..length], &mut Vec::new()), "{length} bytes");
    }
    for message in [&small_order[..], &huge[..], &[]] {
        assert!(!pair(3).1.read(message, &mut Vec::new()));
    }
    assert!(!initiator.read(&huge, &mut Vec::new()));
    assert!(!pair(3).0.write(&huge, &mut Vec::new()), "more than Noise allows");
}

#[test]
fn a_public_key_of_small_order_ends_the_handshake() {
    let (mut initiator, _) = pair(3);
    assert!(initiator.write(b"", &mut Vec::new()));
    assert!(!initiator.read(&[0; 96], &mut Vec::new()), "DH with zero is refused");
}

#[test]
fn a_side_out_of_turn_writes_nothing() {
    let mut out = Vec::new();
    assert!(!pair(3).1.write(b"", &mut out));
    let (mut initiator, _) = pair(3);
    assert!(initiator.write(b"", &mut Vec::new()));
    assert!(!initiator.write(b"", &mut out));
    assert!(out.is_empty());
}

#[test]
fn an_unknown_suite_is_dead_from_the_start() {
    for suite in [0, 4, 255] {
        let mut dead = alice().handshake(Role::Initiator, suite, &PSK, &PROLOGUE, [0; 32]);
        assert!(!dead.write(b"", &mut Vec::new()));
        assert!(!dead.read(&[0; 48], &mut Vec::new()));
        assert_eq!((dead.remote_key(), dead.split()), (None, None));
    }
}

#[test]
fn suites_do_not_mix_unless_they_share_a_pattern() {
    for (ours, theirs, works) in [(1, 2, false), (2, 3, false), (1, 3, true)] {
        let (mut initiator, _) = pair(ours);
        let (_, mut responder) = pair(theirs);
        assert_eq!(pass(&mut initiator, &mut responder, b"").is_some(), works);
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = |seed| {
        let mut message = Vec::new();
        let mut initiator = alice().handshake(Role::Initiator, 3, &PSK, &PROLOGUE, seed);
        assert!(initiator.write(b"hello", &mut message));
        message
    };
    assert_eq!(first([1; 32]), first([1; 32]));
    assert_ne!(first([1; 32])[..32], first([2; 32])[..32]);
    let (initiator, responder) = pair(3);
    let keys = finish(initiator, responder);
    let (initiator, responder) = pair(3);
    assert_eq!(finish(initiator, responder), keys);
}

#[test]
fn one_identity_carries_many_handshakes_at_a_time() {
    let (alice, bob) = (alice(), bob());
    let open: Vec<_> = (0..8)
        .map(|n| {
            (
                alice.handshake(Role::Initiator, 3, &PSK, &PROLOGUE, [n; 32]),
                bob.handshake(Role::Responder, 3, &PSK, &PROLOGUE, [100 + n; 32]),
            )
        })
        .collect();
    let mut keys: Vec<_> = open.into_iter().map(|(i, r)| finish(i, r)).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 8);
}

#[test]
fn an_endpoint_id_is_the_truncated_hash_of_the_public_key() {
    let crypto = alice();
    let hash = crypto.hash(&[b"motet-id", &crypto.public_key()]);
    assert_eq!(crypto.endpoint_id().0, hash[..16]);
    assert_eq!(endpoint_id(&crypto.public_key()), crypto.endpoint_id());
    assert_ne!(alice().endpoint_id(), bob().endpoint_id());
}
