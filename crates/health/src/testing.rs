// SPDX-License-Identifier: Apache-2.0
//! What the rooms' tests share.
use crate::build;
use serde_json::value::RawValue;
use std::sync::Arc;
use tidegate_config::Room;
use tidegate_contract::Check;

/// Builds the check of a room from JSON.
pub(crate) fn check(kind: &str, settings: &str) -> Result<Arc<dyn Check>, String> {
    build(&Room {
        kind: kind.into(),
        settings: RawValue::from_string(settings.into()).unwrap(),
    })
}

/// What is wrong with the settings of a room.
#[track_caller]
pub(crate) fn refused(kind: &str, settings: &str) -> String {
    check(kind, settings).err().unwrap()
}
