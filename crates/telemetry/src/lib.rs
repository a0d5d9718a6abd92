// SPDX-License-Identifier: Apache-2.0
//! Metrics and the access log.
#![forbid(unsafe_code)]
