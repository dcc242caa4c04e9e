//! # Bazaar: worlds of servers and callers, drawn from seeds
