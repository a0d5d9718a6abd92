// SPDX-License-Identifier: Apache-2.0
//! Which route takes a request.
#![forbid(unsafe_code)]
