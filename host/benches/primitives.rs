//! Rates of single parts of the protocol, see `minionn_host::bench::primitives`.

use core::time::Duration;
use minionn_core::backend::aes::Path;
use minionn_core::garble::{Function, Neuron};
use minionn_core::ot::Repetition;
use minionn_core::ring::Modulus;
use minionn_host::bench::primitives::{aes, extension, garbling, seconds};

fn main() {
    let budget = Duration::from_millis(300);
    let (mut block, mut sched) = (f64::MAX, f64::MAX);
    for path in Path::ALL.into_iter().filter(|path| path.is_here()) {
        let mut bench = aes::Bench::new(path);
        let b = seconds(budget, || bench.encrypt()) / aes::BLOCKS as f64;
        let s = seconds(budget, || bench.schedule()) / aes::KEYS as f64;
        println!("AES {path:?} {:.3} ns/block, schedule {:.2} ns", b * 1e9, s * 1e9);
        block = block.min(b);
        sched = sched.min(s);
    }
    let circuit = Neuron { function: Function::Relu, modulus_in: Modulus::Bits(22), modulus_out: Modulus::Bits(16), shift: 7 };
    let mut layer = garbling::Layer::new(circuit, 256, Path::best());
    let g = seconds(budget, || layer.garble());
    let e = seconds(budget, || layer.evaluate());
    let n = layer.and_gates() as f64;
    let limit = |blocks: usize| blocks as f64 * block + layer.records() as f64 * sched;
    println!("garble {:.2} ns/AND {:.1} M/s ratio {:.2}", g / n * 1e9, n / g / 1e6, g / limit(layer.garbling_blocks()));
    println!("evaluate {:.2} ns/AND {:.1} M/s ratio {:.2}", e / n * 1e9, n / e / 1e6, e / limit(layer.evaluating_blocks()));
    for k in Repetition::ALL {
        let mut memory = extension::Memory::new(k, 256);
        let mut pair = memory.pair(Path::best()).unwrap();
        let n = pair.ots() as f64;
        let r = seconds(budget, || pair.receive());
        let s = seconds(budget, || pair.send());
        println!("{k:?} receive {:.2} ns {:.1} M/s, send {:.2} ns {:.1} M/s", r / n * 1e9, n / r / 1e6, s / n * 1e9, n / s / 1e6);
    }
}
