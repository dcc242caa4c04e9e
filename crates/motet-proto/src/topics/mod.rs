//! # Topics
