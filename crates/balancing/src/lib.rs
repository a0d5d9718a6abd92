// SPDX-License-Identifier: Apache-2.0
//! Rooms of balancing algorithms.
#![forbid(unsafe_code)]
