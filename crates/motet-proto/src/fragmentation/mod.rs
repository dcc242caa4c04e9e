//! # Fragmentation
