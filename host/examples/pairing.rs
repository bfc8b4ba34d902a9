//! Set-up is done once: the client keeps what it makes in a file, the server in a folder. Later
//! sessions begin with a handshake alone.
//!
//! `cargo run --example pairing -- FOLDER`, which holds both afterwards. They are secret.

use minionn_host::pairing::Pairings;
use minionn_host::{Client, ClientOptions, Model, Server, ServerOptions, npy};
use std::net::TcpListener;
use std::path::Path;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits_relu.minionn");
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits_relu.test.npy");

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("a folder for pairings is needed")?;
    let folder = Path::new(&folder);
    let model = Model::open(MODEL)?;
    let samples = npy::read(SAMPLES.as_ref())?;

    let options = ServerOptions::new().pairings(Pairings::in_folder(folder.join("server"), 100)?);
    let server = Server::with_options(model.clone(), options);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, stop) = (listener.local_addr()?, server.stop_handle());
    let serving = std::thread::spawn(move || server.serve(listener));

    for sample in samples.rows_of(model.plan().input_len())?.take(3) {
        // [pairing]
        let options = ClientOptions::new().pairing_file(folder.join("client.pairing"));
        let mut client = Client::connect_with(address, options)?;
        // [/pairing]
        let setup = client.phases().setup;
        println!("set-up took {} bytes", setup.bytes());
        let prediction = client.predict(sample)?;
        assert_eq!(prediction, model.predict_plain(sample)?);
        println!("class {}", prediction.class);
        client.close()?;
    }

    stop.stop();
    serving.join().map_err(|_| "the server's thread has panicked")??;
    Ok(())
}
