//! Both parties in one process: a server on a thread of its own, a client on this one.
//!
//! `cargo run --example loopback`; other files can be named: `-- net.minionn samples.npy`.

use minionn_host::{Client, Model, Server, npy};
use std::net::TcpListener;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits_relu.minionn");
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits_relu.test.npy");

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = Model::open(arguments.next().unwrap_or(MODEL.into()))?;
    let samples = npy::read(arguments.next().unwrap_or(SAMPLES.into()).as_ref())?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = Server::new(model.clone());
    let stop = server.stop_handle();
    let serving = std::thread::spawn(move || server.serve(listener));

    let mut client = Client::connect(address)?;
    for sample in samples.rows_of(model.plan().input_len())?.take(3) {
        let prediction = client.predict(sample)?;
        // The integer model in the clear, which a real client does not have, gives the same.
        assert_eq!(prediction, model.predict_plain(sample)?);
        println!("class {}", prediction.class);
    }
    client.close()?;

    stop.stop();
    serving.join().map_err(|_| "the server's thread has panicked")??;
    Ok(())
}
