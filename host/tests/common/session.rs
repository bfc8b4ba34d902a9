//! Private predictions over TCP, held against the integer model and the plan.

use minionn_core::cost;
use minionn_core::session::Options;
use minionn_host::client::Phase;
use minionn_host::npy::Array;
use minionn_host::report::Report;
use minionn_host::{Client, ClientOptions, Model, Server};
use std::net::TcpListener;
use std::path::Path;

/// Serves `model` to one client on this machine, and predicts.
pub(crate) fn predict(
    model: &Model,
    session: Options,
    inputs: &Array,
    store: Option<&Path>,
) -> Report {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(model.clone());
    let serving = std::thread::spawn(move || server.serve_one(&listener).unwrap());
    let mut options = ClientOptions::new().session(session);
    if let Some(path) = store {
        options = options.table_file(path);
    }
    let client = Client::connect_with(address, options).unwrap();
    assert_eq!(client.plan(), model.plan());
    let rows = inputs.rows_of(client.plan().input_len()).unwrap();
    let report = Report::make(client, rows, || {}).unwrap();
    let served = serving.join().unwrap();
    assert!(served.error.is_none(), "{served:?}");
    let fetched = cost::fetch_plan(model.plan().core());
    let phases = [report.phases.setup, report.phases.offline, report.phases.online];
    let bye = minionn_core::wire::OVERHEAD as u64;
    let ours = (
        phases.iter().map(|p| p.bytes_sent).sum::<u64>() + bye,
        phases.iter().map(|p| p.bytes_received).sum::<u64>(),
    );
    let seen = (served.bytes_received - fetched.up, served.bytes_sent - fetched.down);
    assert_eq!(seen, ours, "both parties count the same bytes");
    report
}

/// Checks answers against the integer model and costs against the plan; returns how many labels are
/// right.
pub(crate) fn check(
    name: &str,
    model: &[u8],
    options: Options,
    inputs: &Array,
    labels: &[f32],
) -> usize {
    let model = Model::from_bytes(model).unwrap();
    let report = predict(&model, options, inputs, None);
    let each = inputs.rows_of(model.plan().input_len()).unwrap();
    assert_eq!(report.predictions, model.predict_plain_batch(each).unwrap(), "{name}");
    let (plan, rows) = (model.plan().core(), inputs.rows() as u64);
    let stocks = rows.div_ceil(u64::from(options.stock));
    let times = |n: u64, p: cost::Phase| (n * p.up, n * p.down, n as u32 * p.rounds);
    let seen = |p: Phase| (p.bytes_sent, p.bytes_received, p.rounds);
    assert_eq!(seen(report.phases.setup), times(1, cost::setup()), "{name}: set-up");
    assert_eq!(
        seen(report.phases.offline),
        times(stocks, cost::offline(plan, &options).unwrap()),
        "{name}: offline"
    );
    assert_eq!(
        seen(report.phases.online),
        times(rows, cost::online(plan, &options)),
        "{name}: online"
    );
    report.predictions.iter().zip(labels).filter(|(p, l)| p.class == **l as usize).count()
}
