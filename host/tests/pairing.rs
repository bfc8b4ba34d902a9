//! Pairings over TCP: a client's file, a server's memory and folder.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "common/process.rs"]
mod process;

use minionn_core::Error;
use minionn_core::cost;
use minionn_core::handshake::{ABORT_BYTES, Greeting, Hello, abort};
use minionn_core::model::Model;
use minionn_core::ot::Repetition;
use minionn_core::plan::Plan;
use minionn_core::rng::{KnownSeed, Seed};
use minionn_core::session::blocking::{Blocking, run};
use minionn_core::session::{
    CLIENT_PAIRING_BYTES, Client, NoStore, Options, Pairing, PairingId, SERVER_PAIRING_BYTES,
    Server, Tables, client_memory, server_memory,
};
use minionn_core::wire::{Tag, emit_frame};
use minionn_host::memory::Memory;
use minionn_host::npy::{self, Array};
use minionn_host::pairing::{Half, PairingFile, PairingStore as _, Pairings};
use minionn_host::stream::Buffered;
use process::{minionn, serve};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

/// A folder of this test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pairing-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
}

/// Runs `minionn predict` with a pairing: its report, or what it said.
fn predict(
    address: &str,
    input: &Path,
    pairing: &Path,
    more: &[&str],
) -> Result<serde_json::Value, String> {
    let mut command = minionn();
    command
        .args(["predict", address, "--json", "--input"])
        .arg(input)
        .arg("--pairing")
        .arg(pairing)
        .args(more);
    let output = command.output().unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

fn set_up(report: &serde_json::Value) -> (u64, u64, u64) {
    let of = |field: &str| report["setup"][field].as_u64().unwrap();
    (of("bytes_sent"), of("bytes_received"), of("rounds"))
}

fn phase(p: cost::Phase) -> (u64, u64, u64) {
    (p.up, p.down, p.rounds.into())
}

#[test]
fn the_command_pays_for_set_up_once() {
    let folder = folder("command");
    let (images, file, kept) =
        (folder.join("x.npy"), folder.join("device.pairing"), folder.join("kept"));
    let rows = npy::read(&models().join("digits_relu.test.npy")).unwrap();
    npy::write(&images, &Array::new(&[2, 64], rows.data()[..128].to_vec()).unwrap()).unwrap();
    let model = models().join("digits_relu.minionn");
    let plain = minionn()
        .arg("plain")
        .arg(&model)
        .arg("--json")
        .arg("--input")
        .arg(&images)
        .output()
        .unwrap();
    let plain: serde_json::Value = serde_json::from_slice(&plain.stdout).unwrap();
    let (full, resumed) = (phase(cost::setup().plus(cost::keep())), phase(cost::resume()));

    let in_folder = ["--pairings", kept.to_str().unwrap()];
    let first = {
        let server = serve(&model, &in_folder);
        let report = predict(&server.1, &images, &file, &[]).unwrap();
        assert_eq!((set_up(&report), &report["predictions"]), (full, &plain["predictions"]));
        let first = std::fs::read(&file).unwrap();
        let report =
            predict(&server.1, &images, &file, &["--tables", "streamed", "--stock", "2"]).unwrap();
        assert_eq!((set_up(&report), &report["predictions"]), (resumed, &plain["predictions"]));
        let message = predict(&server.1, &images, &file, &["--ot", "2"]).unwrap_err();
        assert!(message.contains("OT parameter 8"), "{message}");
        first
    };
    // Another process, another model: the pairing is the server's, not a model's.
    {
        let server = serve(&models().join("fig10_square.minionn"), &in_folder);
        let digits = folder.join("digits.npy");
        let rows = npy::read(&models().join("mnist.test.npy")).unwrap();
        npy::write(&digits, &Array::new(&[1, 784], rows.data()[..784].to_vec()).unwrap()).unwrap();
        let report = predict(&server.1, &digits, &file, &[]).unwrap();
        assert_eq!(set_up(&report), resumed);
    }
    #[cfg(unix)]
    {
        let only = std::fs::read_dir(&kept)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>();
        assert_eq!(
            (only.len(), mode(&only[0]), mode(&kept), mode(&file)),
            (1, 0o600, 0o700, 0o600)
        );
    }
    // A server that keeps pairings in memory has forgotten them, says so, and nothing is replaced
    // in silence.
    let server = serve(&model, &[]);
    let message = predict(&server.1, &images, &file, &[]).unwrap_err();
    assert!(
        message.contains("does not have this pairing") && message.contains("device.pairing"),
        "{message}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), first, "written once");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(set_up(&predict(&server.1, &images, &file, &[]).unwrap()), full);
    assert_eq!(set_up(&predict(&server.1, &images, &file, &[]).unwrap()), resumed);
    // Damage is told, not repaired.
    let mut bad = std::fs::read(&file).unwrap();
    bad[50] ^= 1;
    std::fs::write(&file, bad).unwrap();
    let message = predict(&server.1, &images, &file, &[]).unwrap_err();
    assert!(message.contains("not a usable pairing") && message.contains("damaged"), "{message}");
}

/// A hello that no client of this library sends: its pairing was made with another OT parameter.
#[test]
fn another_ot_parameter_than_the_pairings_is_refused() {
    let folder = folder("parameter");
    let model = models().join("digits_relu.minionn");
    let server = serve(&model, &[]);
    let (images, file) = (folder.join("x.npy"), folder.join("p"));
    npy::write(&images, &Array::new(&[1, 64], vec![0.5; 64]).unwrap()).unwrap();
    predict(&server.1, &images, &file, &[]).unwrap();
    let pairing = Some(id(&std::fs::read(&file).unwrap()));
    let bytes = std::fs::read(&model).unwrap();
    let digest = *Model::parse(&bytes).unwrap().plan().digest();
    for (k, code) in [(8, None), (2, Some(107))] {
        let options = Options { repetition: Repetition::from_k(k).unwrap(), ..Options::default() };
        let mut hello = [0; Greeting::MAX];
        emit_frame(
            Tag::Hello,
            &Hello { options, digest, nonce: [1; 32], pairing }.emit(),
            &mut hello,
        )
        .unwrap();
        let mut stream = TcpStream::connect(&server.1).unwrap();
        stream.write_all(&hello).unwrap();
        let mut answer = [0; ABORT_BYTES];
        stream.read_exact(&mut answer).unwrap();
        match code {
            None => assert_eq!(answer[0], Tag::Welcome as u8),
            Some(code) => assert_eq!(answer, abort(code)),
        }
    }
}

#[test]
fn a_server_that_keeps_none_says_so() {
    let folder = folder("none");
    let server = serve(&models().join("digits_relu.minionn"), &["--max-pairings", "0"]);
    let (images, file) = (models().join("digits_relu.labels.npy"), folder.join("p"));
    // The input does not fit: nothing is written before set-up.
    assert!(predict(&server.1, &images, &file, &[]).is_err() && !file.exists());
    let images = folder.join("x.npy");
    npy::write(&images, &Array::new(&[1, 64], vec![0.5; 64]).unwrap()).unwrap();
    predict(&server.1, &images, &file, &[]).unwrap();
    let message = predict(&server.1, &images, &file, &[]).unwrap_err();
    assert!(message.contains("does not have this pairing"), "{message}");
}

/// Predicts through a link that somebody listens to. Returns what went to the server.
fn overheard(address: &str, input: &Path, pairing: &Path) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let between = listener.local_addr().unwrap().to_string();
    std::thread::scope(|scope| {
        let up = scope.spawn(|| {
            let (mut client, _) = listener.accept().unwrap();
            let mut server = TcpStream::connect(address).unwrap();
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            scope.spawn(move || {
                std::io::copy(&mut from, &mut to).unwrap();
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
            let (mut all, mut some) = (vec![], vec![0; 1 << 16]);
            loop {
                let n = client.read(&mut some).unwrap();
                if n == 0 {
                    let _ = server.shutdown(std::net::Shutdown::Write);
                    return all;
                }
                all.extend(&some[..n]);
                server.write_all(&some[..n]).unwrap();
            }
        });
        predict(&between, input, pairing, &["--stock", "1"]).unwrap();
        up.join().unwrap()
    })
}

/// What a client sent once does not fit another session's leaves: to the server it is a client that
/// sends inconsistent corrections, whose pairing ends.
#[test]
fn a_pairing_with_inconsistent_corrections_is_forgotten() {
    let folder = folder("inconsistent");
    let (images, kept) = (folder.join("x.npy"), folder.join("kept"));
    npy::write(&images, &Array::new(&[1, 64], vec![0.5; 64]).unwrap()).unwrap();
    for (round, more) in [&[][..], &["--pairings", kept.to_str().unwrap()]].into_iter().enumerate()
    {
        let file = folder.join(format!("client-{round}"));
        let server = serve(&models().join("digits_relu.minionn"), more);
        predict(&server.1, &images, &file, &[]).unwrap();
        let sent = overheard(&server.1, &images, &file);
        predict(&server.1, &images, &file, &[]).unwrap();
        let mut again = TcpStream::connect(&server.1).unwrap();
        // It may hang up before it has read all.
        let _ = again.write_all(&sent);
        let mut answer = vec![];
        let _ = again.read_to_end(&mut answer);
        let told = &answer[answer.len() - ABORT_BYTES..];
        assert_eq!(told[5..7], Error::Inconsistent.code().to_le_bytes(), "{answer:?}");
        let message = predict(&server.1, &images, &file, &[]).unwrap_err();
        assert!(message.contains("does not have this pairing"), "{message}");
    }
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 0);
}

/// Both halves of some pairings.
fn halves(count: u8) -> Vec<[Vec<u8>; 2]> {
    let bytes = std::fs::read(models().join("digits_relu.minionn")).unwrap();
    let plan = *Model::parse(bytes.leak()).unwrap().plan();
    let options = Options { tables: Tables::Streamed, ..Options::default() };
    (0..count).map(|i| exported(&plan, options, i)).collect()
}

fn exported(plan: &Plan<'static>, options: Options, round: u8) -> [Vec<u8>; 2] {
    let plan = *plan;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let bytes = std::fs::read(models().join("digits_relu.minionn")).unwrap();
        let model = Model::parse(&bytes).unwrap();
        let mut weights = Memory::new(minionn_core::session::prepared_memory(&plan, 1).unwrap());
        let prepared = minionn_core::session::Prepared::new(model, 1, weights.bytes()).unwrap();
        let mut memory = Memory::new(server_memory(&plan, &options).unwrap());
        let io = Blocking(Buffered::new(listener.accept().unwrap().0));
        let mut server = run(Server::accept(
            io,
            &prepared,
            options,
            memory.bytes(),
            &mut KnownSeed::new(Seed([100 + round; 32])),
        ))
        .unwrap();
        run(server.serve()).unwrap();
        let mut half = vec![0; SERVER_PAIRING_BYTES];
        server.export(&mut half).unwrap();
        half
    });
    let mut memory = Memory::new(client_memory(&plan, &options).unwrap());
    let io = Blocking(Buffered::new(TcpStream::connect(address).unwrap()));
    let mut client = run(Client::connect(
        io,
        NoStore,
        plan,
        options,
        memory.bytes(),
        &mut KnownSeed::new(Seed([1 + round; 32])),
    ))
    .unwrap();
    let mut half = vec![0; CLIENT_PAIRING_BYTES];
    run(client.export(&mut half)).unwrap();
    [half, server.join().unwrap()]
}

fn id(half: &[u8]) -> PairingId {
    *Pairing::parse(half).unwrap().id()
}

/// The one that was not used for longest goes.
fn least_recently_used_goes(pairings: &Pairings, halves: &[[Vec<u8>; 2]]) {
    // File times of some media are coarse.
    let pause = || std::thread::sleep(core::time::Duration::from_millis(20));
    let has = |i: usize| {
        pairings.get(&id(&halves[i][1])).inspect(|half| assert!(**half == halves[i][1])).is_some()
    };
    let keep = |i: usize| {
        pause();
        pairings.keep(Half::new(halves[i][1].clone())).unwrap();
        pause();
    };
    keep(0);
    keep(1);
    assert!(has(1));
    pause();
    assert!(has(0));
    keep(2);
    assert!(has(2) && has(0) && !has(1));
    keep(0);
    keep(1);
    assert!(has(1) && has(0) && !has(2));
    assert!(pairings.get(&[9; 16]).is_none());
    assert!(pairings.keep(Half::new(vec![1; 99])).is_err());
}

#[test]
fn pairings_are_bounded_in_memory_and_in_a_folder() {
    let halves = halves(3);
    least_recently_used_goes(&Pairings::in_memory(2), &halves);
    let folder = folder("bounded");
    std::fs::write(folder.join("note.txt"), "not a pairing").unwrap();
    let pairings = Pairings::in_folder(&folder, 2).unwrap();
    least_recently_used_goes(&pairings, &halves);
    assert!(folder.join("note.txt").exists());
    // A file that is damaged, a client's, or another one's is as good as none.
    let file = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().unwrap() == "pairing")
        .unwrap();
    let kept = std::fs::read(&file).unwrap();
    assert!(pairings.get(&id(&kept)).is_some());
    let mut damaged = kept.clone();
    damaged[100] ^= 1;
    for bad in [&damaged, &halves[0][0], &halves[2][1], &vec![]] {
        std::fs::write(&file, bad).unwrap();
        assert!(pairings.get(&id(&kept)).is_none());
    }
    assert!(Pairings::in_folder(folder.join("note.txt"), 2).is_err());
    assert!(PairingFile::new(folder.join("nothing")).load().unwrap().is_none());
}
