//! Invitations, realm files and key files: what people copy, lose half of and retype.

use motet_crypto::{
    Identity, Invitation, InvitationError, KeyFileError, RealmFileError, RealmNameError,
    RealmSecret,
};
use proptest::prelude::*;

fn invitation() -> Invitation {
    Invitation::new("workshop", RealmSecret::from_bytes([0xa5; 32])).expect("a good name")
}

/// Every text with one character replaced by another one that reads differently.
fn misspellings(text: &str) -> impl Iterator<Item = String> + '_ {
    let others = "abcdefghijklmnopqrstuvwxyz0123456789- \n?é";
    text.char_indices().flat_map(move |(at, old)| {
        others.chars().filter(move |new| *new != old).map(move |new| {
            let (before, after) = (&text[..at], &text[at + old.len_utf8()..]);
            format!("{before}{new}{after}")
        })
    })
}

proptest! {
    #[test]
    fn an_invitation_survives_its_line(name in "[a-zäß日0-9][a-z.äß日-]{0,15}", secret: [u8; 32]) {
        let invitation = Invitation::new(&name, RealmSecret::from_bytes(secret)).unwrap();
        let line = invitation.to_line();
        prop_assert!(line.starts_with("motet1-") && !line.contains('\n'));
        prop_assert_eq!(Invitation::from_line(&line), Ok(invitation.clone()));
        let file = invitation.to_realm_file();
        prop_assert_eq!(Invitation::from_realm_file(&file), Ok(invitation));
    }

    #[test]
    fn any_text_is_answered(text in "(motet[0-9-]{0,3}|motet-realm1 |motet-key1-)?[a-z2-7 \n]{0,200}") {
        prop_assert!(Invitation::from_line(&text).is_err());
        prop_assert!(Invitation::from_realm_file(&text).is_err());
        prop_assert!(Identity::from_key_file(&text).is_err());
    }

    #[test]
    fn a_key_file_keeps_the_key(private: [u8; 32]) {
        let identity = Identity::from_bytes(private);
        let read = Identity::from_key_file(&identity.to_key_file()).unwrap();
        prop_assert_eq!(read.public_key(), identity.public_key());
    }
}

#[test]
fn white_space_line_breaks_and_upper_case_do_no_harm() {
    let line = invitation().to_line();
    let wrapped: String = line.chars().flat_map(|c| [c, '\n', '\t']).collect();
    for text in [format!(" \r\n{}\r\n", *line), line.to_uppercase(), wrapped] {
        assert_eq!(Invitation::from_line(&text), Ok(invitation()));
    }
    let file = invitation().to_realm_file().replace('\n', "\r\n");
    assert_eq!(Invitation::from_realm_file(&file), Ok(invitation()));
    let key = Identity::from_bytes([1; 32]).to_key_file();
    assert!(Identity::from_key_file(&key.to_uppercase()).is_ok());
}

#[test]
fn every_changed_character_is_refused() {
    let line = invitation().to_line();
    for text in misspellings(&line) {
        assert!(Invitation::from_line(&text).is_err(), "{text}");
    }
    let file = invitation().to_realm_file();
    for text in misspellings(file.trim_end()) {
        assert!(Invitation::from_realm_file(&text).is_err(), "{text}");
    }
    let key = Identity::from_bytes([1; 32]).to_key_file();
    for text in misspellings(key.trim_end()) {
        assert!(Identity::from_key_file(&text).is_err(), "{text}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let line = invitation().to_line();
    let file = invitation().to_realm_file();
    let file = file.trim_end();
    let key = Identity::from_bytes([1; 32]).to_key_file();
    let key = key.trim_end();
    for at in 0..line.len() {
        assert!(Invitation::from_line(&line[..at]).is_err());
        assert!(Invitation::from_line(&line[at + 1..]).is_err());
    }
    for at in 0..file.len() {
        assert!(Invitation::from_realm_file(&file[..at]).is_err());
        assert!(Invitation::from_realm_file(&file[at + 1..]).is_err());
    }
    for at in 0..key.len() {
        assert!(Identity::from_key_file(&key[..at]).is_err());
        assert!(Identity::from_key_file(&key[at + 1..]).is_err());
    }
}

#[test]
fn errors_are_told_apart() {
    use InvitationError::{Damaged, Newer, NotAnInvitation};
    let line = invitation().to_line();
    let huge = "motet1-".to_owned() + &"a".repeat(1 << 20);
    for (text, error) in [
        ("", NotAnInvitation),
        ("motet", NotAnInvitation),
        ("motet-key1-aaaa", NotAnInvitation),
        ("motet01-aaaa", NotAnInvitation),
        (&huge, NotAnInvitation),
        ("motet1-", Damaged),
        (&line[..line.len() - 1], Damaged),
        ("motet2-aaaa", Newer),
        ("motet10-aaaa", Newer),
    ] {
        assert_eq!(Invitation::from_line(text), Err(error));
    }
    let file = invitation().to_realm_file();
    for (text, error) in [
        (String::new(), RealmFileError::NotARealmFile),
        (line.to_string(), RealmFileError::NotARealmFile),
        ("motet-realm1".into(), RealmFileError::BadName),
        ("motet-realm1 a b\n".into(), RealmFileError::BadName),
        (file.replace("realm1", "realm2"), RealmFileError::Newer),
        (file.replace("workshop", "workshoq"), RealmFileError::Damaged),
        (file.replace("workshop", "../shop"), RealmFileError::BadName),
        ("motet-realm1 workshop\n".into(), RealmFileError::Damaged),
        (huge.clone(), RealmFileError::NotARealmFile),
    ] {
        assert_eq!(Invitation::from_realm_file(&text), Err(error), "{text}");
    }
    let key = Identity::from_bytes([1; 32]).to_key_file();
    for (text, error) in [
        (String::new(), KeyFileError::NotAKey),
        (line.to_string(), KeyFileError::NotAKey),
        (key.replace("key1", "key2"), KeyFileError::Newer),
        (key.replace("key1-", "key1-a"), KeyFileError::Damaged),
        (huge, KeyFileError::NotAKey),
    ] {
        assert_eq!(Identity::from_key_file(&text).unwrap_err(), error);
    }
}

/// An invitation with a body of our choice and the right checksum.
fn forged(body: &[u8]) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    let sum = digest(&SHA256, &[b"motet invitation", body].concat());
    let bytes = [body, &sum.as_ref()[..4]].concat();
    format!("motet1-{}", data_encoding::BASE32_NOPAD.encode(&bytes))
}

#[test]
fn a_body_with_a_right_checksum_is_still_checked() {
    let secret = [0xa5; 32];
    let body = |start: &[u8]| [start, &secret].concat();
    for (body, answer) in [
        (body(b"\x01\x08workshop"), Ok(invitation())),
        (body(b"\x02\x08workshop"), Err(InvitationError::Newer)),
        (body(b"\x01\x07workshop"), Err(InvitationError::Damaged)),
        (body(b"\x01\x09workshop"), Err(InvitationError::Damaged)),
        (body(b"\x01\xffworkshop"), Err(InvitationError::Damaged)),
        (body(b"\x01\x00"), Err(InvitationError::BadName)),
        (body(b"\x01\x02\xff\xff"), Err(InvitationError::BadName)),
        (body(b"\x01\x04../x"), Err(InvitationError::BadName)),
        (vec![], Err(InvitationError::Damaged)),
        (vec![1], Err(InvitationError::Damaged)),
    ] {
        assert_eq!(Invitation::from_line(&forged(&body)), answer, "{body:?}");
    }
}

#[test]
fn a_realm_name_is_short_printable_and_can_name_a_file() {
    let named = |name: &str| Invitation::new(name, RealmSecret::generate()).map(|_| ());
    for name in ["a", "Werk-3", "prod.eu", "größe", &"x".repeat(63)] {
        assert_eq!(named(name), Ok(()), "{name}");
    }
    for name in ["", " ", "a b", "a\n", "a\0", "a/b", "a\\b", "..", ".a", "-a", &"x".repeat(64)] {
        assert_eq!(named(name), Err(RealmNameError), "{name:?}");
    }
}

#[test]
fn secrets_and_keys_are_fresh() {
    assert_ne!(RealmSecret::generate(), RealmSecret::generate());
    assert_ne!(Identity::generate().public_key(), Identity::generate().public_key());
}

#[test]
fn debug_output_and_errors_hold_no_secret() {
    let secret = RealmSecret::from_bytes([0xa5; 32]);
    let invitation = invitation();
    let line = invitation.to_line();
    let identity = Identity::from_bytes([0xa5; 32]);
    let shown = [
        format!("{secret:?} {secret:#?}"),
        format!("{invitation:?} {invitation:#?}"),
        format!("{identity:?} {identity:#?}"),
        format!("{:?}", motet_crypto::AwsLc::new(identity)),
        format!(
            "{:?}",
            motet_crypto::Sealer::new(motet_proto::crypto::Cipher::Aes128Gcm, &[0xa5; 32])
        ),
        Invitation::from_line(&format!("{}a", *line)).unwrap_err().to_string(),
    ]
    .concat();
    for part in ["165", "a5a5", "A5A5", "uwss", "uxs2", &line[30..40]] {
        assert!(!shown.contains(part), "{part} in {shown}");
    }
    assert!(shown.contains("workshop") && shown.contains("RealmSecret(..)"));
}

#[test]
fn every_error_is_one_line_that_says_what_to_do() {
    use InvitationError::{BadName, Damaged, NotAnInvitation};
    for error in [NotAnInvitation, Damaged, BadName] {
        assert!(error.to_string().ends_with("motet realm invite"));
    }
    for error in [InvitationError::Newer.to_string(), KeyFileError::Damaged.to_string()] {
        assert!(error.contains(": ") && !error.contains('\n'));
    }
}
