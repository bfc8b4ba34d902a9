//! Who needs how much memory: measured and carved by the same code.

use super::operation::Amounts;
use super::pairing::{CLIENT_STATE_BLOCKS, SERVER_STATE_BLOCKS};
use super::prepared::{Footprint, Prepared, tile};
use super::{Options, Tables, carries, compared, extension, garbled, setup, triplets};
use crate::block::Block;
use crate::choice::OpProtocol;
use crate::compare;
use crate::error::Result;
use crate::lattice::encrypt::PUBLIC_KEY;
use crate::memory::{Space, measure, wipe};
use crate::ot::GROUP;
use crate::plan::circuit::NonlinearCost;
use crate::plan::{OfflineStep, Op, Plan};
use crate::target::TargetProfile;

/// How many of a whole stock wait for their prediction; none where they are made just before use.
fn kept(options: &Options, of_prediction: usize) -> usize {
    match options.tables {
        Tables::Stored => of_prediction.saturating_mul(options.stock as usize),
        Tables::Streamed => 0,
    }
}

/// How many wait for their prediction; where they are made just before use, those of one operation.
fn kept_or_fresh(options: &Options, of_prediction: usize, of_operation: usize) -> usize {
    match options.tables {
        Tables::Stored => of_prediction.saturating_mul(options.stock as usize),
        Tables::Streamed => of_operation,
    }
}

/// How many are made just before use, one operation at a time.
const fn fresh(options: &Options, of_operation: usize) -> usize {
    match options.tables {
        Tables::Stored => 0,
        Tables::Streamed => of_operation,
    }
}

/// A client's memory at the start: what lasts, and the rest, for set-up first, then for
/// [`ClientMemory::carve`].
pub(crate) struct ClientRegions<'a, 'r> {
    /// The leaves of the OT extension, which wipes them itself.
    pub(crate) leaves: &'a mut [Block],
    /// The pairing's state.
    pub(crate) pairing_state: &'r mut [Block],
    pub(crate) scratch: &'a mut [u8],
}

impl<'a> ClientRegions<'a, 'a> {
    pub(crate) fn take(space: &mut Space<'a>, plan: &Plan<'_>, options: &Options) -> Result<Self> {
        let leaves = space.take(options.repetition.leaves())?;
        let pairing_state = space.take(CLIENT_STATE_BLOCKS)?;
        let setup = setup::client_scratch(space.machine())?;
        let later = measure(space.machine(), |space| {
            ClientMemory::layout(space, plan, options).map(|_| ())
        })?;
        Ok(Self { leaves, pairing_state, scratch: space.take(setup.max(later))? })
    }
}

/// Bytes of either party's scratch for OTs, then for a circuit or a comparison.
pub(crate) fn workspace(
    machine: TargetProfile,
    plan: &Plan<'_>,
    options: &Options,
) -> Result<usize> {
    let (mut most, mut groups) = (0, 0);
    for op in plan.ops() {
        let mut of = |bytes: Result<usize>| bytes.map(|bytes| most = most.max(bytes));
        match OpProtocol::of(&op, options) {
            OpProtocol::Ot(activation) => {
                of(compared::scratch(machine, &activation, options))?;
            }
            OpProtocol::Circuit(_) => {
                let counts = NonlinearCost::of(&op);
                groups = groups.max(counts.groups());
                of(measure(machine, |space| {
                    garbled::EvaluateScratch::take(space, &counts).map(|_| ())
                }))?;
            }
            OpProtocol::Product => groups = groups.max(NonlinearCost::of(&op).groups()),
            OpProtocol::Local | OpProtocol::Linear | OpProtocol::Reveal => {}
        }
    }
    let extend = measure(machine, |space| {
        extension::ExtendScratch::take(space, options, groups).map(|_| ())
    })?;
    Ok(most.max(extend))
}

/// A client's scratch for one prediction.
pub(crate) struct ClientOnline<'a> {
    /// Active labels of one operation, where they are made just before use.
    pub(crate) labels: &'a mut [Block],
    /// For the run of their corrections.
    pub(crate) sums: &'a mut [Block],
    /// For OTs, then for a circuit or a comparison.
    pub(crate) workspace: &'a mut [u8],
}

impl<'a> ClientOnline<'a> {
    /// Also returns how many bytes it takes.
    pub(crate) fn carve(
        scratch: &'a mut [u8],
        plan: &Plan<'_>,
        options: &Options,
    ) -> Result<(Self, usize)> {
        let mut space = Space::carve(scratch)?;
        Ok((Self::take(&mut space, plan, options)?, space.used()))
    }

    pub(crate) fn take(space: &mut Space<'a>, plan: &Plan<'_>, options: &Options) -> Result<Self> {
        let workspace = workspace(space.machine(), plan, options)?;
        Ok(Self {
            labels: space.take(fresh(options, Amounts::most(plan, options).labels))?,
            sums: space.take(fresh(options, GROUP))?,
            workspace: space.take(workspace)?,
        })
    }
}

/// The server's online tensors, and what is left for a garbled layer.
pub(crate) struct ServerOnline<'a> {
    /// Its share of every tensor.
    pub(crate) tensors: &'a mut [u64],
    /// Zero labels of one operation, where they are made just before use.
    pub(crate) labels: &'a mut [Block],
    /// For the run of their corrections.
    pub(crate) sums: &'a mut [Block],
    /// For OTs, then for a circuit or a comparison.
    pub(crate) workspace: &'a mut [u8],
    /// Permute bits of one operation, where they are made just before use.
    pub(crate) decode: &'a mut [u64],
}

impl<'a> ServerOnline<'a> {
    /// Also returns how many bytes it takes.
    pub(crate) fn carve(
        scratch: &'a mut [u8],
        plan: &Plan<'_>,
        options: &Options,
    ) -> Result<(Self, usize)> {
        let mut space = Space::carve(scratch)?;
        Ok((Self::take(&mut space, plan, options)?, space.used()))
    }

    pub(crate) fn take(space: &mut Space<'a>, plan: &Plan<'_>, options: &Options) -> Result<Self> {
        let workspace = workspace(space.machine(), plan, options)?;
        let Amounts { labels, neurons, .. } = Amounts::most(plan, options);
        Ok(Self {
            tensors: space.take(plan.elements())?,
            labels: space.take(fresh(options, labels))?,
            sums: space.take(fresh(options, GROUP))?,
            workspace: space.take(workspace)?,
            decode: space.take(neurons)?,
        })
    }
}

/// A client's long-lived memory; wiped on drop.
pub(crate) struct ClientMemory<'a> {
    /// Active labels that wait for their prediction: `[stock][padded OTs]`, or none.
    pub(crate) labels: &'a mut [Block],
    /// The client's share of every tensor: `[stock][elements]`.
    pub(crate) shares: &'a mut [u64],
    /// Elements that are compared: `[stock][elements]`, or those of one operation.
    pub(crate) elements: &'a mut [compare::client::Element],
    /// The leaves of the OTs in which the server chooses.
    pub(crate) leaves: &'a mut [Block],
    /// What a phase carves for itself.
    pub(crate) scratch: &'a mut [u8],
}

impl<'a> ClientMemory<'a> {
    /// What the phases after set-up use.
    pub(crate) fn carve(memory: &'a mut [u8], plan: &Plan<'_>, options: &Options) -> Result<Self> {
        // What is taken is zeroed.
        let mut space = Space::carve(memory)?;
        let own = Self::layout(&mut space, plan, options)?;
        wipe(space.into_rest());
        Ok(own)
    }

    fn layout(space: &mut Space<'a>, plan: &Plan<'_>, options: &Options) -> Result<Self> {
        let (stock, sum) = (options.stock as usize, Amounts::prediction(plan, options));
        let elements = kept_or_fresh(options, sum.elements, Amounts::most(plan, options).elements);
        Ok(Self {
            labels: space.take(kept(options, sum.labels))?,
            shares: space.take(stock.saturating_mul(plan.elements()))?,
            elements: space.take(elements)?,
            leaves: space.take(compared::leaves(plan, options))?,
            scratch: space.take(Self::scratch(space.machine(), plan, options)?)?,
        })
    }

    pub(crate) fn wipe(&mut self) {
        wipe(self.labels);
        wipe(self.shares);
        wipe(self.elements);
        wipe(self.leaves);
        wipe(self.scratch);
    }

    fn scratch(machine: TargetProfile, plan: &Plan<'_>, options: &Options) -> Result<usize> {
        let online =
            measure(machine, |space| ClientOnline::take(space, plan, options).map(|_| ()))?;
        Ok(online.max(Self::offline_scratch(machine, plan, options)?))
    }

    /// Bytes of scratch that the offline phase uses.
    pub(crate) fn offline_scratch(
        machine: TargetProfile,
        plan: &Plan<'_>,
        options: &Options,
    ) -> Result<usize> {
        // Labels of base OTs and sums of a run wait beside what is at work.
        let base = measure(machine, |space| {
            space.take::<Block>(compared::base_ots(plan, options) + GROUP).map(|_| ())
        })?;
        let ots = base + workspace(machine, plan, options)?;
        Ok(ots.max(Self::linear_scratch(machine, plan, options)?))
    }

    /// Bytes of scratch for linear layers and their carries. Not inlined: the stack is deepest
    /// where [`workspace`] counts gates.
    #[inline(never)]
    fn linear_scratch(machine: TargetProfile, plan: &Plan<'_>, options: &Options) -> Result<usize> {
        let mut most = 0;
        for step in plan.offline_steps() {
            most = most.max(match step {
                OfflineStep::Local(_) => 0,
                OfflineStep::Linear(step) => {
                    triplets::client::scratch(machine, &tile(&step.op, options)?)?
                }
                OfflineStep::Carries(range) => {
                    measure(machine, |space| carries::client_scratch(space, plan, options, &range))?
                }
            });
        }
        Ok(most)
    }
}

/// A server session's memory at the start: what lasts, and the rest, for set-up first, then for
/// [`ServerMemory::carve`].
pub(crate) struct ServerRegions<'a, 'r> {
    /// The leaves of the OT extension, which wipes them itself.
    pub(crate) leaves: &'a mut [Block],
    /// The pairing's state.
    pub(crate) pairing_state: &'r mut [Block],
    /// The client's public key.
    pub(crate) key: &'a mut [i32],
    pub(crate) scratch: &'a mut [u8],
}

impl<'a> ServerRegions<'a, 'a> {
    pub(crate) fn take(
        space: &mut Space<'a>,
        plan: &Plan<'_>,
        options: &Options,
        footprint: Footprint,
    ) -> Result<Self> {
        let leaves = space.take(options.repetition.leaves())?;
        let pairing_state = space.take(SERVER_STATE_BLOCKS)?;
        let key = space.take(PUBLIC_KEY)?;
        let setup =
            measure(space.machine(), |space| setup::ServerScratch::take(space).map(|_| ()))?;
        let later = measure(space.machine(), |space| {
            ServerMemory::layout(space, plan, options, footprint).map(|_| ())
        })?;
        Ok(Self { leaves, pairing_state, key, scratch: space.take(setup.max(later))? })
    }
}

/// A server session's long-lived memory; wiped on drop.
pub(crate) struct ServerMemory<'a> {
    /// Zero labels of the client's inputs that wait for their prediction: `[stock][padded OTs]`,
    /// or none.
    pub(crate) labels: &'a mut [Block],
    /// Permute bits of outputs: `[stock][neurons]`.
    pub(crate) decode: &'a mut [u64],
    /// Masks `u` of linear layers: `[stock][outputs]`.
    pub(crate) masks: &'a mut [u64],
    /// Random factor and product share of products: `[stock][products]`, or those of one
    /// operation.
    pub(crate) products: &'a mut [[u64; 2]],
    /// Elements that are compared: `[stock][elements]`, or those of one operation.
    pub(crate) elements: &'a mut [compare::server::Element],
    /// The leaves of the OTs in which the server chooses.
    pub(crate) leaves: &'a mut [Block],
    /// What a phase carves for itself.
    pub(crate) scratch: &'a mut [u8],
}

impl<'a> ServerMemory<'a> {
    /// What the phases after set-up use.
    pub(crate) fn carve(
        memory: &'a mut [u8],
        plan: &Plan<'_>,
        options: &Options,
        footprint: Footprint,
    ) -> Result<Self> {
        // What is taken is zeroed.
        let mut space = Space::carve(memory)?;
        let own = Self::layout(&mut space, plan, options, footprint)?;
        wipe(space.into_rest());
        Ok(own)
    }

    fn layout(
        space: &mut Space<'a>,
        plan: &Plan<'_>,
        options: &Options,
        footprint: Footprint,
    ) -> Result<Self> {
        let linear = plan.ops().filter(Op::is_linear).map(|op| op.output().1 as usize);
        let masks = linear.fold(0, usize::saturating_add).saturating_mul(options.stock as usize);
        let (sum, most) = (Amounts::prediction(plan, options), Amounts::most(plan, options));
        Ok(Self {
            labels: space.take(kept(options, sum.labels))?,
            decode: space.take(kept(options, sum.neurons))?,
            masks: space.take(masks)?,
            products: space.take(kept_or_fresh(options, sum.products, most.products))?,
            elements: space.take(kept_or_fresh(options, sum.elements, most.elements))?,
            leaves: space.take(compared::leaves(plan, options))?,
            scratch: space.take(Self::scratch(space.machine(), plan, options, footprint)?)?,
        })
    }

    pub(crate) fn wipe(&mut self) {
        wipe(self.labels);
        wipe(self.decode);
        wipe(self.masks);
        wipe(self.products);
        wipe(self.elements);
        wipe(self.leaves);
        wipe(self.scratch);
    }

    fn scratch(
        machine: TargetProfile,
        plan: &Plan<'_>,
        options: &Options,
        footprint: Footprint,
    ) -> Result<usize> {
        let online =
            measure(machine, |space| ServerOnline::take(space, plan, options).map(|_| ()))?;
        Ok(online.max(Self::offline_scratch(machine, plan, options, footprint)?))
    }

    /// Bytes of scratch that the offline phase uses.
    pub(crate) fn offline_scratch(
        machine: TargetProfile,
        plan: &Plan<'_>,
        options: &Options,
        footprint: Footprint,
    ) -> Result<usize> {
        // Messages of base OTs and sums of a run wait beside what is at work.
        let base = measure(machine, |space| {
            space.take::<Block>(2 * compared::base_ots(plan, options) + GROUP).map(|_| ())
        })?;
        let mut most = base + workspace(machine, plan, options)?;
        for step in plan.offline_steps() {
            most = most.max(match step {
                OfflineStep::Local(_) => 0,
                OfflineStep::Linear(step) => {
                    let tile = tile(&step.op, options)?;
                    measure(machine, |space| {
                        triplets::server::ServerScratch::take(space, &tile, footprint).map(|_| ())
                    })?
                }
                OfflineStep::Carries(range) => {
                    measure(machine, |space| carries::server_scratch(space, plan, options, &range))?
                }
            });
        }
        Ok(most)
    }
}

impl Drop for ClientMemory<'_> {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl Drop for ServerMemory<'_> {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Bytes that [`super::Client`] carves, without table store and I/O buffers.
///
/// # Errors
/// [`crate::Error::Option`] for options out of range, [`crate::Error::Memory`] if the size does not
/// fit the address space.
pub fn client_memory(plan: &Plan<'_>, options: &Options) -> Result<usize> {
    client_memory_on(TargetProfile::THIS, plan, options)
}

/// As [`client_memory`], on another machine.
///
/// # Errors
/// As [`client_memory`].
pub fn client_memory_on(
    machine: TargetProfile,
    plan: &Plan<'_>,
    options: &Options,
) -> Result<usize> {
    options.check()?;
    measure(machine, |space| ClientRegions::take(space, plan, options).map(|_| ()))
}

/// Bytes that [`super::Server`] carves for one session, without I/O buffers. [`Footprint::Small`]:
/// [`small_server_memory`].
///
/// # Errors
/// As [`client_memory`].
pub fn server_memory(plan: &Plan<'_>, options: &Options) -> Result<usize> {
    session_memory_on(TargetProfile::THIS, plan, options, Footprint::Fast)
}

/// As [`server_memory`], of a server whose model is [`Prepared::small`].
///
/// # Errors
/// As [`client_memory`].
pub fn small_server_memory(plan: &Plan<'_>, options: &Options) -> Result<usize> {
    small_server_memory_on(TargetProfile::THIS, plan, options)
}

/// As [`small_server_memory`], on another machine.
///
/// # Errors
/// As [`client_memory`].
pub fn small_server_memory_on(
    machine: TargetProfile,
    plan: &Plan<'_>,
    options: &Options,
) -> Result<usize> {
    session_memory_on(machine, plan, options, Footprint::Small)
}

pub(crate) fn session_memory_on(
    machine: TargetProfile,
    plan: &Plan<'_>,
    options: &Options,
    footprint: Footprint,
) -> Result<usize> {
    options.check()?;
    measure(machine, |space| ServerRegions::take(space, plan, options, footprint).map(|_| ()))
}

/// Bytes that a [`Prepared`] model carves, once for all sessions with this stock.
///
/// # Errors
/// As [`client_memory`].
pub fn prepared_memory(plan: &Plan<'_>, stock: u32) -> Result<usize> {
    measure(TargetProfile::THIS, |space| Prepared::take(space, plan, stock).map(|_| ()))
}
