//! What names a session and the operations in it.

use crate::attack::{Defence, stripped};
use crate::block::Block;
use crate::plan;
use crate::rng::Seed;
use sha2::{Digest as _, Sha256};

/// Which operation of which prediction of a session: never repeats.
pub(crate) const fn op_instance(prediction: u64, op: usize) -> u64 {
    prediction << 16 | op as u64
}

/// The seed of the uniform half of the client's public key, in the session that makes it: neither
/// party chooses it. A client that could would read results out of what is to hide them.
pub(crate) fn public_key_seed(client: &[u8; 32], server: &[u8; 32]) -> Seed {
    let start = Sha256::new().chain_update(b"MiniONN key");
    Seed(start.chain_update(client).chain_update(server).finalize().into())
}

/// The public key of the session's hash: bound to both nonces, the plan, and the pairing that the
/// session goes on with.
pub(crate) fn session_key(
    pairing: Option<Block>,
    client: &[u8; 32],
    server: &[u8; 32],
    digest: &[u8; plan::DIGEST],
) -> Block {
    let start = match pairing {
        None => Sha256::new().chain_update(b"MiniONN session"),
        Some(id) => Sha256::new().chain_update(b"MiniONN resumed").chain_update(id.to_le_bytes()),
    };
    let [client, server] = if pairing.is_some() && stripped(Defence::Nonces) {
        [&[0; 32]; 2]
    } else {
        [client, server]
    };
    let digest = start.chain_update(client).chain_update(server).chain_update(digest).finalize();
    let [key, _] = bytemuck::must_cast::<[u8; 32], [[u8; 16]; 2]>(digest.into());
    Block::from_le_bytes(key)
}
