// SPDX-License-Identifier: Apache-2.0
//! What clients see in the place of an error, and while something is in maintenance.
//!
//! Everything is in the snapshot, so that a page can not fail: [`ErrorPages`] are looked up by status,
//! nearest scope first, and [`Maintenance`] by client.

mod answer;
mod maintenance;
mod page;
mod tell;

pub(crate) use answer::{intercept, is_any, page_for};
pub(crate) use maintenance::{Maintenance, answer as maintenance_answer};
pub(crate) use page::ErrorPages;
pub(crate) use tell::tell;
