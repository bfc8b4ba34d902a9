//! Rates of single parts of the protocol, see `minionn_host::bench::primitives`. An argument of
//! milliseconds for each replaces 300.

use core::time::Duration;
use minionn_core::backend::aes::Path;
use minionn_core::garble::{Function, Neuron};
use minionn_core::ot::Repetition;
use minionn_core::ring::Modulus;
use minionn_host::bench::primitives::{aes, extension, garbling, seconds, streamed};

/// Neurons of a layer whose tables stay near the CPU.
const NEURONS: usize = 128;
/// OTs of one call, in groups.
const GROUPS: usize = 256;

fn main() -> anyhow::Result<()> {
    let budget = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .map_or(Duration::from_millis(300), Duration::from_millis);
    let paths: Vec<Path> = Path::ALL.into_iter().filter(|path| path.is_here()).collect();
    let (block, schedule) = limits(&paths, budget);
    for &path in &paths {
        garbling_on(path, budget, block, schedule);
    }
    for repetition in Repetition::ALL {
        let k = repetition.k();
        for &path in &paths {
            let mut memory = extension::Memory::new(repetition, GROUPS);
            let mut pair = memory.pair(path)?;
            let ots = pair.ots() as f64;
            let (receive, send) =
                (seconds(budget, || pair.receive()), seconds(budget, || pair.send()));
            println!(
                "OT k={k} {path:?}: received {:.1} M/s, sent {:.1} M/s",
                ots / receive / 1e6,
                ots / send / 1e6
            );
        }
    }
    let network = streamed::Network::new(1 << 15, [22, 16], 7)?;
    for repetition in Repetition::ALL {
        let rate = network.and_gates_per_second(repetition, 7)?;
        println!(
            "OTs, garbled, sent, evaluated over loopback, k={}: {:.1} M AND/s",
            repetition.k(),
            rate / 1e6
        );
    }
    Ok(())
}

/// Prints blocks and schedules of all paths; returns the fewest seconds of a block and of a
/// schedule.
fn limits(paths: &[Path], budget: Duration) -> (f64, f64) {
    let (mut block, mut schedule) = (f64::MAX, f64::MAX);
    for &path in paths {
        let mut bench = aes::Bench::new(path);
        let b = seconds(budget, || bench.encrypt()) / aes::BLOCKS as f64;
        let s = seconds(budget, || bench.schedule()) / aes::KEYS as f64;
        println!(
            "AES {path:?}: {:.0} M blocks/s ({:.3} ns), {:.2} ns for a key schedule",
            1e-6 / b,
            b * 1e9,
            s * 1e9
        );
        (block, schedule) = (block.min(b), schedule.min(s));
    }
    (block, schedule)
}

/// Garbles and evaluates a layer of ReLUs; ratios are to the AES that it needs at the best path's
/// speed.
fn garbling_on(path: Path, budget: Duration, block: f64, schedule: f64) {
    let relu = Neuron {
        function: Function::Relu,
        modulus_in: Modulus::Bits(22),
        modulus_out: Modulus::Bits(16),
        shift: 7,
    };
    let mut layer = garbling::Layer::new(relu, NEURONS, path);
    let (garble, evaluate) =
        (seconds(budget, || layer.garble()), seconds(budget, || layer.evaluate()));
    let rate = |seconds: f64| layer.and_gates() as f64 / seconds / 1e6;
    let ratio = |seconds: f64, blocks: usize| {
        seconds / (blocks as f64 * block + layer.instances() as f64 * schedule)
    };
    println!(
        "AND {path:?}: garbled {:.1} M/s, {:.2} times its AES; evaluated {:.1} M/s, {:.2} times \
         its AES",
        rate(garble),
        ratio(garble, layer.garbling_blocks()),
        rate(evaluate),
        ratio(evaluate, layer.evaluating_blocks())
    );
}
