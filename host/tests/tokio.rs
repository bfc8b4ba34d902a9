//! Client and server as tasks of tokio.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use minionn_host::server::SessionReport;
use minionn_host::tokio::{Client, Server};
use minionn_host::{ClientOptions, Error, Fault, Model, Prediction, ServerOptions, StopHandle};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

fn model() -> Model {
    Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/digits_relu.minionn"))
        .unwrap()
}

fn expected(x: &[f32]) -> Prediction {
    model().predict_plain(x).unwrap()
}

/// A server on a free port, and the reports of its sessions.
struct Serving {
    address: SocketAddr,
    stop: StopHandle,
    reports: UnboundedReceiver<SessionReport>,
    task: JoinHandle<Result<(), Error>>,
}

impl Serving {
    async fn start(options: ServerOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, reports) = unbounded_channel();
        let options = options.on_session(move |report| drop(sender.send(report)));
        let server = Server::with_options(model(), options);
        let (address, stop) = (listener.local_addr().unwrap(), server.stop_handle());
        let task = tokio::spawn(async move { server.serve(listener).await });
        Self { address, stop, reports, task }
    }

    async fn end(self) {
        self.stop.stop();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn predictions_are_those_of_the_integer_model() {
    let mut serving = Serving::start(ServerOptions::new()).await;
    let options = ClientOptions::new().stock(2);
    let mut client = Client::connect_with(serving.address, options).await.unwrap();
    client.prepare().await.unwrap();
    assert_eq!(client.remaining(), 2);
    let rows = [vec![0.5; 64], vec![0.25; 64], vec![1.0; 64]];
    let made = client.predict_batch(&rows).await.unwrap();
    assert_eq!(made, rows.iter().map(|row| expected(row)).collect::<Vec<_>>());
    let costs = model().costs(ClientOptions::new().stock(2).session_options()).unwrap();
    let phases = client.phases();
    assert_eq!(phases.setup.bytes(), costs.setup.bytes());
    assert_eq!(phases.offline.bytes(), 2 * costs.offline.bytes());
    assert_eq!(phases.online.bytes(), 3 * costs.online.bytes());
    let error = client.predict(&[0.5; 63]).await.unwrap_err();
    assert!(matches!(error, Error::InputLength { .. }) && client.remaining() == 1);
    drop(client);
    let report = serving.reports.recv().await.unwrap();
    assert!(report.error.is_none() && report.predictions == 3, "{report:?}");
    serving.end().await;
}

/// On one thread: a task that the computing stood in the way of would not get its turn.
#[tokio::test(flavor = "current_thread")]
async fn nobody_waits_for_what_is_computed() {
    let serving = Serving::start(ServerOptions::new()).await;
    let turns = Arc::new(AtomicU32::new(0));
    let counting = turns.clone();
    let counter = tokio::spawn(async move {
        loop {
            counting.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    // A large stock takes long enough for many turns, also where other programs take theirs. If it
    // were computed here, there would be a few.
    let options = ClientOptions::new().stock(64);
    let mut client = Client::connect_with(serving.address, options).await.unwrap();
    turns.store(0, Ordering::Relaxed);
    client.prepare().await.unwrap();
    let while_preparing = turns.load(Ordering::Relaxed);
    counter.abort();
    assert!(while_preparing > 100, "the other task had its turn {while_preparing} times");
    client.close().await.unwrap();
    serving.end().await;
}

#[tokio::test]
async fn many_clients_at_once_and_blocking_ones_among_them() {
    let serving = Serving::start(ServerOptions::new()).await;
    let (address, mut clients) = (serving.address, tokio::task::JoinSet::new());
    for i in 0..6 {
        let x = vec![i as f32 / 6.0; 64];
        clients.spawn(async move {
            let made = if i % 2 == 0 {
                let mut client = Client::connect(address).await.unwrap();
                client.predict(&x).await.unwrap()
            } else {
                let x = x.clone();
                let blocking = tokio::task::spawn_blocking(move || {
                    minionn_host::Client::connect(address).unwrap().predict(&x).unwrap()
                });
                blocking.await.unwrap()
            };
            assert_eq!(made, expected(&x));
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    serving.end().await;
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_the_session() {
    let mut serving = Serving::start(ServerOptions::new()).await;
    let mut client = Client::connect(serving.address).await.unwrap();
    client.prepare().await.unwrap();
    {
        let mut call = core::pin::pin!(client.predict(&[0.5; 64]));
        // Far enough that the first poll has begun.
        assert!(
            core::future::poll_fn(|cx| {
                core::task::Poll::Ready(call.as_mut().poll(cx).is_pending())
            })
            .await
        );
    }
    assert_eq!(client.remaining(), 0);
    assert!(matches!(client.predict(&[0.5; 64]).await, Err(Error::Ended)));
    assert!(matches!(client.close().await, Err(Error::Ended)));
    let report = serving.reports.recv().await.unwrap();
    assert!(report.error.is_some(), "{report:?}");
    serving.end().await;
}

#[tokio::test]
async fn silence_and_stopping_end_sessions() {
    let options = ClientOptions::new().idle_timeout(Duration::from_millis(50));
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = Client::connect_with(silent.local_addr().unwrap(), options).await.unwrap_err();
    assert!(error.report().ends_with("the peer was silent for too long"), "{}", error.report());

    let mut serving = Serving::start(ServerOptions::new().grace(Duration::from_secs(600))).await;
    let mut client = Client::connect(serving.address).await.unwrap();
    serving.stop.stop();
    let report = serving.reports.recv().await.unwrap();
    assert!(matches!(report.error, Some(Error::Stopped)), "{report:?}");
    serving.task.await.unwrap().unwrap();
    let error = client.predict(&[0.5; 64]).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Link, "{error:?}");
}

#[tokio::test]
async fn any_stream_will_do_and_too_many_clients_are_turned_away() {
    let (near, far) = tokio::io::duplex(1000);
    let server = Server::new(model());
    let serving = tokio::spawn(async move { server.serve_stream(far, "duplex").await.unwrap() });
    let mut client = Client::over(near, ClientOptions::new()).await.unwrap();
    assert_eq!(client.predict(&[0.5; 64]).await.unwrap(), expected(&[0.5; 64]));
    client.close().await.unwrap();
    let report = serving.await.unwrap();
    assert_eq!((&report.peer[..], report.predictions), ("duplex", 1));

    let serving = Serving::start(ServerOptions::new().max_sessions(1)).await;
    let first = Client::connect(serving.address).await.unwrap();
    let error = Client::connect(serving.address).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Peer, "{error:?}");
    first.close().await.unwrap();
    serving.end().await;
}
