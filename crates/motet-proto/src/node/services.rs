//! Services ⇄ topics.
use super::Node;
use crate::crypto::Crypto;
use crate::ids::{CallId, EndpointId, RequestId, ServeId, WatchId};
use crate::services::*;
use crate::time::Time;
use alloc::string::String;
use alloc::vec::Vec;

#[allow(missing_docs, unused_variables)]
impl<C: Crypto> Node<C> {
    pub fn serve(
        &mut self,
        now: Time,
        service: &str,
        settings: ServeSettings,
    ) -> Result<ServeId, ServeRefused> {
        Err(ServeRefused::Limit)
    }
    pub fn stop_serving(&mut self, now: Time, id: ServeId) {}
    pub fn set_serving(&mut self, now: Time, id: ServeId, state: InstanceState, reason: &str) {}
    pub fn set_credit(&mut self, now: Time, id: ServeId, concurrency: u32, credit: u32) {}
    pub fn set_load(&mut self, now: Time, id: ServeId, permille: u32) {}
    pub fn set_metadata(&mut self, now: Time, id: ServeId, metadata: Vec<(String, String)>) {}
    pub fn serving_stats(&self, id: ServeId) -> Option<Stats> {
        None
    }
    pub fn backlog(&self, id: ServeId) -> (usize, usize) {
        (0, 0)
    }
    pub fn is_idle(&self, id: ServeId) -> bool {
        true
    }
    pub fn has_request(&self, id: ServeId) -> bool {
        false
    }
    pub fn next_request(&mut self, now: Time, id: ServeId) -> Option<ServiceRequest> {
        None
    }
    pub fn respond(
        &mut self,
        now: Time,
        id: RequestId,
        reply: ReplySpec,
    ) -> Result<(), RespondError> {
        Err(RespondError::Gone)
    }
    pub fn seek_service(&mut self, now: Time, service: &str) -> Result<(), CallRefused> {
        Ok(())
    }
    pub fn call(
        &mut self,
        now: Time,
        service: &str,
        spec: CallSpec,
    ) -> Result<CallId, CallRefused> {
        Err(CallRefused::Limit)
    }
    pub fn cancel_call(&mut self, now: Time, id: CallId) {}
    pub fn take_output(&mut self, id: CallId) -> Option<CallOutput> {
        None
    }
    pub fn watch_services(&mut self, now: Time, service: Option<&str>) -> WatchId {
        WatchId(0)
    }
    pub fn unwatch_services(&mut self, now: Time, id: WatchId) {}
    pub fn take_change(&mut self, id: WatchId) -> Option<(Change, InstanceView)> {
        None
    }
    pub fn instances(&self, id: WatchId) -> Vec<InstanceView> {
        Vec::new()
    }
    pub fn ping_service(
        &mut self,
        now: Time,
        at: EndpointId,
        service: &str,
    ) -> Result<u64, CallRefused> {
        Err(CallRefused::Limit)
    }
    pub fn take_standing(&mut self, token: u64) -> Option<Option<(Offer, Stats)>> {
        None
    }
}
