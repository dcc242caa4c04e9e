//! Registrations at a registry: the machine of `motet-proto`, its checks, its disk, other registries.

use std::ops::Bound;
use std::time::Duration;

use motet_proto::roles::checks::{Health, Probe};
use motet_proto::roles::registrations::{Refused, Registered, Spec};
use motet_proto::{EndpointId, EndpointKey, Time};

use super::{Desk, Kept, optional, probe};
use crate::ask::encode;
use crate::role::millis;
use crate::role::registered::{Ask, Name, Registrant, Row};
use crate::service::{Answer, Ask as Call, Request, ServiceStatus};

/// As it lies on the disk, and as it is handed over.
#[derive(Debug, minicbor::Encode, minicbor::Decode)]
struct Lying {
    #[n(0)]
    of: Name,
    #[n(1)]
    owner: minicbor::bytes::ByteVec,
    #[n(2)]
    what: Registrant,
    #[n(3)]
    maintenance: Option<String>,
}

impl Desk {
    /// Ends leases, starts checks that are due, passes on what has changed.
    pub(super) async fn look_after(&mut self, now: Time) {
        self.outside.tick(now);
        while let Some(job) = self.outside.next_job(now) {
            self.jobs.spawn(probe::run(job, self.commands.clone()));
        }
        while let Some(change) = self.outside.next_change() {
            let Registered { service, instance } = &change.of;
            let why = if change.reason.is_empty() { "" } else { ": " };
            let state = change.health.map_or("gone", Health::as_str);
            let line = format!("{service}/{instance}: {state}{why}{}", change.reason);
            let own = self.offered.contains(&change.of);
            match change.health {
                Some(_) if own => {}
                Some(health) => self.machine.stands(now, service, instance.as_str(), health),
                None => {
                    if !self.offered.remove(&change.of) {
                        self.machine.gone(now, service, instance.as_str());
                    }
                    if let Err(error) = self.forget(&change.of).await {
                        self.note(error);
                    }
                }
            }
            self.note(line);
        }
    }

    pub(super) async fn registering(&mut self, request: Request) {
        let (now, from) = (self.endpoint.hold.core.clock.now(), request.origin());
        let answer = match minicbor::decode::<Ask>(request.body()) {
            Ok(Ask::Register { of, what }) => self.register(now, from, &of, &what).await,
            Ok(Ask::Remove { of }) => {
                let done = self.outside.remove(from, &Registered::from(&of));
                self.judged(done, &of, request.client_name())
            }
            Ok(Ask::Renew { of }) => {
                let done = self.outside.renew(now, from, &Registered::from(&of));
                self.judged(done, &of, request.client_name())
            }
            Ok(Ask::Report { of, health, text }) => match Health::from_word(&health) {
                Some(health) => {
                    let done =
                        self.outside.report(now, from, &Registered::from(&of), health, &text);
                    self.judged(done, &of, request.client_name())
                }
                None => bad("a health is passing, warning or critical"),
            },
            Ok(Ask::Maintain { of, why }) => self.maintain(&of, why, request.client_name()).await,
            Ok(Ask::Find { service }) => {
                let views = self.outside.views(now, service.as_deref());
                let rows = views.map(|it| Row {
                    of: (&it.of).into(),
                    address: it.spec.address,
                    health: it.health.as_str().to_owned(),
                    reason: it.reason,
                    maintenance: it.maintenance,
                    left_ms: millis(it.left),
                });
                Answer::new(encode(&rows.collect::<Vec<_>>()))
            }
            Ok(Ask::HandOver { after }) => {
                let after = after.as_ref().map(Registered::from);
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                let page = self.kept.range((from, Bound::Unbounded)).take(PAGE);
                Answer::new(encode(&page.map(|(_, it)| it.clone().into()).collect::<Page>()))
            }
            Err(_) => bad("this is no registration; are all of one version?"),
        };
        // Nobody waiting for it is fine.
        let _ = request.answer(answer);
    }

    async fn register(
        &mut self,
        now: Time,
        from: EndpointId,
        of: &Name,
        what: &Registrant,
    ) -> Answer {
        let Some(spec) = what.spec() else { return bad("a kind of check that is not known here") };
        if !self.runs(&spec) {
            let text = "this registry runs no such program as a check; name a file of the folder \
                        that it was given with --commands";
            return Answer::status(ServiceStatus::Refused, text);
        }
        let named = Registered::from(of);
        let ours = what.offered == Some(true);
        if ours && !self.offered.contains(&named) {
            self.machine.gone(now, &of.service, of.instance.as_str());
        }
        let new = match self.outside.register(now, from, &named, &spec) {
            Ok(new) => new,
            Err(refused) => return self.judged(Err(refused), of, &from.to_string()),
        };
        if ours {
            self.offered.insert(named.clone());
        }
        let standing = self.outside.views(now, Some(&of.service)).find(|it| it.of == named);
        let maintenance = standing.and_then(|it| it.maintenance);
        if let Err(error) = self.lay_down(of, from, what, maintenance).await {
            // It is not promised what would be forgotten.
            if new {
                let _ = self.outside.remove(from, &named);
            }
            return Answer::failed(507, error);
        }
        if !what.requires.is_empty() {
            self.machine.need(&of.service, what.requires.iter().map(|it| optional(it)));
            self.keep(&of.service, &what.requires).await;
        }
        Answer::new(if new { "new" } else { "renewed" })
    }

    async fn maintain(&mut self, of: &Name, why: Option<String>, by: &str) -> Answer {
        let named = Registered::from(of);
        let done = self.outside.maintain(&named, why.as_deref());
        if done.is_ok()
            && let Some(bytes) = self.kept.get(&named)
            && let Ok(lying) = minicbor::decode::<Lying>(bytes)
            && let Some(owner) = id(&lying)
            && let Err(error) = self.lay_down(of, owner, &lying.what, why).await
        {
            return Answer::failed(507, error);
        }
        self.judged(done, of, by)
    }

    /// The answer; what is refused is told to the operator as well.
    fn judged(&mut self, done: Result<(), Refused>, of: &Name, by: &str) -> Answer {
        let Err(refused) = done else { return Answer::new("done") };
        let (status, text) = match refused {
            Refused::NotYours => {
                (ServiceStatus::Refused, "another endpoint holds this name; choose another --id")
            }
            Refused::Unknown => {
                (ServiceStatus::BadRequest, "nothing is registered so; see: motet service list")
            }
            Refused::BadText => (
                ServiceStatus::BadRequest,
                "names have 1 to 256 bytes without control characters; addresses and targets at most 256",
            ),
            Refused::BadTime => (
                ServiceStatus::BadRequest,
                "a lease lasts from 500 ms to a day, intervals and times of checks from 100 ms to an hour",
            ),
            Refused::Full => (
                ServiceStatus::Overload,
                "this registry, this endpoint or this instance has too many",
            ),
            Refused::NoReport => (ServiceStatus::BadRequest, "it has no check of kind ttl"),
        };
        if refused == Refused::NotYours {
            self.note(format!("{}/{}: refused to {by}: {text}", of.service, of.instance));
        }
        Answer::status(status, text)
    }

    async fn lay_down(
        &mut self,
        of: &Name,
        owner: EndpointId,
        what: &Registrant,
        maintenance: Option<String>,
    ) -> Result<(), String> {
        let owner = owner.0.to_vec().into();
        let value = encode(&Lying { of: of.clone(), owner, what: what.clone(), maintenance });
        let named = Registered::from(of);
        if self.kept.get(&named) == Some(&value) {
            return Ok(());
        }
        if let Some(store) = &self.store {
            store.put(Kept::Registered, encode(of), Some(value.clone())).await?;
        }
        self.kept.insert(named, value);
        Ok(())
    }

    async fn forget(&mut self, of: &Registered) -> Result<(), String> {
        let known = self.kept.remove(of).is_some();
        match &self.store {
            Some(store) if known => {
                store.put(Kept::Registered, encode(&Name::from(of)), None).await
            }
            _ => Ok(()),
        }
    }

    /// Whether this registry may run all checks of a registration.
    fn runs(&self, spec: &Spec) -> bool {
        spec.checks.iter().all(|check| {
            let Probe::Command(name) = &check.probe else { return true };
            let plain = !name.contains(['/', '\\']) && !name.starts_with('.');
            self.commands.is_some() && plain
        })
    }

    /// Asks another registry for what is registered, page by page (B-39).
    pub(super) fn ask_for_all(&mut self, now: Time, other: EndpointKey) {
        let own = other == self.endpoint.key();
        if own || now >= self.born + TAKE_OVER_FOR || !self.asked.insert(other) {
            return;
        }
        let (others, back) = (self.others.clone(), self.handed_back.clone());
        tokio::spawn(async move {
            let mut after = None;
            loop {
                let ask = encode(&Ask::HandOver { after: after.take() });
                let Ok(reply) = others.call(Call::new(ask).to(other.id)).await else { return };
                let Ok(page) = minicbor::decode::<Page>(reply.body()) else { return };
                let last = page.last().and_then(|it| minicbor::decode::<Lying>(it).ok());
                let full = page.len() >= PAGE;
                // The registry has ended.
                if back.send(page).await.is_err() || !full {
                    return;
                }
                let Some(last) = last else { return };
                after = Some(last.of);
            }
        });
    }

    /// Takes over what another registry holds and this one does not (B-39).
    pub(super) async fn take_over(&mut self, page: Page) {
        for bytes in &page {
            let Ok(lying) = minicbor::decode::<Lying>(bytes) else { continue };
            let named = Registered::from(&lying.of);
            let runs = lying.what.spec().is_some_and(|spec| self.runs(&spec));
            if self.kept.contains_key(&named) || !runs || self.restore(bytes).is_err() {
                continue;
            }
            let Lying { of, what, .. } = lying;
            if let Some(store) = &self.store
                && let Err(error) =
                    store.put(Kept::Registered, encode(&of), Some(bytes.to_vec())).await
            {
                self.note(error);
            }
            if !what.requires.is_empty() {
                self.machine.need(&of.service, what.requires.iter().map(|it| optional(it)));
                self.keep(&of.service, &what.requires).await;
            }
            self.note(format!("{}/{}: taken over", of.service, of.instance));
        }
    }

    /// Takes up one registration; its lease begins anew, so that its owner has time to come back.
    pub(super) fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let damaged = || {
            "the registry's state holds a registration that cannot be read; move the \
                          file away and start with an empty one"
                .to_owned()
        };
        let lying: Lying = minicbor::decode(bytes).map_err(|_| damaged())?;
        let (owner, spec) = (id(&lying).ok_or_else(damaged)?, lying.what.spec());
        let named = Registered::from(&lying.of);
        let now = self.endpoint.hold.core.clock.now();
        let spec = spec.ok_or_else(damaged)?;
        self.outside.register(now, owner, &named, &spec).map_err(|_| damaged())?;
        if lying.what.offered == Some(true) {
            self.offered.insert(named.clone());
        }
        if let Some(why) = &lying.maintenance {
            self.outside.maintain(&named, Some(why)).map_err(|_| damaged())?;
        }
        self.kept.insert(named, bytes.to_vec());
        Ok(())
    }
}

/// Registrations as they are handed over.
pub(super) type Page = Vec<minicbor::bytes::ByteVec>;
/// So many at once.
const PAGE: usize = 256;
/// A registry that has begun takes over from others that it sees within so long.
const TAKE_OVER_FOR: Duration = Duration::from_secs(5);

fn id(lying: &Lying) -> Option<EndpointId> {
    lying.owner.as_slice().try_into().ok().map(EndpointId)
}

fn bad(text: &str) -> Answer {
    Answer::status(ServiceStatus::BadRequest, text)
}
