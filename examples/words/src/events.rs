//! What happens around an endpoint, from its first moment on.

use std::collections::BTreeSet;

use motet::{Endpoint, EndpointKey, Event, EventStream, parse_id};

/// The events of an endpoint. A peer on this host may have answered before anybody could listen:
/// those who are there already come first.
#[derive(Debug)]
pub struct Events {
    early: Vec<Event>,
    known: BTreeSet<EndpointKey>,
    stream: EventStream,
}

impl Events {
    /// Those of an endpoint that was opened just now.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Self {
        let stream = endpoint.events();
        let (mut early, mut known) = (Vec::new(), BTreeSet::new());
        for peer in endpoint.snapshot().peers {
            let Some(id) = parse_id(&peer.id).filter(|_| peer.state != "dead") else { continue };
            let key = EndpointKey { id, incarnation: peer.incarnation };
            let name: std::sync::Arc<str> = peer.name.into();
            // Who comes later has the later incarnation.
            if &*name == endpoint.name() && key.incarnation < endpoint.key().incarnation {
                let name = name.clone();
                early.push(Event::NameConflict { name, other: key, newcomer: true });
            }
            known.insert(key);
            early.push(Event::PeerUp { key, name });
        }
        Self { early, known, stream }
    }

    /// The next one; `None` after the endpoint has closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.early.pop() {
            return Some(event);
        }
        loop {
            let event = self.stream.next().await?;
            match &event {
                // Told already.
                Event::PeerUp { key, .. } if !self.known.insert(*key) => {}
                Event::PeerDown { key, .. } => {
                    self.known.remove(key);
                    return Some(event);
                }
                _ => return Some(event),
            }
        }
    }
}
