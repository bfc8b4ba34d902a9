//! A session's predictions and what they took, as the command prints them.

use crate::client::Phases;
use crate::error::Result;
use crate::{Client, Prediction};
use serde::Serialize;

/// What a client got, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// One for each row.
    pub predictions: Vec<Prediction>,
    /// What the session has taken.
    #[serde(flatten)]
    pub phases: Phases,
}

impl Report {
    /// Predicts every row and ends the session; `progress` is told after each.
    ///
    /// # Errors
    /// Those of [`Client::predict`].
    pub fn make<'r>(
        mut client: Client,
        rows: impl IntoIterator<Item = &'r [f32]>,
        mut progress: impl FnMut(),
    ) -> Result<Self> {
        let mut predictions = Vec::new();
        client.predict_each(rows, |prediction| {
            predictions.push(prediction);
            progress();
        })?;
        let phases = *client.phases();
        client.close()?;
        Ok(Self { predictions, phases })
    }
}
