//! Client and server as a program uses them: over sockets and other streams, with everything that
//! can go wrong.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use core::net::SocketAddr;
use core::time::Duration;
use minionn_core::cost;
use minionn_core::ot::Repetition;
use minionn_core::session::Tables;
use minionn_host::error::Step;
use minionn_host::npy::{self, Array};
use minionn_host::pairing::{Half, PairingStore, Pairings};
use minionn_host::server::SessionReport;
use minionn_host::{
    Client, ClientOptions, CompileOptions, Error, Fault, Model, Output, Plan, Server,
    ServerOptions, StopHandle,
};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

fn model() -> Model {
    Model::open(models().join("digits_relu.minionn")).unwrap()
}

fn images() -> Array {
    npy::read(&models().join("digits_relu.test.npy")).unwrap()
}

/// A server on a free port, and the reports of its sessions.
struct Serving {
    address: SocketAddr,
    stop: StopHandle,
    reports: Receiver<SessionReport>,
    thread: JoinHandle<Result<(), Error>>,
}

impl Serving {
    fn start(options: ServerOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (sender, reports) = channel();
        let options = options.on_session(move |report| drop(sender.send(report)));
        let server = Server::with_options(model(), options);
        let (address, stop) = (listener.local_addr().unwrap(), server.stop_handle());
        Self { address, stop, reports, thread: std::thread::spawn(move || server.serve(listener)) }
    }

    fn report(&self) -> SessionReport {
        self.reports.recv_timeout(PATIENCE).unwrap()
    }

    fn end(self) {
        self.stop.stop();
        self.thread.join().unwrap().unwrap();
    }
}

#[test]
fn a_client_prepares_by_itself_or_ahead_of_time() {
    let serving = Serving::start(ServerOptions::new());
    let (model, images) = (model(), images());
    let rows: Vec<&[f32]> = images.rows_of(64).unwrap().take(5).collect();
    let expected = model.predict_plain_batch(&rows).unwrap();

    let options = ClientOptions::new().stock(2);
    let session = *options.session_options();
    let mut client = Client::connect_with(serving.address, options).unwrap();
    assert_eq!((client.remaining(), client.plan()), (0, model.plan()));
    client.prepare().unwrap();
    let prepared = client.phases().offline;
    assert_eq!(prepared.bytes(), model.costs(&session).unwrap().offline.bytes());
    // What is prepared is not thrown away.
    client.prepare().unwrap();
    assert_eq!((client.remaining(), client.phases().offline), (2, prepared));
    assert_eq!(client.predict(rows[0]).unwrap(), expected[0]);
    assert_eq!(client.remaining(), 1);
    let mut seen = 0;
    assert_eq!(client.predict_batch(&rows[1..4]).unwrap(), expected[1..4]);
    client.predict_each([rows[4]], |_| seen += 1).unwrap();
    assert_eq!((client.remaining(), seen), (1, 1));
    assert_eq!(client.phases().offline.bytes(), 3 * prepared.bytes());
    client.close().unwrap();
    let report = serving.report();
    assert!(report.error.is_none() && report.predictions == 5, "{report:?}");
    serving.end();
}

#[test]
fn inputs_that_do_not_fit_leave_the_session_as_it_was() {
    let serving = Serving::start(ServerOptions::new());
    let mut client = Client::connect(serving.address).unwrap();
    client.prepare().unwrap();
    let good = vec![0.5; 64];
    let error = client.predict(&good[1..]).unwrap_err();
    assert!(matches!(error, Error::InputLength { row: 0, need: 64, got: 63 }), "{error:?}");
    let mut bad = good.clone();
    bad[7] = f32::NAN;
    let error = client.predict_batch([&good, &bad]).unwrap_err();
    assert!(matches!(error, Error::InputValue { row: 1, column: 7 }), "{error:?}");
    assert_eq!((error.fault(), client.remaining()), (Fault::Caller, 1), "nothing is used up");
    assert_eq!(client.predict(&good).unwrap(), model().predict_plain(&good).unwrap());
    // Dropped, not closed: the server is told all the same.
    drop(client);
    let report = serving.report();
    assert!(report.error.is_none() && report.predictions == 1, "{report:?}");
    serving.end();
}

#[test]
fn a_client_knows_which_plan_it_wants() {
    let serving = Serving::start(ServerOptions::new());
    let (model, x) = (model(), vec![0.25; 64]);
    let known = ClientOptions::new().plan(model.plan().clone());
    let mut client = Client::connect_with(serving.address, known).unwrap();
    assert_eq!(client.predict(&x).unwrap(), model.predict_plain(&x).unwrap());
    drop(client);
    // The plan was not sent.
    let report = serving.report();
    let costs = model.costs(ClientOptions::new().session_options()).unwrap();
    let all = [costs.setup, costs.offline, costs.online].map(|phase| phase.bytes_down);
    assert_eq!(report.bytes_sent, all.iter().sum::<u64>());

    let digest = ClientOptions::new().plan_digest(*model.plan().digest());
    Client::connect_with(serving.address, digest).unwrap();
    let digest = ClientOptions::new().plan_digest([7; 32]);
    let error = Client::connect_with(serving.address, digest).unwrap_err();
    assert!(matches!(error, Error::PlanDigest) && error.fault() == Fault::Peer, "{error:?}");
    let check = ClientOptions::new().check_plan(|plan| {
        if plan.output() == Output::Argmax { Ok(()) } else { Err("too much is shown".into()) }
    });
    let error = Client::connect_with(serving.address, check).unwrap_err();
    assert!(error.report().ends_with("refused: too much is shown"), "{error}");

    let other = Plan::open(models().join("sensor.plan")).unwrap();
    let other = ClientOptions::new().plan(other);
    let error = Client::connect_with(serving.address, other).unwrap_err();
    let Error::Session { step: Step::SetUp, error: minionn_core::Error::PeerAborted(106), .. } =
        error
    else {
        panic!("{error:?}");
    };
    assert_eq!(error.fault(), Fault::Peer);
    serving.end();
}

/// A pairing in memory.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Option<Half>>>);

impl PairingStore for Kept {
    fn load(&self) -> io::Result<Option<Half>> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn save(&self, half: &[u8]) -> io::Result<()> {
        *self.0.lock().unwrap() = Some(Half::new(half.to_vec()));
        Ok(())
    }

    fn place(&self) -> String {
        "the test's memory".into()
    }
}

#[test]
fn a_pairing_is_kept_wherever_the_program_wants() {
    let serving = Serving::start(ServerOptions::new());
    let (kept, x) = (Kept::default(), vec![0.75; 64]);
    let expected = model().predict_plain(&x).unwrap();
    let setup = |options| {
        let mut client = Client::connect_with(serving.address, options)?;
        assert_eq!(client.predict(&x)?, expected);
        let setup = client.phases().setup;
        client.close().map(|()| setup.bytes())
    };
    let options = || ClientOptions::new().pairing(kept.clone());
    let bytes = |phase: cost::Phase| phase.up + phase.down;
    let full = bytes(cost::setup()) + bytes(cost::keep());
    assert_eq!(setup(options()).unwrap(), full);
    assert_eq!(setup(options().tables(Tables::Streamed)).unwrap(), bytes(cost::resume()));
    let error = setup(options().ot(Repetition::K2)).unwrap_err();
    assert!(matches!(error, Error::PairingParameter { made_with: 8, .. }), "{error:?}");
    serving.end();

    // Another server has never seen it.
    let serving = Serving::start(ServerOptions::new().pairings(Pairings::in_memory(0)));
    let error = Client::connect_with(serving.address, options()).unwrap_err();
    assert!(error.to_string().contains("remove the test's memory"), "{error}");
    let report = serving.report();
    assert!(matches!(report.error, Some(Error::Refused(_))), "{report:?}");
    kept.0.lock().unwrap().as_mut().unwrap()[40] ^= 1;
    let error = Client::connect_with(serving.address, options()).unwrap_err();
    assert!(matches!(error, Error::Pairing { .. }), "{error:?}");
    serving.end();
}

#[test]
fn a_server_refuses_what_it_does_not_allow() {
    let limits = ServerOptions::new().max_stock(4).max_sessions(1);
    let serving = Serving::start(limits);
    let options = ClientOptions::new().stock(5).plan(model().plan().clone());
    let error = Client::connect_with(serving.address, options).unwrap_err();
    assert!(error.to_string().contains("lower the stock"), "{error}");
    let report = serving.report();
    assert_eq!(report.error.unwrap().to_string(), "refused: a stock of 5: at most 4 are allowed");

    let first = Client::connect(serving.address).unwrap();
    let error = Client::connect(serving.address).unwrap_err();
    assert!(matches!(error, Error::Session { step: Step::Plan, .. }), "{error:?}");
    drop(first);
    serving.report();
    Client::connect(serving.address).unwrap();
    serving.end();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::with_options(model(), ServerOptions::new().max_stock(0));
    assert!(matches!(server.serve(listener), Err(Error::Options(_))));
    let error = Client::connect_with("127.0.0.1:1", ClientOptions::new().stock(0)).unwrap_err();
    assert!(matches!(error, Error::Options(_)), "before anything is connected: {error:?}");
}

#[test]
fn a_server_that_is_stopped_ends_its_sessions_and_returns() {
    let serving = Serving::start(ServerOptions::new().grace(Duration::from_secs(600)));
    let (mut client, address) = (Client::connect(serving.address).unwrap(), serving.address);
    client.prepare().unwrap();
    serving.stop.stop();
    // The session waits for its client: nothing is under way that grace would be for.
    let report = serving.report();
    assert!(matches!(report.error, Some(Error::Stopped)), "{report:?}");
    serving.thread.join().unwrap().unwrap();
    let error = client.predict(&[0.5; 64]).unwrap_err();
    assert_eq!((error.fault(), client.remaining()), (Fault::Link, 0), "{error:?}");
    assert!(matches!(client.predict(&[0.5; 64]), Err(Error::Ended)));
    assert!(matches!(client.close(), Err(Error::Ended)));
    let error = Client::connect(address).unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}

#[test]
fn a_peer_that_says_nothing_is_not_waited_for_without_end() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = ClientOptions::new().idle_timeout(Duration::from_millis(50));
    let error = Client::connect_with(silent.local_addr().unwrap(), options).unwrap_err();
    assert_eq!(error.fault(), Fault::Link);
    assert!(error.report().ends_with("the peer was silent for too long"), "{}", error.report());

    let serving = Serving::start(ServerOptions::new().idle_timeout(Duration::from_millis(50)));
    let mut stream = std::net::TcpStream::connect(serving.address).unwrap();
    // The server says nothing more, and reads on in case that the client has something to say.
    assert_eq!(io::Read::read(&mut stream, &mut [0]).unwrap(), 0);
    drop(stream);
    let report = serving.report();
    assert!(
        matches!(report.error, Some(Error::Session { step: Step::Greeting, .. })),
        "{report:?}"
    );
    serving.end();
}

#[cfg(unix)]
#[test]
fn any_stream_that_waits_will_do() {
    use std::os::unix::net::UnixStream;
    let (near, far) = UnixStream::pair().unwrap();
    let server = Server::new(model());
    let serving = std::thread::spawn(move || server.serve_stream(far, "pair").unwrap());
    let mut client = Client::over(near, ClientOptions::new()).unwrap();
    // A client may go to another thread.
    let client = std::thread::spawn(move || {
        let x = vec![1.0; 64];
        assert_eq!(client.predict(&x).unwrap(), model().predict_plain(&x).unwrap());
        client
    });
    client.join().unwrap().close().unwrap();
    let report = serving.join().unwrap();
    assert_eq!((&report.peer[..], report.predictions), ("pair", 1));

    // One that does not wait is told so.
    let (near, _far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let error = Client::over(near, ClientOptions::new()).unwrap_err();
    assert_eq!(error.fault(), Fault::Link);
}

#[test]
fn models_are_compiled_opened_and_described() {
    let onnx = std::fs::read(models().join("digits_relu.onnx")).unwrap();
    let calibration = npy::read(&models().join("digits_relu.calibrate.npy")).unwrap();
    let rows: Vec<&[f32]> = calibration.rows_of(64).unwrap().collect();
    let compiled = Model::compile(&onnx, &rows, &CompileOptions::default()).unwrap();
    assert_eq!(compiled.as_bytes(), model().as_bytes());
    let plan = compiled.plan();
    assert_eq!((plan.input_len(), plan.output_len()), (64, 10));
    assert_eq!((plan.output(), plan.input_range()[0]), (Output::Logits, 0.0));
    assert_eq!(plan, &Plan::open(models().join("digits_relu.plan")).unwrap());

    // Without calibration the range has to be named.
    let none: [&[f32]; 0] = [];
    let error = Model::compile(&onnx, &none, &CompileOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Compile(_)) && error.fault() == Fault::Caller, "{error:?}");
    let argmax = CompileOptions {
        input_range: Some((0.0, 1.0)),
        output: Some(Output::Argmax),
        ..CompileOptions::default()
    };
    let label_only = Model::compile(&onnx, &none, &argmax).unwrap();
    let prediction = label_only.predict_plain(rows[0]).unwrap();
    assert!(prediction.logits.is_none() && label_only.plan().output() == Output::Argmax);
    let short = Model::compile(&onnx, &[[0.0; 63]], &argmax).unwrap_err();
    assert!(short.report().contains("row 0 of 63 numbers"), "{}", short.report());

    let error = Model::open(models().join("nothing.minionn")).unwrap_err();
    assert!(error.to_string().contains("nothing.minionn") && error.fault() == Fault::Caller);
    let error = Model::open(models().join("digits_relu.plan")).unwrap_err();
    assert!(matches!(error, Error::Format { .. }) && error.to_string().contains("compile"));
}
