//! Names of services, and the topics that carry them.

use alloc::format;
use alloc::string::String;
use core::fmt;

/// Levels that a service's name may have.
pub const SERVICE_LEVELS_MAX: usize = 16;
/// Bytes that it may have.
pub const SERVICE_BYTES_MAX: usize = motet_wire::service::MAX_SERVICE;

/// Why a text is not a service's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceNameError {
    name: String,
    rule: &'static str,
}

impl fmt::Display for ServiceNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the service name {:?} {}; write one like `translate` or `shop/orders`",
            self.name, self.rule
        )
    }
}

impl core::error::Error for ServiceNameError {}

/// Checks a name (V-1): 1 to 16 levels joined by `/`, at most 256 bytes of UTF-8, no empty level,
/// no `*`, no control character, and no `$` first.
///
/// # Errors
/// The rule that it breaks.
pub fn check_service(name: &str) -> Result<(), ServiceNameError> {
    let broken = if name.is_empty() {
        "is empty"
    } else if name.len() > SERVICE_BYTES_MAX {
        "has more than 256 bytes"
    } else if name.split('/').count() > SERVICE_LEVELS_MAX {
        "has more than 16 levels"
    } else if name.split('/').any(str::is_empty) {
        "has an empty level"
    } else if name.contains('*') {
        "has a `*`"
    } else if name.starts_with('$') {
        "starts with `$`, which is reserved"
    } else if name.chars().any(char::is_control) {
        "has a control character"
    } else {
        return Ok(());
    };
    Err(ServiceNameError { name: name.chars().take(64).collect(), rule: broken })
}

/// Where an instance says what it is.
pub fn offer_topic(service: &str, id: crate::ids::EndpointId) -> String {
    format!("{OFFERS}{service}/{id}")
}

/// What the callers of a service read.
pub fn offer_filter(service: &str) -> String {
    format!("{OFFERS}{service}/*")
}

/// What those read who want to know of all services.
pub const ALL_OFFERS: &str = "$svc/offer/**";

/// Where an endpoint gets its requests.
pub fn request_topic(id: crate::ids::EndpointId) -> String {
    format!("$svc/req/{id}")
}

/// Where an endpoint gets its replies.
pub fn reply_topic(id: crate::ids::EndpointId) -> String {
    format!("$svc/rep/{id}")
}

/// The service and the endpoint id (in digits) that an offer's topic names.
pub fn parse_offer_topic(topic: &str) -> Option<(&str, &str)> {
    topic.strip_prefix(OFFERS)?.rsplit_once('/')
}

const OFFERS: &str = "$svc/offer/";
