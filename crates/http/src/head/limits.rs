// SPDX-License-Identifier: Apache-2.0

/// What a head may hold. All limits are inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, from the start line to the empty line.
    pub header_size: usize,
    /// Fields in the header section; in a trailer section as well.
    pub header_fields: usize,
    /// Bytes of a request's target. Of no account for responses.
    pub target_size: usize,
}
