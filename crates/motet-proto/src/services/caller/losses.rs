//! Instances that go, or stall → calls given anew.

use super::*;

impl Callers {
    /// An endpoint is gone. `back`: its session may be revived, and it may still answer.
    pub(in crate::services) fn on_gone(
        &mut self,
        now: Time,
        key: EndpointKey,
        back: bool,
        directory: &mut Directory,
    ) {
        self.forget_inquiries(key);
        let Some(link) = self.links.get_mut(&key) else { return };
        link.control.clear();
        let open: Vec<u64> = link.open.iter().copied().collect();
        if !back {
            self.dirty.remove(&key);
        }
        // The oldest last, for each is put at the front.
        for id in open.into_iter().rev() {
            self.on_lost(now, id, key, back, directory);
        }
        if !back {
            self.links.remove(&key);
        }
    }

    /// An instance that has a call is gone, or stalls.
    pub(super) fn on_lost(
        &mut self,
        now: Time,
        id: u64,
        key: EndpointKey,
        back: bool,
        directory: &mut Directory,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let keyed = call.spec.key.is_some();
        let Some(target) = call.target(key).filter(|it| !it.over) else { return };
        let unsent = target.sent.is_none();
        let (safe, broker) = (target.safe, target.broker);
        let elsewhere = unsent || safe || keyed && broker;
        if !elsewhere && keyed && back && call.is_one() {
            return; // it may come back, and has the answer then
        }
        let Some(target) = call.target(key) else { return };
        target.over = true;
        let service = call.service.clone();
        call.failed.insert(key);
        let streaming = call.from == Some(key);
        self.release(key, id, &service, directory);
        let Some(call) = self.calls.get_mut(&id) else { return };
        match call.spec.settings.mode {
            Mode::All(_) => self.survey_over(now, id, directory),
            Mode::First(_) if call.is_asking() => {}
            Mode::Ordered(_) => self.again(now, id, directory),
            Mode::One if elsewhere && !streaming => {
                if unsent || call.attempts < u64::from(call.spec.settings.tries.max(1)) * 4 {
                    self.again(now, id, directory);
                } else {
                    self.end_failed(now, id, FailureKind::Unknown { at: key }, directory);
                }
            }
            _ => self.end_failed(now, id, FailureKind::Unknown { at: key }, directory),
        }
    }

    /// An endpoint is suspected: it is a last resort for a while.
    pub(in crate::services) fn on_suspect(
        &self,
        now: Time,
        key: EndpointKey,
        directory: &mut Directory,
    ) {
        for service in directory.of(key) {
            if let Some(instance) = directory.instance(&service, key) {
                instance.suspect = now + SUSPECT_FOR;
            }
        }
    }
}
