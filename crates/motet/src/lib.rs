//! # motet: programs on a network share data by name
//!
//! No addresses, no ports, no broker. Endpoints of one *realm* find each other, and a message
//! published on a topic reaches everybody whose filter matches it: encrypted, in order, and with a
//! mark where something is missing.
//!
//! ```no_run
//! use std::time::Duration;
//! use motet::{Delivery, Endpoint};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // In one program …
//! let endpoint = Endpoint::builder().name("kitchen").open().await?;
//! let temperature = endpoint.publisher("house/kitchen/temperature").await?;
//! temperature.publish(b"21.5").await?;
//!
//! // … and in another, on any machine of the network.
//! let endpoint = Endpoint::builder().name("display").open().await?;
//! let mut temperatures = endpoint.subscriber("house/*/temperature").await?;
//! while let Some(delivery) = temperatures.next().await {
//!     match delivery {
//!         Delivery::Message(message) => println!("{}: {:?}", message.topic(), message.payload()),
//!         Delivery::Missed { topic, n, .. } => eprintln!("{n} messages of {topic} are missing"),
//!         _ => {}
//!     }
//! }
//! endpoint.close(Duration::from_secs(1)).await.is_empty();
//! # Ok(())
//! # }
//! ```
//!
//! - **Late joiners** get the last message of each topic at once ([`PubQos::history`]).
//! - **Slow readers** never stop a publisher unless it wants that ([`PubQos::slow`]); what they
//!   lose is reported to both sides.
//! - **Realms** keep deployments apart. The secret of a realm is made at the first start and shared
//!   by all endpoints of the user on that host; [`Realms::invite`] gives the line that other hosts
//!   [`join`](Realms::join) with.
//! - **Handles** are cloned to share and dropped to leave; [`Endpoint::close`] leaves politely.
//!
//! The crate runs on the tokio runtime of the caller (I/O and time enabled), on Linux. Nothing of
//! tokio is in its public types.
#![forbid(unsafe_code)]

mod ask;
mod builder;
mod doctor;
mod doctor_pair;
mod driver;
mod endpoint;
mod entry;
mod error;
mod event;
pub mod explain;
mod impair;
mod message;
mod publisher;
mod realm;
pub mod report;
mod round_trip;
mod state;
mod subscriber;
mod tags;

pub use ask::{Answer, What};
pub use builder::{Builder, Scope};
pub use endpoint::{Endpoint, Receipt, Unacknowledged, parse_id};
pub use error::{
    AdvertiseError, AskError, ImpairmentError, OpenError, PublishError, RealmError, SendError,
    SubscribeError, WaitError,
};
pub use event::{Event, EventStream};
pub use impair::Impairment;
pub use message::{Delivery, Message, Outgoing};
pub use motet_proto::config::{ConfigError, History, QueuePolicy};
pub use motet_proto::events::{DownReason, MissedReason, WriterState};
pub use motet_proto::{
    Congestion, EndpointId, EndpointKey, LanePolicy, Liveness, PubQos, SlowPolicy, SubQos,
};
pub use publisher::Publisher;
pub use realm::{InvitationLine, RealmInfo, Realms};
pub use subscriber::Subscriber;
