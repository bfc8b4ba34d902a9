//! The Square functionality (MiniONN, Figure 8) through the real OT extension and products, against
//! the reference vectors.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use minionn_core::block::Block;
use minionn_core::hash::Tmmo;
use minionn_core::ot::{GROUP, Leaves, OtMultiply, Receiver, Repetition, Sender};
use minionn_core::params::KAPPA;
use minionn_core::ring::Modulus;
use minionn_core::rng::{Domain, Prg, Seed};
use serde_json::Value;

/// One vector: `y = y_S + y_C`, `x = y²`, `x_S = x − r`, all in the ring.
struct Square {
    ring: Modulus,
    id: u64,
    server_y: u64,
    client_y: u64,
    r: u64,
    server_x: u64,
}

fn vectors() -> Vec<Square> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/functionalities.json");
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut all = vec![];
    for group in
        file["testGroups"].as_array().unwrap().iter().filter(|group| group["type"] == "Square")
    {
        let modulus = group["params"]["modulus"].as_u64().unwrap();
        assert_eq!(group["params"]["modulus_out"].as_u64(), Some(modulus));
        let ring = if modulus.is_power_of_two() {
            Modulus::Bits(modulus.ilog2() as u8)
        } else {
            Modulus::Odd(modulus)
        };
        for test in group["tests"].as_array().unwrap() {
            let field = |name: &str| test[name].as_u64().unwrap();
            let [server_y, client_y, r, server_x] = ["y_s", "y_c", "r", "x_s"].map(field);
            all.push(Square { ring, id: field("tcId"), server_y, client_y, r, server_x });
        }
    }
    all
}

/// The choice bits of all vectors' `y_C`, lowest first, in groups of 128.
fn choices(vectors: &[Square]) -> Vec<u128> {
    let bits: Vec<_> = vectors
        .iter()
        .flat_map(|v| (0..v.ring.bits()).map(|i| u128::from(v.client_y >> i & 1)))
        .collect();
    bits.chunks(GROUP)
        .map(|group| group.iter().rev().fold(0, |word, bit| word << 1 | bit))
        .collect()
}

/// Labels `T`, labels `Q` and `Δ` for the choices: base OTs done by hand, the extension for real.
fn extend(
    repetition: Repetition,
    hash: &Tmmo,
    random: &mut Prg,
    choices: &[u128],
) -> (Vec<Block>, Vec<Block>, Block) {
    let delta = random.next_u128() | 1;
    let (mut client_leaves, mut server_leaves) =
        (vec![0; repetition.leaves()], vec![0; repetition.leaves()]);
    let mut messages = [[0; 2]; KAPPA];
    let [client, server] = [&mut client_leaves, &mut server_leaves]
        .map(|leaves| Leaves::new(repetition, leaves).unwrap());
    let keep = |b: usize, pair| messages[b] = pair;
    let mut client = Receiver::new(client, random, hash, hash, keep).unwrap();
    let received = core::array::from_fn(|b| messages[b][(delta >> b & 1) as usize]);
    let mut server = Sender::new(server, delta, &received, hash, hash).unwrap();

    let (mut t, mut q) = (vec![0; choices.len() * GROUP], vec![0; choices.len() * GROUP]);
    let bytes = repetition.correction_bytes_per_group();
    let mut corrections = vec![0; choices.len().max(1) * bytes];
    let (mut ours, mut theirs) = ([0; GROUP], [0; GROUP]);
    client.start(&mut ours, &mut corrections[..bytes]).unwrap();
    server.start(&mut theirs, &corrections[..bytes]).unwrap();
    let corrections = &mut corrections[..choices.len() * bytes];
    client.extend(&mut ours, choices, &mut t, corrections).unwrap();
    server.extend(&mut theirs, corrections, &mut q).unwrap();
    server.finish(&mut theirs, &client.finish(&mut ours).unwrap()).unwrap();
    (t, q, delta)
}

#[test]
fn square_meets_the_reference_vectors() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 32 + 9 * 33);
    let rings = [8, 13, 16, 21, 22, 24, 32, 37, 44]
        .map(Modulus::Bits)
        .into_iter()
        .chain([Modulus::Odd(101_285_036_033)]);
    for ring in rings {
        assert!(vectors.iter().any(|v| v.ring == ring), "no vectors for {ring:?}");
    }

    for repetition in Repetition::ALL {
        let hash = Tmmo::new(0x5e55_1011);
        let mut random = Seed([repetition.k() as u8; 32]).stream(Domain::Label, 0);
        let (t, q, delta) = extend(repetition, &hash, &mut random, &choices(&vectors));
        let mut used = 0;
        for Square { ring, id, server_y, client_y, r, server_x } in &vectors {
            let bits = ring.bits() as usize;
            let (t, q, tweak) = (&t[used..][..bits], &q[used..][..bits], used as u128);
            used += bits;

            // Offline: shares of a·y_C.
            let a = ring.reduce(random.next_u64());
            let mut corrections = vec![0; bits];
            let multiply = OtMultiply { modulus: *ring, hash: &hash, tweak_base: tweak };
            let server_p = multiply.server(a, q, delta, &mut corrections).unwrap();
            let client_p = multiply.client(*client_y, t, &corrections).unwrap();

            // Online: the server opens y_S − a, the client answers y_C² + 2·(its share of y_S·y_C)
            // − r.
            let opened = ring.sub(*server_y, a);
            let cross = ring.add(client_p, ring.mul(opened, *client_y));
            let answer =
                ring.sub(ring.add(ring.mul(*client_y, *client_y), ring.add(cross, cross)), *r);
            let square = ring.add(ring.mul(*server_y, *server_y), ring.add(server_p, server_p));
            assert_eq!(ring.add(square, answer), *server_x, "{repetition:?}, vector {id}");
        }
    }
}
