//! A server for many clients, until a line comes on its standard input.
//!
//! `cargo run --example server -- net.minionn HOST:PORT`

use minionn_host::{Model, Server, ServerOptions, Threads};
use std::net::TcpListener;

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, address] = &arguments[..] else {
        return Err("a model and HOST:PORT are needed".into());
    };

    // [serve]
    let options = ServerOptions::new()
        .max_stock(64)
        .threads(Threads::new(Threads::here())?)
        .on_session(|session| println!("{}: {} predictions", session.peer, session.predictions));
    let server = Server::with_options(Model::open(model)?, options);
    let listener = TcpListener::bind(address)?;
    // [/serve]
    println!("listening on {}", listener.local_addr()?);

    // Whatever tells the program to stop can hold the handle: here it is the standard input.
    let stop = server.stop_handle();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        stop.stop();
    });
    // [serve]
    Ok(server.serve(listener)?)
    // [/serve]
}
