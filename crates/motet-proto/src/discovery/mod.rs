//! # Discovery
