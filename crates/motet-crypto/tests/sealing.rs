//! Packets: what was sealed opens once more, and nothing else does.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use data_encoding::HEXLOWER;
use motet_crypto::{AwsLc, Identity, Sealer};
use motet_proto::crypto::{Aead, Cipher, Crypto};

const CIPHERS: [Cipher; 4] =
    [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305, Cipher::Aes128Gcm, Cipher::Aes256GcmSiv];

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).expect("hex")
}

#[test]
fn a_sealed_packet_opens_to_what_it_was() {
    for cipher in CIPHERS {
        for length in [0, 1, 15, 16, 17, 64, 1400, 60_000] {
            let plain: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut packet = plain.clone();
            let key = Sealer::new(cipher, &[7; 32]);
            let tag = key.seal(u64::MAX, b"header", &mut packet);
            assert!(length < 15 || packet != plain, "{cipher:?} encrypts");
            assert!(key.open(u64::MAX, b"header", &mut packet, &tag), "{cipher:?} {length}");
            assert_eq!(packet, plain);
        }
    }
}

#[test]
fn a_packet_sealed_out_of_two_parts_is_the_packet_sealed_whole() {
    let plain: Vec<u8> = (0..20_000).map(|i| i as u8).collect();
    for cipher in [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305, Cipher::Aes128Gcm] {
        let key = Sealer::new(cipher, &[7; 32]);
        for (begin, end) in [(0, 0), (0, 17), (1, 0), (1, 1), (15, 16), (21, 19_979), (48, 4_000)] {
            let mut whole = plain[..begin + end].to_vec();
            let tag = key.seal(3, b"header", &mut whole);
            whole.extend_from_slice(&tag);

            let mut parts = plain[..begin].to_vec();
            parts.resize(begin + end + tag.len(), 0xaa);
            key.seal_onto(3, b"header", &mut parts, &plain[begin..begin + end]);
            assert_eq!(parts, whole, "{cipher:?} {begin} + {end}");
        }
    }
}

#[test]
fn a_packet_with_anything_changed_does_not_open() {
    for cipher in CIPHERS {
        let key = Sealer::new(cipher, &[7; 32]);
        let (header, number) = (*b"header", 9);
        let mut packet = *b"forty-one bytes, which is not a multiple.";
        let tag = key.seal(number, &header, &mut packet);
        for at in 0..packet.len() {
            let mut packet = packet;
            packet[at] ^= 1;
            assert!(!key.open(number, &header, &mut packet, &tag), "{cipher:?} byte {at}");
        }
        for at in 0..tag.len() {
            let mut tag = tag;
            tag[at] ^= 0x80;
            assert!(!key.open(number, &header, &mut packet.clone(), &tag), "{cipher:?} tag {at}");
        }
        for at in 0..header.len() {
            let mut header = header;
            header[at] ^= 1;
            assert!(!key.open(number, &header, &mut packet.clone(), &tag), "{cipher:?} aad {at}");
        }
        for bit in 0..64 {
            let number = number ^ (1 << bit);
            assert!(!key.open(number, &header, &mut packet.clone(), &tag), "{cipher:?} {number}");
        }
        assert!(!key.open(number, &header, &mut { packet }[1..], &tag));
        assert!(!key.open(number, &header, &mut [], &tag));
        assert!(!Sealer::new(cipher, &[8; 32]).open(number, &header, &mut packet.clone(), &tag));
        assert!(key.open(number, &header, &mut packet, &tag), "{cipher:?} unchanged");
    }
}

#[test]
fn aes_128_takes_the_first_half_of_the_key() {
    let mut other_half = [7; 32];
    other_half[16..].fill(0);
    let mut packet = *b"packet";
    let tag = Sealer::new(Cipher::Aes128Gcm, &[7; 32]).seal(1, b"", &mut packet);
    assert!(Sealer::new(Cipher::Aes128Gcm, &other_half).open(1, b"", &mut packet, &tag));
}

#[test]
fn the_nonce_is_four_zero_bytes_and_the_number_little_endian() {
    let mut packet = *b"packet";
    let tag = Sealer::new(Cipher::Aes256Gcm, &[7; 32]).seal(0x0102, b"aad", &mut packet);
    let nonce = Nonce::assume_unique_for_key([0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let mut sealed = [&packet[..], &tag].concat();
    assert_eq!(key.open_in_place(nonce, Aad::from(b"aad"), &mut sealed).unwrap(), b"packet");
}

/// Cases 2 and 14 of the specification of GCM (McGrew and Viega): all zero.
#[test]
fn aes_gcm_agrees_with_its_specification() {
    for (cipher, sealed, expected_tag) in [
        (Cipher::Aes128Gcm, "0388dace60b6a392f328c2b971b2fe78", "ab6e47d42cec13bdf53a67b21257bddf"),
        (Cipher::Aes256Gcm, "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"),
    ] {
        let mut packet = [0; 16];
        let tag = Sealer::new(cipher, &[0; 32]).seal(0, b"", &mut packet);
        assert_eq!(packet, *hex(sealed), "{cipher:?}");
        assert_eq!(tag, *hex(expected_tag), "{cipher:?}");
    }
}

/// RFC 8452 appendix C.3, the first case: the only vectors with a nonce of zero.
#[test]
fn aes_gcm_siv_agrees_with_rfc_8452() {
    let mut packet = hex("000000000000000000000000000000004db923dc793ee6497c76dcc03a98e108");
    let tag = Sealer::new(Cipher::Aes256GcmSiv, &[0; 32]).seal(0, b"", &mut packet);
    let sealed = "f3f80f2cf0cb2dd9c5984fcda908456cc537703b5ba70324a6793a7bf218d3ea";
    assert_eq!(packet, hex(sealed));
    assert_eq!(tag, *hex("ffffffff000000000000000000000000"));
}

#[test]
fn derive_is_hkdf_built_from_mac() {
    let crypto = AwsLc::new(Identity::generate());
    let extracted = crypto.mac(&[0; 32], &[&[5; 32]]);
    let expanded = crypto.mac(&extracted, &[b"la", b"bel", &[1]]);
    assert_eq!(crypto.derive(&[5; 32], &[b"label"]), expanded);
    assert_eq!(crypto.derive(&[5; 32], &[b"", b"lab", b"el"]), expanded, "parts are joined");
    let long = [0; 4096];
    assert_ne!(crypto.derive(&[5; 32], &[&long]), crypto.derive(&[5; 32], &[&long[1..]]));
}

#[test]
fn private_derivation_depends_on_the_identity_and_the_label() {
    let one = AwsLc::new(Identity::from_bytes([1; 32]));
    let two = AwsLc::new(Identity::from_bytes([2; 32]));
    assert_eq!(one.private(b"reset"), AwsLc::new(Identity::from_bytes([1; 32])).private(b"reset"));
    assert_ne!(one.private(b"reset"), one.private(b"cookie"));
    assert_ne!(one.private(b"reset"), two.private(b"reset"));
}

#[test]
fn three_suites_are_offered_each_once() {
    let mut suites = AwsLc::new(Identity::generate()).suites();
    assert_eq!(suites[3], 0);
    suites.sort_unstable();
    assert_eq!(suites, [0, 1, 2, 3]);
}

/// `cargo test --release -p motet-crypto --test sealing -- --ignored --nocapture`
#[test]
#[ignore = "measures; says something only in release on an idle machine"]
#[expect(clippy::disallowed_methods, reason = "a stopwatch is the point")]
fn sealing_speed() {
    for cipher in CIPHERS {
        let key = Sealer::new(cipher, &[7; 32]);
        for length in [64, 1400, 60_000] {
            let rounds: u32 = if length > 10_000 { 20_000 } else { 400_000 };
            let mut packet = vec![0; length];
            let (mut sealing, mut opening) = (u128::MAX, u128::MAX);
            for run in 0..5 {
                let first = u64::from(run * rounds);
                let start = std::time::Instant::now();
                for number in first..first + u64::from(rounds) {
                    std::hint::black_box(key.seal(number, &[0; 16], &mut packet));
                }
                sealing = sealing.min(start.elapsed().as_nanos() / u128::from(rounds));
                let sealed = packet.clone();
                let tag = key.seal(0, &[0; 16], &mut packet);
                let cipher_text = std::mem::replace(&mut packet, sealed);
                let mut failed = 0;
                let start = std::time::Instant::now();
                for _ in 0..rounds {
                    packet.copy_from_slice(&cipher_text);
                    failed += u32::from(!key.open(0, &[0; 16], &mut packet, &tag));
                }
                opening = opening.min(start.elapsed().as_nanos() / u128::from(rounds));
                assert_eq!(failed, 0);
            }
            println!("{cipher:?} {length} B: seal {sealing} ns, open with a copy {opening} ns");
        }
    }
}
