//! Surveys: who offers this service, now?
#![forbid(unsafe_code)]

pub use motet_example_words::{Network, asked_to_end, run};
