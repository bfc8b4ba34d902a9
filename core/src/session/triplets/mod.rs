//! Dot-product triplets: `u + v = W·r` for every linear layer and a whole stock, by packed lattice
//! encryption (§3.2 of the paper, with coefficient packing instead of slots).

pub(crate) mod client;
pub(crate) mod server;
