//! Tests of the layer, without topics.
