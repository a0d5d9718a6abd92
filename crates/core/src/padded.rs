// SPDX-License-Identifier: Apache-2.0
use std::ops::Deref;

/// A value alone on its cache lines, so that threads writing neighbours do not slow each other.
///
/// 128 bytes: x86 fetches lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Padded<T>(pub T);

impl<T> Deref for Padded<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}
