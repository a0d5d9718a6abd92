// SPDX-License-Identifier: Apache-2.0
//! HTTP/1.1 framing and header rules over byte slices; no I/O.
#![forbid(unsafe_code)]
