//! `motet bootstrap`: a contact in the foreground.

use clap::Args;

use crate::command::endpoint::choice::Choice;
use crate::command::endpoint::watch;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet bootstrap` is told.
#[derive(Args, Debug)]
pub(crate) struct BootstrapArgs {}

pub(crate) async fn run(
    BootstrapArgs {}: BootstrapArgs,
    context: &Context,
) -> Result<Exit, Failure> {
    let endpoint = context.open(context.builder()?.role_bootstrap()).await?;
    let listen = endpoint.local_addr();
    let port = listen.port();
    // Others try the first four ports by themselves.
    let port = if (37_321..=37_324).contains(&port) { String::new() } else { format!(":{port}") };
    let addresses = match listen.ip() {
        all if all.is_unspecified() => endpoint.snapshot().endpoint.addresses,
        one => vec![one.to_string()],
    };
    for address in &addresses {
        let address = match (address.contains(':'), port.is_empty()) {
            (true, false) => format!("[{address}]"),
            _ => address.clone(),
        };
        context.out.remark(format!(
            "others in realm {} enter with: motet --peer {address}{port}",
            context.global.realm
        ));
    }
    watch::run(&endpoint, &Choice::default(), context).await?;
    Ok(Exit::Done)
}
