// SPDX-License-Identifier: Apache-2.0
//! Between what a policy says and the canonical messages.
use tidegate_contract::Answer;
use tidegate_core::ErrorKind;
use tidegate_functions::{Change, Changes, FieldList};
use tidegate_request::{FieldId, Fields, Request, Response};

/// Why a policy gave no answer.
pub(super) type Failure = (ErrorKind, &'static str);

/// The response that a policy made.
pub(super) fn made(status: u16, given: FieldList<'_>, body: Vec<u8>) -> Answer {
    let mut fields = Fields::default();
    for (name, value) in given.iter().filter(|(name, _)| !is_protected(name)) {
        if fields.append(name, value).is_err() {
            return failed((ErrorKind::FunctionError, "a policy made a malformed field"));
        }
    }
    Answer {
        status,
        fields,
        body,
        error: None,
    }
}

/// The response for a failure: status and reason, nothing about the code.
pub(super) fn failed((kind, detail): Failure) -> Answer {
    let status = kind.status();
    let mut fields = Fields::default();
    // A constant field cannot be malformed.
    let _ = fields.append(b"Content-Type", b"text/plain; charset=utf-8");
    Answer {
        status,
        fields,
        body: format!("{status} {}\n", tidegate_http::reason(status)).into_bytes(),
        error: Some((kind, detail)),
    }
}

/// Fields that frame a response: the node's own.
pub(super) fn is_protected(name: &[u8]) -> bool {
    matches!(
        FieldId::recognise(name),
        FieldId::ContentLength
            | FieldId::TransferEncoding
            | FieldId::Connection
            | FieldId::KeepAlive
            | FieldId::Upgrade
            | FieldId::Trailer
            | FieldId::Te
            | FieldId::Via
    )
}

/// Changes a request as a policy wants it.
pub(super) fn apply(changes: Changes<'_>, request: &mut Request) -> Result<(), Failure> {
    const REFUSED: Failure = (
        ErrorKind::FunctionError,
        "a policy made a change that the gateway does not take",
    );
    for change in changes.iter() {
        let is_taken = match change {
            Change::Set(name, value) => request.fields_mut().set(name, value).is_ok(),
            Change::Append(name, value) => request.fields_mut().append(name, value).is_ok(),
            Change::Remove(name) => request.fields_mut().remove(name).is_ok(),
            Change::Path(path) => request.set_path(path).is_ok(),
            Change::Status(_) => false,
        };
        if !is_taken {
            return Err(REFUSED);
        }
    }
    Ok(())
}

/// Changes a response as a policy wants it.
pub(super) fn apply_response(changes: Changes<'_>, response: &mut Response) -> Result<(), Failure> {
    for change in changes.iter() {
        let is_taken = match change {
            Change::Set(name, _) | Change::Append(name, _) | Change::Remove(name)
                if is_protected(name) =>
            {
                false
            }
            Change::Set(name, value) => response.fields_mut().set(name, value).is_ok(),
            Change::Append(name, value) => response.fields_mut().append(name, value).is_ok(),
            Change::Remove(name) => {
                response.fields_mut().remove(name);
                true
            }
            Change::Status(status) => response.set_status(status),
            Change::Path(_) => false,
        };
        if !is_taken {
            return Err((
                ErrorKind::FunctionError,
                "a policy made a change that the gateway does not take",
            ));
        }
    }
    Ok(())
}
