//! # Node: the wiring diagram and the driver's contract

/// An endpoint without sockets, threads or clock.
pub struct Node<C>(core::marker::PhantomData<C>);
