//! Those on the network whom we cannot talk to: other realms, and ours with another key.

/// A bounded table of them.
#[derive(Default, Debug)]
pub struct Neighbours {}
