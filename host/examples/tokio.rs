//! Server and clients as tasks of tokio: nobody waits for a prediction but who asked for it.
//!
//! `cargo run --features tokio --example tokio`; other files can be named:
//! `-- net.minionn samples.npy`.

use minionn_host::tokio::{Client, Server};
use minionn_host::{ClientOptions, Model, npy};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits_relu.minionn");
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits_relu.test.npy");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = Model::open(arguments.next().unwrap_or(MODEL.into()))?;
    let samples = npy::read(arguments.next().unwrap_or(SAMPLES.into()).as_ref())?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = Server::new(model.clone());
    let stop = server.stop_handle();
    let serving = tokio::spawn(async move { server.serve(listener).await });

    let mut clients = JoinSet::new();
    for (i, sample) in samples.rows_of(model.plan().input_len())?.take(3).enumerate() {
        let (sample, plan) = (sample.to_vec(), model.plan().clone());
        clients.spawn(async move {
            let options = ClientOptions::new().plan(plan);
            let mut client = Client::connect_with(address, options).await?;
            let prediction = client.predict(&sample).await?;
            client.close().await?;
            Ok::<_, minionn_host::Error>((i, sample, prediction))
        });
    }
    let mut answers = Vec::new();
    while let Some(answer) = clients.join_next().await {
        answers.push(answer??);
    }
    answers.sort_by_key(|(i, ..)| *i);
    for (_, sample, prediction) in answers {
        // The integer model in the clear, which a real client does not have, gives the same.
        assert_eq!(prediction, model.predict_plain(&sample)?);
        println!("class {}", prediction.class);
    }

    stop.stop();
    Ok(serving.await??)
}
