//! Orders to instances: into maintenance and back, and to drain; by the inbox of their endpoints.

use std::sync::Weak;

use tokio::task::JoinHandle;

use super::InstanceState;
use super::server::Share;
use crate::message::Delivery;
use crate::subscriber::Subscriber;

/// What an instance can be told, by whoever is a member of its realm.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Take no new work, for this reason; what was accepted is answered.
    Rest(String),
    /// Take work again.
    Return,
    /// Take no new work, and end once what was accepted is answered.
    Drain(String),
}

impl Order {
    /// Reads a message of an inbox: an order for this service; anything else is none.
    #[must_use]
    pub fn parse(message: &[u8], service: &str) -> Option<Self> {
        let text = str::from_utf8(message).ok()?.strip_prefix(MARK)?;
        let mut words = text.splitn(3, '\t');
        let (what, whose) = (words.next()?, words.next()?);
        let reason = words.next().unwrap_or_default().to_owned();
        match what {
            _ if whose != service => None,
            "maint-on" => Some(Self::Rest(reason)),
            "maint-off" => Some(Self::Return),
            "drain" => Some(Self::Drain(reason)),
            _ => None,
        }
    }

    /// As a message, to be [sent](crate::Endpoint::send) to the endpoint of an instance.
    #[must_use]
    pub fn encode(&self, service: &str) -> String {
        let (what, reason) = match self {
            Self::Rest(reason) => ("maint-on", &**reason),
            Self::Return => ("maint-off", ""),
            Self::Drain(reason) => ("drain", &**reason),
        };
        format!("{MARK}{what}\t{service}\t{reason}")
    }
}

/// Obeys for an instance, until this is dropped.
#[derive(Debug)]
pub(super) struct Obeying(JoinHandle<()>);

impl Obeying {
    pub(super) fn begin(
        runtime: &tokio::runtime::Handle,
        mut inbox: Subscriber,
        share: Weak<Share>,
    ) -> Self {
        Self(runtime.spawn(async move {
            while let Some(delivery) = inbox.next().await {
                let Delivery::Message(message) = delivery else { continue };
                let Some(share) = share.upgrade() else { return };
                match Order::parse(message.payload(), share.service()) {
                    Some(Order::Rest(why)) => share.say(InstanceState::Maintenance, &why),
                    Some(Order::Return) => share.say(InstanceState::Up, ""),
                    // The program runs on: whether it ends is its own affair.
                    Some(Order::Drain(why)) => share.say(InstanceState::Draining, &why),
                    None => {}
                }
            }
        }))
    }
}

impl Drop for Obeying {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const MARK: &str = "motet-serve\t";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_the_way_and_is_for_its_service_only() {
        for order in [Order::Rest("disk\tfull".into()), Order::Return, Order::Drain(String::new())]
        {
            let bytes = order.encode("web");
            assert_eq!(Order::parse(bytes.as_bytes(), "web"), Some(order));
            assert_eq!(Order::parse(bytes.as_bytes(), "we"), None);
        }
        for noise in [&b""[..], b"hello", b"motet-serve\t", b"motet-serve\tstop\tweb\t", b"\xff"] {
            assert_eq!(Order::parse(noise, "web"), None);
        }
    }
}
