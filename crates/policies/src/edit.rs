// SPDX-License-Identifier: Apache-2.0
use tidegate_config::Text;
use tidegate_contract::{Answer, Flow};
use tidegate_core::ErrorKind;
use tidegate_request::{CONNECTION_FIELDS, FieldId, FieldSet, PROTECTED, recognise_folded, syntax};

/// Fields that no policy of this area may touch: what frames and routes a message, what concerns
/// one connection, and `Via`, without which a loop goes unseen.
pub(crate) const REFUSED: FieldSet = PROTECTED
    .with(CONNECTION_FIELDS)
    .with(FieldSet::of(&[FieldId::Via]));

/// Changes to a header section: fields to remove, to set and to add, in this order.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    pub(crate) remove: Vec<String>,
    pub(crate) set: Vec<(String, Text)>,
    pub(crate) add: Vec<(String, Text)>,
}

impl Edit {
    /// Checks every name and value, so that nothing is left to fail on a request but its size.
    ///
    /// # Errors
    /// A name that is no token, or is one of `refused`, also in a spelling that CGI takes for it;
    /// a value with control characters.
    pub(crate) fn checked(self, refused: FieldSet) -> Result<Self, String> {
        let changed = self.set.iter().chain(&self.add);
        for name in self
            .remove
            .iter()
            .chain(changed.clone().map(|(name, _)| name))
        {
            if !syntax::is_token(name.as_bytes()) {
                return Err(format!(
                    "`{}` is no field name; write letters, digits and `-`",
                    name.escape_debug()
                ));
            }
            if refused.has(recognise_folded(name.as_bytes())) {
                return Err(format!(
                    "`{name}` is written by tidegate itself; leave it out"
                ));
            }
        }
        for (name, value) in changed {
            if !syntax::is_field_value(value.reveal().as_bytes()) {
                return Err(format!(
                    "the value of `{name}` holds a control character; write it in one line"
                ));
            }
        }
        Ok(self)
    }
}

/// What happens when a message has no room for the fields of a policy: to go on without them
/// would be to leave the policy out.
pub(crate) fn failed<'a>() -> Flow<'a> {
    Flow::Respond(Box::new(Answer::failure(
        ErrorKind::ProxyInternalError,
        "the fields of a policy have no room",
    )))
}
