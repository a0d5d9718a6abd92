// SPDX-License-Identifier: Apache-2.0
use super::{FieldError, FieldId, Fields, PROTECTED, recognise_folded};
use std::ops::Deref;

/// The fields of a message for a filter to change: all but those that decide framing, routing and
/// the connection (`Host`, `Content-Length`, `Transfer-Encoding`, `Connection`, ...).
#[derive(Debug)]
pub struct FieldsMut<'a> {
    fields: &'a mut Fields,
}

impl<'a> FieldsMut<'a> {
    pub(crate) fn new(fields: &'a mut Fields) -> Self {
        Self { fields }
    }

    /// Adds a field at the end.
    ///
    /// # Errors
    /// [`FieldError::Protected`], and those of [`Fields::append`].
    pub fn append(&mut self, name: &[u8], value: &[u8]) -> Result<(), FieldError> {
        refuse_protected(name)?;
        self.fields.append(name, value)
    }

    /// Replaces all fields `name` by one; see [`Fields::set`].
    ///
    /// # Errors
    /// [`FieldError::Protected`], and those of [`Fields::append`].
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), FieldError> {
        refuse_protected(name)?;
        self.fields.set(name, value)
    }

    /// Removes all fields `name` and its aliases; returns whether there were any.
    ///
    /// # Errors
    /// [`FieldError::Protected`].
    pub fn remove(&mut self, name: &[u8]) -> Result<bool, FieldError> {
        refuse_protected(name)?;
        Ok(self.fields.remove(name))
    }

    /// Removes all fields `id`; returns whether there were any.
    ///
    /// # Errors
    /// [`FieldError::Protected`].
    pub fn remove_id(&mut self, id: FieldId) -> Result<bool, FieldError> {
        if PROTECTED.has(id) {
            return Err(FieldError::Protected);
        }
        Ok(self.fields.remove_id(id))
    }

    /// Removes every field that is not protected.
    pub fn clear(&mut self) {
        self.fields.retain(|entry, _| PROTECTED.has(entry.id));
    }
}

impl Deref for FieldsMut<'_> {
    type Target = Fields;

    /// The fields as they stand.
    fn deref(&self) -> &Fields {
        self.fields
    }
}

/// Refuses the names that are not for filters, read as CGI would.
fn refuse_protected(name: &[u8]) -> Result<(), FieldError> {
    if PROTECTED.has(recognise_folded(name)) {
        Err(FieldError::Protected)
    } else {
        Ok(())
    }
}
