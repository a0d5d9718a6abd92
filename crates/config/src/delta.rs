// SPDX-License-Identifier: Apache-2.0
use crate::{Endpoint, SecretSet};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The version of the snapshot's form. A snapshot on disk with another one is refused, never misread.
pub const SCHEMA: u32 = 3;

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `GatewaySettings`, named `gateway`.
    Gateway,
    /// `Listener`.
    Listener,
    /// `Backend`, without its endpoints.
    Backend,
    /// `Route`.
    Route,
    /// `L4Route`.
    L4Route,
    /// `RouteOrder`, named `routes`: every route's name, first the one written first.
    RouteOrder,
    /// `Function`.
    Function,
    /// JSON of which settings of policies are made, named by its digest: large, and there once however
    /// many policies have it.
    Data,
}

/// One named part of a snapshot. `value` is decoded by whoever owns the kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// What it is.
    pub kind: Kind,
    /// Its stable name, unique within the kind.
    pub name: String,
    /// A digest of `value`: equal means unchanged, but for the secrets that it refers to.
    pub hash: String,
    /// The resource itself.
    pub value: Box<RawValue>,
}

/// A room's name and its settings, which only the room reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// The room: `least_request`, `response_headers`, ...
    pub kind: String,
    /// What the room decodes itself.
    pub settings: Box<RawValue>,
}

/// A policy where it is used: its room, and what all policies have.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyUse {
    /// The room: `request_headers`, ... or `disable`, which takes the policy `name` away and is none itself.
    pub kind: String,
    /// What the room decodes itself.
    pub settings: Box<RawValue>,
    /// What it is called where that is not its room's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The condition under which it takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// It refuses nothing: what it would have refused is told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// When it fails, the exchange goes on without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub continues: bool,
    /// Settings that are resources of kind `data`: the resources' names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
}

impl PartialEq for PolicyUse {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.settings.get() == other.settings.get()
            && self.name == other.name
            && self.when == other.when
            && self.shadow == other.shadow
            && self.continues == other.continues
            && self.data == other.data
    }
}

impl PartialEq for Room {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.settings.get() == other.settings.get()
    }
}

/// A change from snapshot `base` to snapshot `number`. `base` 0 with an empty node is the whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delta {
    /// Must equal [`SCHEMA`].
    pub schema: u32,
    /// The snapshot this builds on; another one in the node refuses the delta.
    pub base: u64,
    /// The snapshot this leads to; greater than `base`.
    pub number: u64,
    /// Resources that are new or changed.
    pub set: Vec<Resource>,
    /// What `{"secret": id}` stands for in each resource of `set` that has it. A resource that is set
    /// loses the secrets it had.
    pub secrets: Vec<SecretSet>,
    /// Kind and name of resources that are gone.
    pub remove: Vec<(Kind, String)>,
    /// Endpoint lists that come with it, for backends the node does not know yet.
    pub endpoints: Vec<EndpointSet>,
}

/// The endpoints of one backend. They change without a snapshot, under a number of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointSet {
    /// The backend's name.
    pub backend: String,
    /// Greater than the last one of this backend, or the set is ignored as stale.
    pub sequence: u64,
    /// All endpoints of the backend; empty means none.
    pub endpoints: Vec<Endpoint>,
}
