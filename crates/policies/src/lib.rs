// SPDX-License-Identifier: Apache-2.0
//! Rooms of policies.
#![forbid(unsafe_code)]
