// SPDX-License-Identifier: Apache-2.0
//! The request path, assembled.
#![forbid(unsafe_code)]
