// SPDX-License-Identifier: Apache-2.0
//! The endpoint's side of the request path.
//!
//! [`forward`] tries endpoints until one begins a response, then hands it to the client. An
//! exchange of its own kind, a switched protocol, ends in [`switch`].

mod announce;
mod arrival;
mod attempt;
mod bind;
mod carrier;
mod content;
mod deliver;
mod dial;
mod download;
mod forward;
mod giving;
mod http2;
mod load;
mod messages;
mod mirror;
mod open;
mod orca;
mod race;
mod relay;
mod request;
mod switch;
mod tries;
mod tunnel;
mod wait;

pub(crate) use announce::announce;
pub(crate) use attempt::head_limits_of;
pub(crate) use carrier::Carrier;
pub(crate) use deliver::not_taken;
pub(crate) use dial::dial;
pub(crate) use forward::{MAX_CONNECTS, Outcome, forward};
pub(crate) use http2::{Answered, Links, ask_once, is_http2};
pub(crate) use mirror::{MirrorCopy, MirrorPlan};
pub(crate) use open::Place;
pub(crate) use race::Race;
pub(crate) use relay::{Pipe, Relay, Relayed};
pub(crate) use request::{frame, framed};
pub(crate) use tunnel::{End, Terms, Tunnel};
pub(crate) use wait::{Lost, Pending, Wait};
