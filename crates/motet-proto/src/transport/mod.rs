//! # Transport

pub mod stream;
