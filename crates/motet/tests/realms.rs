//! Realms of a state directory: made, shared, refused.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use motet::{Endpoint, OpenError, RealmError, Realms, Scope};

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("motet-realm-{}-{name}", std::process::id()));
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_invitation_makes_the_same_realm_elsewhere() {
    let (here, there) = (Directory::new("here"), Directory::new("there"));
    let (here, there) = (Realms::at(&here.0).unwrap(), Realms::at(&there.0).unwrap());
    assert!(here.init("plant").unwrap() && !here.init("plant").unwrap());
    let line = here.invite("plant").unwrap();
    assert!(line.as_str().starts_with("motet1-") && !format!("{line:?}").contains(line.as_str()));
    let (joined, stored) = there.join(line.as_str()).unwrap();
    assert!(stored && !there.join(line.as_str()).unwrap().1);
    assert_eq!(joined.fingerprint, here.show("plant").unwrap().fingerprint);
    assert_eq!(there.list().unwrap(), ["plant"]);
    assert_eq!(std::fs::metadata(&joined.path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn joining_never_replaces_another_secret() {
    let (here, there) = (Directory::new("one"), Directory::new("two"));
    let (here, there) = (Realms::at(&here.0).unwrap(), Realms::at(&there.0).unwrap());
    assert!(here.init("plant").unwrap() && there.init("plant").unwrap());
    let before = there.show("plant").unwrap();
    let refused = there.join(here.invite("plant").unwrap().as_str());
    assert!(matches!(refused, Err(RealmError::Exists { .. })));
    assert_eq!(there.show("plant").unwrap(), before);
}

#[test]
fn a_damaged_line_and_a_wicked_name_are_refused_and_leave_nothing() {
    let directory = Directory::new("damaged");
    let realms = Realms::at(&directory.0).unwrap();
    realms.init("a").unwrap();
    let line = realms.invite("a").unwrap().to_string();
    std::fs::remove_file(realms.show("a").unwrap().path).unwrap();
    assert!(matches!(realms.join(&line[..line.len() - 3]), Err(RealmError::Invitation(_))));
    assert!(matches!(realms.init("../a"), Err(RealmError::Name(_))));
    assert!(matches!(realms.invite("b"), Err(RealmError::NotFound { .. })));
    assert!(realms.list().unwrap().is_empty());
}

#[tokio::test]
async fn a_secret_that_others_may_read_is_refused_with_the_remedy() {
    let directory = Directory::new("open");
    let realms = Realms::at(&directory.0).unwrap();
    realms.init("default").unwrap();
    let path = realms.show("default").unwrap().path;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let opened = Endpoint::builder().state_dir(&directory.0).scope(Scope::Host).open().await;
    let Err(OpenError::Realm(error)) = opened else { panic!("it is refused") };
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[tokio::test]
async fn a_damaged_realm_file_is_refused_with_the_remedy() {
    let directory = Directory::new("broken");
    let realms = Realms::at(&directory.0).unwrap();
    realms.init("default").unwrap();
    let path = realms.show("default").unwrap().path;
    std::fs::write(&path, "motet-realm1 default\nnonsense\n").unwrap();
    let opened = Endpoint::builder().state_dir(&directory.0).scope(Scope::Host).open().await;
    let Err(OpenError::Realm(error)) = opened else { panic!("it is refused") };
    assert!(error.to_string().contains("motet realm"), "{error}");
}
