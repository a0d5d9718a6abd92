// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::edit::{self, Edit};
use tidegate_contract::{Exchange, Filter, Flow, Phases};
use tidegate_request::{FieldError, FieldId, FieldSet, FieldsMut};

/// What is written into every request behind the policies, so that a change would do nothing.
const WRITTEN: FieldSet = FieldSet::of(&[
    FieldId::Forwarded,
    FieldId::XForwardedFor,
    FieldId::XForwardedHost,
    FieldId::XForwardedPort,
    FieldId::XForwardedPrefix,
    FieldId::XForwardedProto,
    FieldId::XRequestId,
    FieldId::MaxForwards,
]);

/// Removes, sets and adds fields of the request, in this order.
#[derive(Clone, Debug)]
pub struct RequestHeaders {
    edit: Edit,
}

impl RequestHeaders {
    /// The filter for these settings.
    ///
    /// # Errors
    /// A name or value that may not stand in a message, or a field that tidegate itself writes.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let Settings { remove, set, add } = settings;
        let edit = Edit { remove, set, add }.checked(edit::REFUSED.with(WRITTEN));
        Ok(Self {
            edit: edit.map_err(|error| format!("request_headers: {error}"))?,
        })
    }

    fn apply(&self, fields: &mut FieldsMut<'_>) -> Result<(), FieldError> {
        for name in &self.edit.remove {
            fields.remove(name.as_bytes())?;
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

impl Filter for RequestHeaders {
    fn phases(&self) -> Phases {
        Phases {
            request: true,
            ..Phases::default()
        }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange, _position: usize) -> Flow<'a> {
        match self.apply(&mut exchange.request.fields_mut()) {
            Ok(()) => Flow::Continue,
            Err(_) => edit::failed(),
        }
    }
}
