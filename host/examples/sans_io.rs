//! The engine of `minionn-core` without I/O: whoever calls moves the bytes. For event loops of
//! one's own, for firmware, and for tests without sockets.
//!
//! Here both parties are in one thread, and what one has to say is handed to the other in pieces.

use bytemuck::cast_slice_mut;
use getrandom::SysRng;
use minionn_core::model::Model;
use minionn_core::session::engine::{Buffers, ClientEngine, ServerEngine, Status};
use minionn_core::session::{Options, Prepared, prepared_memory};
use minionn_host::npy;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits_relu.minionn");
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits_relu.test.npy");

/// Memory of the alignment that the engine asks for.
fn memory(bytes: usize) -> Vec<u128> {
    vec![0; bytes.div_ceil(size_of::<u128>())]
}

/// Moves bytes both ways and has both parties work, until the client waits for a command or has
/// ended.
fn run(
    client: &mut ClientEngine<'_>,
    server: &mut ServerEngine<'_>,
) -> minionn_core::Result<Status> {
    let mut piece = [0; 512];
    loop {
        let status = client.poll()?;
        server.poll()?;
        let n = piece.len().min(server.feed_capacity());
        let n = client.drain(&mut piece[..n]);
        let mut moved = server.feed(&piece[..n]);
        let n = piece.len().min(client.feed_capacity());
        let n = server.drain(&mut piece[..n]);
        moved += client.feed(&piece[..n]);
        if moved == 0 && status != Status::Busy {
            return Ok(status);
        }
    }
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let bytes = std::fs::read(MODEL)?;
    let samples = npy::read(SAMPLES.as_ref())?;
    let (model, options, buffers) = (Model::parse(&bytes)?, Options::default(), Buffers::default());
    let plan = *model.plan();

    // The server's weights, once for all sessions.
    let mut weights = memory(prepared_memory(&plan, options.stock)?);
    let prepared = Prepared::new(model, options.stock, cast_slice_mut(&mut weights))?;

    // Each party says how much memory it needs, and gets it from the caller.
    let mut near = memory(ClientEngine::memory(&plan, &options, buffers)?);
    let mut far = memory(ServerEngine::memory(&plan, &options, buffers)?);
    let mut client =
        ClientEngine::new(plan, options, buffers, cast_slice_mut(&mut near), &mut SysRng)?;
    let mut server =
        ServerEngine::new(&prepared, options, buffers, cast_slice_mut(&mut far), &mut SysRng)?;

    run(&mut client, &mut server)?; // set-up
    for sample in samples.rows_of(plan.header().input_len as usize)?.take(3) {
        client.prepare()?;
        run(&mut client, &mut server)?; // offline
        client.predict(sample)?;
        run(&mut client, &mut server)?; // online
        let mut logits = vec![0.0; client.answer_len()];
        println!("class {}", client.answer_real(&mut logits)?);
    }
    client.close()?;
    while run(&mut client, &mut server)? != Status::Closed {}
    Ok(())
}
