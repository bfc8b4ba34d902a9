//! Costs as text.

use super::plan::{RUNS, Shown};
use crate::costs::{Costs, LayerCosts, LinkCosts, PhaseCosts};
use crate::units::{bytes, seconds};

/// All figures for people.
pub(super) fn text(shown: &Shown) -> String {
    let costs = &shown.costs;
    let mut lines = vec![
        format!(
            "{} (stock {}, tables {}, OT k = {})\n",
            costs.name, costs.stock, costs.tables, costs.ot
        ),
        heading(shown.measured.is_some()),
    ];
    lines.extend(costs.layers.iter().map(layer));
    lines.push(String::new());
    lines.extend(phases(costs));
    lines.push(one_prediction(costs));
    if let Some(measured) = &shown.measured {
        lines.push(format!(
            "{:<28} {:>10} measured over loopback: the fastest of {RUNS}, set-up left out",
            "time of one prediction",
            seconds(measured.seconds_each)
        ));
    }
    lines.extend(shown.link.iter().flat_map(on_link));
    lines.extend(memory(costs));
    lines.join("\n") + "\n"
}

/// Columns of the table of layers.
fn row(cells: &[String; 14]) -> String {
    let [layer, shape, ring, tile, limbs, up, down, and, ot, rounds, a, b, c, d] = cells;
    format!(
        "{layer:<17} {shape:>12} {ring:>7} {tile:>13} {limbs:>5} {up:>7} {down:>7} {and:>8} \
         {ot:>7} {rounds:>6} {a:>10} {b:>10} {c:>10} {d:>10}"
    )
}

fn heading(measured: bool) -> String {
    let names = [
        "layer",
        "shape",
        "ring",
        "tile b·o·c",
        "limbs",
        "ct up",
        "ct down",
        "AND",
        "OT",
        "rounds",
        "off. up",
        "off. down",
        "on. up",
        "on. down",
    ];
    row(&names.map(String::from)) + if measured { "    seconds" } else { "" }
}

fn layer(l: &LayerCosts) -> String {
    let ring = if l.ring == l.ring_out {
        l.ring.to_string()
    } else {
        format!("{}→{}", l.ring, l.ring_out)
    };
    let [tile, limbs, up, down] = match &l.packing {
        None => ["-"; 4].map(String::from),
        Some(p) => [
            p.tile.map(|n| n.to_string()).join("·"),
            p.limbs.to_string(),
            p.ciphertexts_up.to_string(),
            p.ciphertexts_down.to_string(),
        ],
    };
    let cells = [
        l.kind.clone(),
        format!("{}→{}", l.inputs, l.outputs),
        ring,
        tile,
        limbs,
        up,
        down,
        if l.activation == "ot" { "by OT".to_owned() } else { l.and_gates.to_string() },
        l.ots.to_string(),
        (l.offline.rounds + l.online.rounds).to_string(),
        bytes(l.offline.bytes_up),
        bytes(l.offline.bytes_down),
        bytes(l.online.bytes_up),
        bytes(l.online.bytes_down),
    ];
    row(&cells) + &l.seconds.map_or_else(String::new, |s| format!(" {:>10}", seconds(s)))
}

fn phases(costs: &Costs) -> impl Iterator<Item = String> {
    let phases: [(&str, PhaseCosts); 4] = [
        ("set-up, once per connection", costs.setup),
        ("  or going on with a pairing", costs.resume),
        ("offline, per stock", costs.offline),
        ("online, per prediction", costs.online),
    ];
    phases.into_iter().map(|(name, p)| {
        format!(
            "{name:<28} {:>10} up {:>10} down {:>10} in all {:>3} rounds",
            bytes(p.bytes_up),
            bytes(p.bytes_down),
            bytes(p.bytes()),
            p.rounds
        )
    })
}

fn one_prediction(costs: &Costs) -> String {
    let stock = u64::from(costs.stock);
    let up = costs.offline.bytes_up / stock + costs.online.bytes_up;
    let down = costs.offline.bytes_down / stock + costs.online.bytes_down;
    let name = if stock == 1 {
        "one prediction, all of it".to_owned()
    } else {
        format!("one prediction of {stock}, all")
    };
    format!(
        "{name:<28} {:>10} up {:>10} down {:>10} in all",
        bytes(up),
        bytes(down),
        bytes(up + down)
    )
}

fn on_link(link: &LinkCosts) -> impl Iterator<Item = String> {
    let ways = [("circuits", link.gc), ("comparison", link.ot), ("auto", link.auto)];
    let name = link.name.clone();
    ways.into_iter().map(move |(label, way)| {
        format!(
            "{:<28} {:>10} offline ({}, {} rounds), {} online ({}, {} rounds), {} layers by OT",
            format!("on {name} by {label}"),
            seconds(way.offline_seconds),
            bytes(way.offline_bytes),
            way.offline_rounds,
            seconds(way.online_seconds),
            bytes(way.online_bytes),
            way.online_rounds,
            way.layers_by_ot
        )
    })
}

fn memory(costs: &Costs) -> [String; 2] {
    let m = &costs.memory;
    let b = |n: usize| bytes(n as u64);
    [
        format!(
            "\nmemory   client {} and {} for stored tables; server {} per session, {} for the \
             weights, once",
            b(m.client_session),
            bytes(m.client_store),
            b(m.server_session),
            b(m.server_weights)
        ),
        format!(
            "         as sans-IO engines with their default buffers: client {} (tables included), \
             server {}",
            b(m.client_engine),
            b(m.server_engine)
        ),
    ]
}
