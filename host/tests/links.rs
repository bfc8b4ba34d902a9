//! Emulated links: what arithmetic expects, and what the kernel's own queues do to the same
//! session.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use core::time::Duration;
use minionn_host::link_model::LinkModel;
use minionn_host::shaper;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What a loaded machine may add to a wait, and how much longer it may make a transfer.
const LATE: f64 = 0.060;
const SLOWER: f64 = 1.15;

/// Both ends of an emulated link.
fn ends(link: &LinkModel) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = shaper::start(listener.local_addr().unwrap(), link.clone()).unwrap();
    let near = TcpStream::connect(door).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    (near, far)
}

/// Sends `len` bytes that tell their place, and reads them at the other end; seconds until the last
/// is there.
fn carry(from: &mut TcpStream, to: &mut TcpStream, len: usize) -> f64 {
    let sent: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
    let mut got = vec![0; len];
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(&sent).unwrap());
        to.read_exact(&mut got).unwrap();
    });
    let seconds = began.elapsed().as_secs_f64();
    assert!(got == sent, "bytes changed on their way");
    seconds
}

/// Never before arithmetic says, and not much later. The best of three: other work on the machine
/// only ever adds.
fn takes(expected: f64, mut run: impl FnMut() -> f64) {
    let seconds = (0..3).map(|_| run()).fold(f64::MAX, f64::min);
    assert!(
        seconds > expected * 0.999 && seconds < expected * SLOWER + LATE,
        "{seconds} s, expected {expected} s"
    );
}

#[test]
fn a_byte_takes_half_a_round_trip_each_way() {
    let link: LinkModel = "200ms,100mbit".parse().unwrap();
    let (mut near, mut far) = ends(&link);
    takes(0.2, || carry(&mut near, &mut far, 1) + carry(&mut far, &mut near, 1));
}

#[test]
fn bandwidth_holds_in_each_direction_by_itself() {
    // 1 MB/s: 400 kB take 0.4 s and 5 ms, both ways at once.
    let (mut near, mut far) = ends(&"10ms,8mbit".parse().unwrap());
    takes(0.405, || carry(&mut near, &mut far, 400_000));
    takes(0.405, || {
        let (mut near_again, mut far_again) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        std::thread::scope(|scope| {
            let up = scope.spawn(|| carry(&mut near, &mut far, 400_000));
            carry(&mut far_again, &mut near_again, 400_000).max(up.join().unwrap())
        })
    });
}

#[test]
fn a_fast_link_is_not_held_back() {
    // 125 MB/s and more than the backlog: 20 MB in 160 ms.
    let (mut near, mut far) = ends(&"lan".parse().unwrap());
    takes(0.1605, || carry(&mut near, &mut far, 20_000_000));
}

#[test]
fn ends_close_in_order() {
    let (mut near, mut far) = ends(&"20ms,80mbit".parse().unwrap());
    near.write_all(b"last words").unwrap();
    near.shutdown(std::net::Shutdown::Write).unwrap();
    let mut words = Vec::new();
    far.read_to_end(&mut words).unwrap();
    assert_eq!(words, b"last words");
    // The other direction is still open.
    far.write_all(b"heard").unwrap();
    drop(far);
    words.clear();
    near.read_to_end(&mut words).unwrap();
    assert_eq!(words, b"heard");
}

// ---- the command, over a link and over the kernel's
// ---------------------------------------------------------------------

fn bench(mut command: Command) -> Value {
    let output = command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../models"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const ARGUMENTS: [&str; 6] = ["bench", "digits_relu.minionn", "--runs", "3", "--ot", "2"];

/// Seconds of set-up, offline and online phase.
fn phases(measured: &Value) -> [f64; 3] {
    ["setup", "offline", "online"].map(|phase| measured[phase]["seconds"].as_f64().unwrap())
}

fn over(link: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minionn"));
    command.args(ARGUMENTS).args(["--link", link, "--json"]);
    bench(command)
}

#[test]
fn a_session_takes_what_the_link_takes_and_the_same_bytes() {
    // Bytes and rounds are held against the plan by the command itself.
    let measured = over("100ms,8mbit");
    assert_eq!(measured["link"], "100ms,8mbit");
    for (phase, seconds) in ["setup", "offline", "online"].into_iter().zip(phases(&measured)) {
        let alone = measured["arithmetic"][phase].as_f64().unwrap();
        let bytes = measured[phase]["bytes_sent"].as_f64().unwrap()
            + measured[phase]["bytes_received"].as_f64().unwrap();
        let rounds = measured[phase]["rounds"].as_f64().unwrap();
        assert!((alone - rounds * 0.1 - bytes / 1e6).abs() < 1e-9, "{phase}");
        // The parties' own work comes on top, on a loaded machine without optimisation.
        assert!(
            seconds > alone * 0.999 && seconds < alone * SLOWER + 0.5,
            "{phase}: {seconds} s, the link alone {alone} s"
        );
    }
}

/// A round trip short enough that TCP's window, which the emulated link does not have, never is
/// what a party waits for.
const ROUND_TRIP: Duration = Duration::from_millis(4);
const RATE: &str = "20mbit";

/// A session in a network namespace of its own, whose loopback interface `discipline` slows down;
/// or why there is none.
fn shaped(discipline: &str) -> Result<Value, String> {
    // Packets as on an Ethernet: a token bucket drops what is larger than the bucket.
    let set_up = format!("ip link set lo mtu 1500 up && tc qdisc add dev lo root {discipline}");
    let trial = Command::new("unshare").args(["--net", "sh", "-c", &set_up]).output();
    let trial = trial.map_err(|error| format!("unshare: {error}"))?;
    if !trial.status.success() {
        return Err(String::from_utf8_lossy(&trial.stderr).trim().to_owned());
    }
    let mut command = Command::new("unshare");
    let script = format!("{set_up} && exec \"$0\" \"$@\"");
    command
        .args(["--net", "sh", "-c", &script, env!("CARGO_BIN_EXE_minionn")])
        .args(ARGUMENTS)
        .arg("--json");
    Ok(bench(command))
}

/// Whether the first `count` phases take as long where the kernel slowed them down as where the
/// proxy did, within the noise of a loaded machine.
fn compare(count: usize, kernel: &Value, emulated: &Value) {
    let both = phases(kernel).into_iter().zip(phases(emulated));
    for (phase, (kernel, emulated)) in
        ["setup", "offline", "online"].into_iter().zip(both).take(count)
    {
        println!("{phase}: kernel {kernel:.4} s, emulated {emulated:.4} s");
        // Headers and acknowledgements travel in the kernel only: 2 % at these sizes.
        assert!(
            emulated < kernel * 1.3 + LATE && kernel < emulated * 1.3 + LATE,
            "{phase}: kernel {kernel} s, emulated {emulated} s"
        );
    }
}

#[test]
fn the_kernels_delay_and_bandwidth_give_the_same_times() {
    let delay = ROUND_TRIP.as_millis() / 2;
    match shaped(&format!("netem delay {delay}ms rate {RATE} limit 100000")) {
        Ok(kernel) => compare(3, &kernel, &over(&format!("{}ms,{RATE}", ROUND_TRIP.as_millis()))),
        Err(why) => println!("skipped: {why}"),
    }
}

#[test]
fn the_kernels_token_bucket_gives_the_same_times() {
    match shaped(&format!("tbf rate {RATE} burst 16kb limit 10mb")) {
        // What comes online fits the bucket.
        Ok(kernel) => compare(2, &kernel, &over(&format!("0ms,{RATE}"))),
        Err(why) => println!("skipped: {why}"),
    }
}
