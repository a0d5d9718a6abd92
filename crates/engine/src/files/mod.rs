// SPDX-License-Identifier: Apache-2.0
//! Files of a folder, sent by the gateway itself.
//!
//! [`FilesPlan`] is a target as the engine runs it. `open` is all that touches the file system: it
//! never leaves the root, and asks for what the kernel has in memory first, so that a thread does
//! not wait for a disk. `find` says what a path stands for, `store` remembers it for a moment,
//! `reply` judges conditions, codings and ranges, `send` moves the bytes. What is judged without
//! opening anything is in the crate `tidegate-files`.

mod find;
mod folder;
mod open;
mod plan;
mod reply;
mod send;
mod serve;
mod store;
mod tell;

pub(crate) use find::Entry;
pub(crate) use plan::FilesPlan;
pub(crate) use serve::{send_found, serve, tried};
pub(crate) use tell::{tell, tell_tried};
