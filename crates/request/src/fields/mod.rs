// SPDX-License-Identifier: Apache-2.0
//! Header and trailer fields: one arena of bytes, one list of offsets into it.

mod edit;
mod field_id;
mod load;
mod names;
mod section;
#[cfg(test)]
mod tests;

pub use edit::FieldsMut;
pub use field_id::{FieldId, FieldSet};
pub use load::SectionError;
pub(crate) use names::has_untrusted_prefix;
pub use names::{
    CONNECTION_FIELDS, NOT_IN_TRAILERS, PROTECTED, UNTRUSTED, folds_to, may_trail, recognise_folded,
};
pub(crate) use section::{Entry, Span};
pub use section::{FieldError, FieldRef, Fields};
