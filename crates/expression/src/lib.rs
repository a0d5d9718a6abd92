// SPDX-License-Identifier: Apache-2.0
//! Expressions in CEL, the Common Expression Language: what conditions of policies are written in.
//!
//! An expression is checked whole when the configuration is read: its words, its types and its patterns, each mistake
//! with its place. What is left to fail on a request is a key that is not there, arithmetic, and text that is no number
//! or address. Evaluation borrows from the request, loops over nothing but lists that are there, and ends after
//! [`MOST_STEPS`].
//!
//! Start with [`Expression`]. `lexer.rs` and `parser.rs` read, `check.rs` and `calls.rs` resolve and type, `evaluate.rs` computes;
//! `functions.rs` is the table of functions, whose rooms are `texts.rs`, `times.rs`, `addresses.rs` and
//! `conversions.rs`.
#![forbid(unsafe_code)]

mod addresses;
mod arithmetic;
mod calls;
mod check;
mod code;
mod conversions;
mod evaluate;
mod expression;
mod functions;
mod lexer;
mod literals;
mod operators;
mod parser;
mod suggest;
mod texts;
mod time;
mod times;
mod types;
mod value;
mod words;

pub use evaluate::{Fault, MOST_STEPS, Why};
pub use expression::{Environment, Expression, Mistake, Variables};
pub use time::{Duration, Timestamp};
pub use types::Type;
pub use value::{Fields, Map, Value};
