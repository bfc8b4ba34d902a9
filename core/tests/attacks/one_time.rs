//! One-time use of offline material.

use super::common;
use super::parties::{self, feed_server, find, frame, frames, serve};
use super::{Stripped, masked_inputs, small_net};
use minionn_core::attack::Defence;
use minionn_core::ring::Modulus;
use minionn_core::session::Options;
use minionn_core::session::engine::Status;
use minionn_core::wire::{OVERHEAD, Tag};
use minionn_core::{Error, Result};

/// Tries two inputs on one prepared prediction.
fn two_inputs(first: &[i64], second: &[i64]) -> (Result<()>, Vec<Vec<u64>>) {
    serve(&small_net(), Options::default(), |served| {
        served.parties(|p| {
            p.prepare();
            p.predict(first);
            let again = p.client.predict_quantised(second);
            if again.is_ok() {
                // The server refuses, but it has seen the masked input.
                assert_eq!(p.settle(), Err(Error::Exhausted));
            }
            (again, masked_inputs(&p.up))
        })
    })
}

#[test]
fn a_mask_used_twice_tells_the_difference_of_two_inputs() {
    let _stripped = Stripped::of(&[Defence::OneTime]);
    let (x1, x2) = (common::input(6, 1), common::input(6, 2));
    let (again, seen) = two_inputs(&x1, &x2);
    assert_eq!((again, seen.len()), (Ok(()), 2));
    let ring = Modulus::Bits(18);
    let difference: Vec<i64> =
        seen[0].iter().zip(&seen[1]).map(|(&a, &b)| ring.to_signed(ring.sub(a, b))).collect();
    println!("x1 − x2 = {difference:?}");
    assert_eq!(difference, x1.iter().zip(&x2).map(|(a, b)| a - b).collect::<Vec<_>>());
}

#[test]
fn a_prepared_prediction_is_used_once() {
    let _all = Stripped::of(&[]);
    let (x1, x2) = (common::input(6, 1), common::input(6, 2));
    let (again, seen) = two_inputs(&x1, &x2);
    assert_eq!((again, seen.len()), (Err(Error::Exhausted), 1));
}

#[test]
fn after_an_error_in_the_middle_of_a_prediction_nothing_is_left_to_use() {
    let _all = Stripped::of(&[]);
    let (x1, x2) = (common::input(6, 1), common::input(6, 2));
    let abort = |number| frame(number, Tag::Abort as u8, &11_u16.to_le_bytes());
    for aborts in [true, false] {
        let error = if aborts {
            Error::PeerAborted(11)
        } else {
            Error::Unexpected { expected: Tag::Labels as u8, got: 0x77 }
        };
        serve(&small_net(), Options { stock: 2, ..Options::default() }, |served| {
            served.parties(|p| {
                p.prepare();
                p.client.predict_quantised(&x1).unwrap();
                assert_eq!(p.client.poll(), Ok(Status::Busy));
                let mut sent = vec![0; 1000];
                assert!(p.client.drain(&mut sent) > 0);
                let answer = if aborts { abort(frames(&p.down).len()) } else { vec![0x77; 64] };
                assert_eq!(p.client.feed(&answer), answer.len());
                assert_eq!(p.client.poll(), Err(error));
                // One more was prepared: it is gone as well, and nothing that depends on an input
                // is sent any more.
                let pending = p.client.pending();
                assert!(pending <= OVERHEAD + 2, "at most an abort");
                assert_eq!(p.client.predict_quantised(&x2), Err(error));
                assert_eq!(p.client.prepare(), Err(error));
                assert_eq!(p.client.poll(), Err(error));
                assert_eq!(p.client.pending(), pending);
            });
        });
    }
}

#[test]
fn refused_inputs_cost_no_material_and_send_nothing() {
    let _all = Stripped::of(&[]);
    serve(&small_net(), Options::default(), |served| {
        served.parties(|p| {
            p.prepare();
            let sent = p.up.len();
            assert_eq!(p.client.predict_quantised(&[0; 5]), Err(Error::Length { need: 6 }));
            p.client.predict_quantised(&[101; 6]).unwrap();
            assert_eq!(p.settle(), Ok(Status::Idle));
            assert_eq!(p.client.answer(&mut [0; 2]), Err(Error::Input));
            assert_eq!((p.up.len(), p.client.remaining()), (sent, 1));
            p.predict(&[1; 6]);
            assert_eq!(p.client.remaining(), 0);
        });
    });
}

#[test]
fn a_server_refuses_a_second_input_for_one_prepared_prediction() {
    let _all = Stripped::of(&[]);
    serve(&small_net(), Options::default(), |served| {
        let up = served.parties(|p| {
            p.prepare();
            p.predict(&[7; 6]);
            p.up.clone()
        });
        // The same server again, fed by hand: the recorded bytes and the recorded input once more.
        let replay = find(&frames(&up), Tag::Input).clone();
        let end = served.server(parties::SERVER_SEED, |server| {
            let end = feed_server(server, &[&up[..], &replay[..]].concat());
            assert_eq!(server.predictions(), 1);
            end
        });
        assert_eq!(end, Err(Error::Exhausted));
        // And before anything is prepared.
        let set_up: Vec<u8> = frames(&up)
            .iter()
            .take_while(|f| f[0] != Tag::Prepare as u8)
            .flatten()
            .copied()
            .collect();
        let end = served.server(parties::SERVER_SEED, |server| {
            feed_server(server, &[&set_up[..], &replay[..]].concat())
        });
        assert_eq!(end, Err(Error::Exhausted));
    });
}
