// SPDX-License-Identifier: Apache-2.0
//! Rooms of health checks.
#![forbid(unsafe_code)]
