//! Texts that people paste and files that they edit.

use motet_crypto::{Identity, Invitation};

/// The input is read as an invitation, a realm file and a key file.
pub fn invitation(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(read) = Invitation::from_line(&text) {
        assert_eq!(Invitation::from_line(&read.to_line()), Ok(read.clone()));
        assert_eq!(Invitation::from_realm_file(&read.to_realm_file()), Ok(read));
    }
    if let Ok(read) = Invitation::from_realm_file(&text) {
        assert_eq!(Invitation::from_realm_file(&read.to_realm_file()), Ok(read.clone()));
        assert_eq!(Invitation::from_line(&read.to_line()), Ok(read));
    }
    if let Ok(read) = Identity::from_key_file(&text) {
        let again = Identity::from_key_file(&read.to_key_file());
        assert_eq!(again.map(|identity| identity.public_key()), Ok(read.public_key()));
    }
}
