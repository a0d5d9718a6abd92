// SPDX-License-Identifier: Apache-2.0
use crate::Fields;

/// The memory of one message, passed from message to message so that a warm connection thread
/// allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    pub(crate) fields: Fields,
}

impl Storage {
    /// No memory yet.
    pub const fn new() -> Self {
        Self {
            fields: Fields::new(),
        }
    }

    /// The fields of the message to be built. What they held before is of no account.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// The fields collected so far.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Bytes of memory held: for the connection's budget, and to drop what grew too large.
    pub fn memory(&self) -> usize {
        self.fields.memory()
    }
}
