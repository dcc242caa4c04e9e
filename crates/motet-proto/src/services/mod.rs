//! # Services: requests go to a name, and one of its instances answers
mod name;
mod refused;
mod types;
pub use name::{
    ALL_OFFERS, SERVICE_BYTES_MAX, SERVICE_LEVELS_MAX, ServiceNameError, check_service,
    offer_filter, offer_topic, parse_offer_topic, reply_topic, request_topic,
};
pub use refused::{CallRefused, RespondError, ServeRefused};
pub use types::*;
