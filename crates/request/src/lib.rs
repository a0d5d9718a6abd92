// SPDX-License-Identifier: Apache-2.0
//! The one canonical request, and the response that answers it.
#![forbid(unsafe_code)]
