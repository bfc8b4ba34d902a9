//! What offline phases leave for predictions, cut into what each operation uses up.

use super::operation::{Amounts, OpContext};
use super::{Options, Tables};
use crate::block::Block;
use crate::compare::{client, server};
use crate::error::{Error, Result};

/// Material of one kind: an operation's follows that of the one before, or is made just before use
/// and takes the same place each time.
pub(crate) struct OpSlices<'m, T> {
    all: &'m mut [T],
    next: usize,
    again: bool,
}

impl<'m, T> OpSlices<'m, T> {
    /// A whole stock's, one prediction after the other.
    pub(crate) const fn stock(all: &'m mut [T]) -> Self {
        Self { all, next: 0, again: false }
    }

    /// One prediction's. `all`: the stock's, in which each has `each`, or the place of one
    /// operation's.
    pub(crate) fn prediction(
        all: &'m mut [T],
        options: &Options,
        index: usize,
        each: usize,
    ) -> Result<Self> {
        match options.tables {
            Tables::Stored => {
                let own = all.get_mut(index * each..(index + 1) * each).ok_or(Error::Internal)?;
                Ok(Self::stock(own))
            }
            Tables::Streamed => Ok(Self { all, next: 0, again: true }),
        }
    }

    /// All operations', whether taken or not.
    pub(crate) fn all(self) -> &'m mut [T] {
        self.all
    }

    /// The next operation's.
    pub(crate) fn take(&mut self, len: usize) -> Result<&mut [T]> {
        let from = self.next;
        let own = self.all.get_mut(from..).and_then(|rest| rest.get_mut(..len));
        if !self.again {
            self.next += len;
        }
        own.ok_or(Error::Internal)
    }
}

/// The client's.
pub(crate) struct ClientMaterial<'m> {
    /// Active labels.
    pub(crate) labels: OpSlices<'m, Block>,
    pub(crate) elements: OpSlices<'m, client::Element>,
}

/// One operation's of it.
pub(crate) struct ClientOpMaterial<'m> {
    pub(crate) labels: &'m mut [Block],
    pub(crate) elements: &'m mut [client::Element],
}

impl<'m> ClientMaterial<'m> {
    /// A whole stock's.
    pub(crate) const fn stock(
        labels: &'m mut [Block],
        elements: &'m mut [client::Element],
    ) -> Self {
        Self { labels: OpSlices::stock(labels), elements: OpSlices::stock(elements) }
    }

    /// The next operation's.
    pub(crate) fn take(&mut self, op: &OpContext<'_>) -> Result<ClientOpMaterial<'_>> {
        let Amounts { labels, elements, .. } = op.amounts();
        Ok(ClientOpMaterial {
            labels: self.labels.take(labels)?,
            elements: self.elements.take(elements)?,
        })
    }
}

/// The server's.
pub(crate) struct ServerMaterial<'m> {
    /// Zero labels of the client's inputs.
    pub(crate) labels: OpSlices<'m, Block>,
    /// Permute bits of outputs.
    pub(crate) decode: OpSlices<'m, u64>,
    /// Random factor and product share of products.
    pub(crate) products: OpSlices<'m, [u64; 2]>,
    pub(crate) elements: OpSlices<'m, server::Element>,
}

/// One operation's of it.
pub(crate) struct ServerOpMaterial<'m> {
    pub(crate) labels: &'m mut [Block],
    pub(crate) decode: &'m mut [u64],
    pub(crate) products: &'m mut [[u64; 2]],
    pub(crate) elements: &'m mut [server::Element],
}

impl<'m> ServerMaterial<'m> {
    /// A whole stock's.
    pub(crate) const fn stock(
        labels: &'m mut [Block],
        decode: &'m mut [u64],
        products: &'m mut [[u64; 2]],
        elements: &'m mut [server::Element],
    ) -> Self {
        Self {
            labels: OpSlices::stock(labels),
            decode: OpSlices::stock(decode),
            products: OpSlices::stock(products),
            elements: OpSlices::stock(elements),
        }
    }

    /// The next operation's.
    pub(crate) fn take(&mut self, op: &OpContext<'_>) -> Result<ServerOpMaterial<'_>> {
        let amounts = op.amounts();
        Ok(ServerOpMaterial {
            labels: self.labels.take(amounts.labels)?,
            decode: self.decode.take(amounts.neurons)?,
            products: self.products.take(amounts.products)?,
            elements: self.elements.take(amounts.elements)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_gets_its_own_or_an_error() {
        let mut all = [0, 1, 2, 3, 4, 5];
        let stored = Options { stock: 2, tables: Tables::Stored, ..Options::default() };
        let mut second = OpSlices::prediction(&mut all, &stored, 1, 3).unwrap();
        assert_eq!(second.take(2), Ok(&mut [3, 4][..]));
        assert_eq!(second.take(2), Err(Error::Internal), "the next one's are not there");
        assert!(OpSlices::prediction(&mut all, &stored, 2, 3).is_err());
        let mut stock = OpSlices::stock(&mut all);
        assert_eq!((stock.take(6).map(|own| own.len()), stock.take(0)), (Ok(6), Ok(&mut [][..])));
        assert_eq!(stock.take(1), Err(Error::Internal));
    }

    #[test]
    fn what_is_made_before_use_takes_the_same_place() {
        let mut all = [0, 1, 2];
        let streamed = Options { tables: Tables::Streamed, ..Options::default() };
        let mut slices = OpSlices::prediction(&mut all, &streamed, 7, 100).unwrap();
        for len in [3, 1, 3] {
            assert_eq!(slices.take(len).map(|own| own.to_vec()), Ok((0..len as u8).collect()));
        }
        assert_eq!(slices.take(4), Err(Error::Internal));
    }
}
