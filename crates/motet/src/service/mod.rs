//! Services: a request goes to a name, and one of the instances behind it answers.
//!
//! ```no_run
//! use motet::{Endpoint, service::ServeOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // In one program …
//! let endpoint = Endpoint::builder().name("shouter").open().await?;
//! let mut server = endpoint.serve("shout", ServeOptions::new()).await?;
//! while let Some(request) = server.next().await {
//!     let answer = request.body().to_ascii_uppercase();
//!     request.reply(answer)?;
//! }
//!
//! // … and in another, on any machine of the network.
//! let endpoint = Endpoint::builder().open().await?;
//! let reply = endpoint.call("shout", "hello").await?;
//! assert_eq!(reply.body(), b"HELLO");
//! # Ok(())
//! # }
//! ```
//!
//! - **Nobody there** is an error as soon as discovery has settled, not after a timeout.
//! - **Retries** happen only where they do no harm: with an idempotency key at the server that has
//!   it, with a service or a call that is declared safe anywhere, and always for what was provably
//!   not begun.
//! - **Load** goes to the instance that has the least to do, weighted by its speed; never to one
//!   that is gone, drains, is under maintenance, unhealthy or silent.
//! - **Deadlines** travel with the request: nothing is begun after its deadline.

mod book;
mod caller;
mod checked;
mod error;
mod order;
mod reply;
mod server;
mod watch;

pub use caller::{Ask, CallOptions, Caller, Replies};
pub use error::{CallError, Found, RespondError, ServeError};
pub use motet_proto::services::{
    Address, InstanceState, Mode, Reach, Role, ServiceStatus, Stats, WaitFor,
};
pub use order::Order;
pub use reply::{Answer, Reply, Survey};
pub use server::{Request, ServeOptions, Server};
pub use watch::{Change, Instance, ServiceChange, ServiceWatch};

pub(crate) use book::Page;
pub(crate) use caller::CallSlot;
pub(crate) use server::{RequestSlot, ServeSlot};
pub(crate) use watch::WatchSlot;
