//! A client: private predictions of the first rows of a file, from a server that runs elsewhere.
//!
//! `cargo run --example client -- HOST:PORT samples.npy`

use minionn_host::{Client, npy};

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, samples] = &arguments[..] else {
        return Err("HOST:PORT and a file of samples are needed".into());
    };
    let samples = npy::read(samples.as_ref())?;
    let sample = &samples.data()[..samples.columns()];

    // [predict]
    let mut client = Client::connect(address)?;
    let prediction = client.predict(sample)?;
    println!("class {}", prediction.class);
    // [/predict]

    // Further inputs, all in the same session.
    for row in samples.rows_of(client.plan().input_len())?.skip(1).take(2) {
        println!("class {}", client.predict(row)?.class);
    }
    if let Some(logits) = prediction.logits {
        println!("logits of the first: {logits:?}");
    }
    Ok(client.close()?)
}
