//! SIGINT and SIGTERM: the first one ends politely, the second one at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit::Exit;

/// Whether somebody asked the command to end.
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens from now on. Without signal handlers the command ends as the system does it.
    pub(crate) fn listen() -> Self {
        let (caught, seen) = watch::channel(false);
        // At once: a signal that comes before the task has its first turn counts too.
        let handlers = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        tokio::spawn(async move {
            let (Ok(mut int), Ok(mut term)) = handlers else { return };
            let mut again = false;
            loop {
                tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
                if again {
                    std::process::exit(Exit::Interrupted as i32);
                }
                again = true;
                caught.send_replace(true);
            }
        });
        Self(seen)
    }

    /// Waits for the first signal.
    pub(crate) async fn caught(&mut self) {
        if self.0.wait_for(|caught| *caught).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
