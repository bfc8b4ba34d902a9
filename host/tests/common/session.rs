//! Private predictions over TCP, held against the integer model and the plan.

use minionn_core::cost;
use minionn_core::model::Model;
use minionn_core::plan::Plan;
use minionn_core::session::Options;
use minionn_core::workers::Workers;
use minionn_host::client::{self, Report, Settings};
use minionn_host::commands::plain;
use minionn_host::npy::Array;
use minionn_host::server::{Limits, Service, run_listener};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Serves `model` to one client on this machine, and predicts.
pub(crate) fn predict(
    model: Vec<u8>,
    options: Options,
    inputs: &Array,
    store: Option<&Path>,
) -> Report {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let service = Arc::new(Service::new(model, Limits::default()).unwrap());
    let seen = Arc::new(Mutex::new((0, 0)));
    let sent = seen.clone();
    let server = std::thread::spawn(move || {
        let fetched = cost::fetch_plan(service.plan());
        let total = sent.clone();
        run_listener(&listener, service, true, move |session| {
            assert_eq!(session.error, None);
            *total.lock().unwrap() =
                (session.bytes_received - fetched.up, session.bytes_sent - fetched.down);
        })
        .unwrap();
    });
    let mut link = client::connect(&address).unwrap();
    let plan_bytes = client::plan_from(&mut link).unwrap();
    let plan = Plan::parse(&plan_bytes).unwrap();
    let report = client::predict(
        link,
        plan,
        &Settings { options, store, pairing: None, workers: Workers::OWN },
        inputs,
        || {},
    )
    .unwrap();
    server.join().unwrap();
    let phases = [&report.setup, &report.offline, &report.online];
    let bye = minionn_core::wire::OVERHEAD as u64;
    let ours = (
        phases.iter().map(|p| p.bytes_sent).sum::<u64>() + bye,
        phases.iter().map(|p| p.bytes_received).sum::<u64>(),
    );
    assert_eq!(*seen.lock().unwrap(), ours, "both parties count the same bytes");
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
    let report = predict(model.to_vec(), options, inputs, None);
    let model = Model::parse(model).unwrap();
    assert_eq!(report.predictions, plain::evaluate(&model, inputs).unwrap().predictions, "{name}");
    let (plan, rows) = (model.plan(), inputs.rows() as u64);
    let stocks = rows.div_ceil(u64::from(options.stock));
    let times = |n: u64, p: cost::Phase| (n * p.up, n * p.down, n as u32 * p.rounds);
    let seen = |p: &client::Phase| (p.bytes_sent, p.bytes_received, p.rounds);
    assert_eq!(seen(&report.setup), times(1, cost::setup()), "{name}: set-up");
    assert_eq!(
        seen(&report.offline),
        times(stocks, cost::offline(plan, &options).unwrap()),
        "{name}: offline"
    );
    assert_eq!(seen(&report.online), times(rows, cost::online(plan, &options)), "{name}: online");
    report.predictions.iter().zip(labels).filter(|(p, l)| p.argmax == **l as usize).count()
}
