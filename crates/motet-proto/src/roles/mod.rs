//! Roles: what brokers, name servers and registries decide. Ordinary endpoints in front of which a
//! host puts these machines; they know services by name and endpoints by key, and nothing below.
//!
//! | machine | goes in | comes out |
//! |---|---|---|
//! | [`broker::Broker`] | requests, offers, answers, silence | who gets which task, refusals, claims |
//! | [`leases::Leases`] | registrations, renewals, tables of others | entries, changes, what others lack |
//! | [`registrations::Registrations`] | registrations, results of [`checks`] | checks to be made, changes |
//! | [`requirements::Requirements`] | who offers what | notices, once and in order |
//! | [`resolver::Resolver`] | answers of name servers, calls | whom to call, when to ask again |
//!
//! Time is an argument, as everywhere in this crate. Nothing here sends: the host does, by calls and
//! topics like any other program.

pub mod broker;
pub mod checks;
pub mod leases;
pub mod registrations;
pub mod requirements;
pub mod resolver;

/// Whether a text may stand in a table, and be shown: so many bytes, no control characters.
fn is_plain(text: &str, bytes: core::ops::RangeInclusive<usize>) -> bool {
    bytes.contains(&text.len()) && !text.chars().any(char::is_control)
}
