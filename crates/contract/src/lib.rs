// SPDX-License-Identifier: Apache-2.0
//! The traits a room implements: what policies, balancers and checks are to the engine.
#![forbid(unsafe_code)]
