// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::edit::{self, Edit};
use tidegate_contract::{Exchange, Filter, Flow, Phases};
use tidegate_request::{FieldError, Fields, Response};

/// Removes, sets and adds fields of the response, in this order.
#[derive(Clone, Debug)]
pub struct ResponseHeaders {
    edit: Edit,
}

impl ResponseHeaders {
    /// The filter for these settings.
    ///
    /// # Errors
    /// A name or value that may not stand in a message, or a field that tidegate itself writes.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let Settings { remove, set, add } = settings;
        // A response without Date gets one behind the policies (RFC 9110 §6.6.1).
        if remove.iter().any(|name| name.eq_ignore_ascii_case("date")) {
            return Err("response_headers: `date` cannot be removed, it would be written again; leave it out".into());
        }
        let edit = Edit { remove, set, add }.checked(edit::REFUSED);
        Ok(Self {
            edit: edit.map_err(|error| format!("response_headers: {error}"))?,
        })
    }

    fn apply(&self, fields: &mut Fields) -> Result<(), FieldError> {
        for name in &self.edit.remove {
            fields.remove(name.as_bytes());
        }
        for (name, value) in &self.edit.set {
            fields.set(name.as_bytes(), value.reveal().as_bytes())?;
        }
        for (name, value) in &self.edit.add {
            fields.append(name.as_bytes(), value.reveal().as_bytes())?;
        }
        Ok(())
    }
}

impl Filter for ResponseHeaders {
    fn phases(&self) -> Phases {
        Phases {
            response: true,
            ..Phases::default()
        }
    }

    fn response<'a>(
        &'a self,
        _exchange: &'a mut Exchange,
        response: &'a mut Response,
        _position: usize,
    ) -> Flow<'a> {
        match self.apply(response.fields_mut()) {
            Ok(()) => Flow::Continue,
            Err(_) => edit::failed(),
        }
    }
}
