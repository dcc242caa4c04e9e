//! A role that runs until it is interrupted, and says how it stands.

use std::time::Duration;

use crate::exit::{Exit, Failure};

/// Tells how a role stands whenever that has changed, until it stands no more: why it ends then.
/// `standing` is `None` once the role has stopped by itself.
pub(super) async fn follow(
    role: &str,
    standing: impl AsyncFn() -> Option<String>,
    mut tell: impl FnMut(&str) -> Result<(), Failure>,
) -> Failure {
    let mut ticks = tokio::time::interval(LOOK);
    let mut told = String::new();
    loop {
        ticks.tick().await;
        let Some(line) = standing().await else { return stopped(role) };
        if line != told {
            if let Err(failure) = tell(&line) {
                return failure;
            }
            told = line;
        }
    }
}

/// A role that has stopped though nobody asked it to.
pub(super) fn stopped(role: &str) -> Failure {
    let what = format!(
        "the {role} has stopped: its endpoint is closed, or its loop broke; start it again, and \
         report this with what it said before"
    );
    Failure::new(Exit::Failed, "M0412", what)
}

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use motet::role::{Broker, NameServer};
    use motet::{Endpoint, Scope};

    use super::*;

    #[tokio::test]
    async fn a_role_that_stops_by_itself_ends_its_command_with_m0412_and_what_to_do() {
        let state = std::env::temp_dir().join(format!("motet-role-{}", std::process::id()));
        let open = async |name: &str| {
            let builder = Endpoint::builder().name(name).state_dir(&state).scope(Scope::Host);
            builder.open().await.expect("it opens")
        };
        let (desk, book) = (open("desk").await, open("book").await);
        let broker = Broker::new().start(&desk).await.expect("it starts");
        let names = NameServer::new().start(&book).await.expect("it starts");
        let mut lines = Vec::new();
        for (role, end) in [("broker", desk), ("name server", book)] {
            let standing = async || match role {
                "broker" => broker.report().await.map(|_| role.to_owned()),
                _ => names.report().await.map(|_| role.to_owned()),
            };
            // Said once, however often it is looked at; then it stops under our hands.
            let mut end = Some(end);
            let mut closing = None;
            let failure = follow(role, standing, |line| {
                lines.push(line.to_owned());
                let end = end.take().expect("it is said once");
                closing = Some(tokio::spawn(async move { end.close(LOOK).await }));
                Ok(())
            });
            let failure = failure.await;
            assert!(format!("{failure:?}").contains("M0412"), "{failure:?}");
            let (exit, what) = failure.said();
            assert_eq!(exit, Exit::Failed);
            assert!(what.contains(role) && what.contains("start it again"), "{what}");
        }
        assert_eq!(lines, ["broker", "name server"]);
        let _ = std::fs::remove_dir_all(&state);
    }
}
