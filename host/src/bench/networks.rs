//! The networks of the paper, single and stocked, over loopback and emulated links, and as
//! published beside them.

use super::compare;
use super::lstm;
use super::own::{self, Measured};
use super::paper;
use crate::costs::tables_name;
use crate::link_model::LinkModel;
use crate::model::Model;
use crate::repository::model_file;
use crate::threads::Threads;
use crate::units::bytes;
use core::fmt;
use minionn_core::rng::Seed;
use minionn_core::session::{Options, Tables};
use serde::Serialize;

/// A network of the paper; see models/README.md.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// The figure that shows it.
    pub name: &'static str,
    source: Source,
    /// How its tables travel when it is measured: the largest does not fit a small client.
    pub tables: Tables,
}

/// Where it comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// Compiled, in `models/`.
    File(&'static str),
    /// Made and compiled here.
    Lstm(lstm::Size),
}

use Source::{File, Lstm};
use Tables::{Stored, Streamed};

/// Figures 10 to 14.
pub const NETWORKS: [Network; 5] = [
    Network { name: "fig10", source: File("fig10_square.minionn"), tables: Stored },
    Network { name: "fig11", source: File("fig11_conv_square.minionn"), tables: Stored },
    Network { name: "fig12", source: File("fig12_conv_relu.minionn"), tables: Stored },
    Network { name: "fig13", source: File("fig13_cifar.minionn"), tables: Streamed },
    Network { name: "fig14", source: Lstm(lstm::Size::PAPER), tables: Streamed },
];

impl Network {
    /// The compiled network.
    ///
    /// # Errors
    /// If the file is not there, or the network does not compile.
    pub fn model(&self) -> anyhow::Result<Model> {
        match self.source {
            File(name) => Ok(Model::from_bytes(model_file(name)?)?),
            Lstm(size) => size.model(),
        }
    }
}

/// The network of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Network> {
    NETWORKS.iter().find(|network| network.name == name)
}

/// One network over one link.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The figure.
    pub network: &'static str,
    /// `stored` or `streamed`.
    pub tables: &'static str,
    /// What was measured.
    pub measured: Measured,
    /// How many times faster than the method as published, and how many times fewer bytes; over
    /// loopback, single, if the published method's profile knows the network.
    pub against_paper: Option<[f64; 2]>,
}

/// The options of a session over a link, or over loopback.
pub type SessionOn<'s> = &'s dyn Fn(Option<&LinkModel>) -> anyhow::Result<Options>;

/// What to measure.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    /// The options of all sessions, but for how tables travel; a stock is for the rows that have
    /// one.
    pub session: SessionOn<'r>,
    /// Beside loopback.
    pub links: &'r [LinkModel],
    /// Runs of each.
    pub runs: u32,
    /// Whether the method as published runs, too.
    pub paper: bool,
}

/// Measures; `progress` is told each row.
///
/// # Errors
/// As [`own::measure`].
pub fn measure(
    request: Request<'_>,
    seed: &Seed,
    mut progress: impl FnMut(&Row),
) -> anyhow::Result<Vec<Row>> {
    let links: Vec<Option<&LinkModel>> =
        core::iter::once(None).chain(request.links.iter().map(Some)).collect();
    let most = (request.session)(None)?.stock;
    let stocks: &[u32] = if most == 1 { &[1] } else { &[1, most] };
    let mut rows = vec![];
    for network in &NETWORKS {
        let model = network.model()?;
        for &stock in stocks {
            let inputs = own::inputs(&model, None, stock as usize, &seed.derive(0))?;
            for &link in &links {
                let options = Options { tables: network.tables, stock, ..(request.session)(link)? };
                let single = link.is_none() && stock == 1;
                let published = request.paper && single && paper::knows(model.plan().core());
                let (measured, against_paper) = if published {
                    let seed = seed.derive(1);
                    let both = compare::compare(&model, options, request.runs, &inputs, &seed)?;
                    (both.own, Some([both.speed_up, both.fewer_bytes]))
                } else {
                    let (threads, runs) = (Threads::default(), request.runs);
                    (own::measure(&model, options, link, &threads, runs, &inputs)?, None)
                };
                let tables = tables_name(options.tables);
                let row = Row { network: network.name, tables, measured, against_paper };
                progress(&row);
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.measured;
        write!(f, "{:<8}{:>6}  {:<14}", self.network, m.stock, m.link_name())?;
        let offline = m.offline.seconds / f64::from(m.stock);
        write!(
            f,
            "{:>9.4}{offline:>10.4}{:>10.4}{:>10.4}",
            m.setup.seconds,
            m.online.seconds,
            m.seconds()
        )?;
        match m.arithmetic {
            Some(a) => write!(f, "{:>10.4}", a.offline / f64::from(m.stock) + a.online)?,
            None => write!(f, "{:>10}", "-")?,
        }
        write!(f, "{:>11}{:>4}+{:<3}", bytes(m.bytes()), m.offline.rounds, m.online.rounds)?;
        match self.against_paper {
            Some([faster, fewer]) => write!(f, "{faster:>8.1}{fewer:>8.1}"),
            None => Ok(()),
        }
    }
}

/// The heading above rows.
pub const HEADING: &str = concat!(
    "                                                each prediction, seconds               bytes",
    "  rounds   faster   fewer\n",
    "network  stock  link             set-up   offline    online      both line only       both",
    "  off+on  than published\n",
);
