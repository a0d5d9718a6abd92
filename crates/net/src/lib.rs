// SPDX-License-Identifier: Apache-2.0
//! Sockets: listening descriptors, their passing between processes, connections.
