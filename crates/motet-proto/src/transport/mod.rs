//! # Transport
