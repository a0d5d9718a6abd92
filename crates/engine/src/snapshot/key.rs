// SPDX-License-Identifier: Apache-2.0
use serde_json::Value;
use std::net::IpAddr;
use tidegate_config::{HashKind, HashPart};
use tidegate_contract::{Balancer, KeyOf};
use tidegate_core::StableHash;
use tidegate_request::Request;
use tidegate_routing::{decoded_query, equals_query};

/// What a backend's balancer wants hashed of a request.
#[derive(Debug)]
pub(crate) enum KeyPlan {
    /// So many leading bits of the client's address.
    Client { ipv4: u8, ipv6: u8 },
    /// What the configuration names.
    Parts(Vec<HashPart>),
}

impl KeyPlan {
    /// `None` where the balancer wants no key.
    pub(crate) fn build(balancer: &dyn Balancer, parts: &[HashPart]) -> Option<Self> {
        match balancer.key_of() {
            KeyOf::Nothing => None,
            KeyOf::Client { ipv4, ipv6 } => Some(Self::Client { ipv4, ipv6 }),
            KeyOf::Hash => Some(Self::Parts(parts.to_vec())),
        }
    }

    /// The key of a request as it will be sent; `None` when it has none of the parts.
    pub(crate) fn key(&self, request: &Request, client: IpAddr) -> Option<u64> {
        let mut key = Key::default();
        match self {
            Self::Client { ipv4, ipv6 } => key.address(client, *ipv4, *ipv6),
            Self::Parts(parts) => {
                for part in parts {
                    // Where the next part begins: `a` and nothing is not nothing and `a`.
                    key.hash.write(&[0xff]);
                    key.part(part, request, client);
                }
            }
        }
        key.is_there.then(|| key.hash.finish())
    }

    /// The key of a connection without requests; `None` when nothing but requests have one.
    pub(crate) fn of_connection(&self, client: IpAddr) -> Option<u64> {
        let mut key = Key::default();
        match self {
            Self::Client { ipv4, ipv6 } => key.address(client, *ipv4, *ipv6),
            Self::Parts(parts) => {
                for _ in parts.iter().filter(|part| part.kind == HashKind::Client) {
                    key.hash.write(&[0xff]);
                    key.address(client, 32, 128);
                }
            }
        }
        key.is_there.then(|| key.hash.finish())
    }

    /// For `explain`.
    pub(crate) fn tell(&self) -> Value {
        match self {
            Self::Client { ipv4, ipv6 } => format!("client address /{ipv4} or /{ipv6}").into(),
            Self::Parts(parts) => {
                let each = parts.iter().map(|part| match part.kind {
                    HashKind::Client => "client address".to_owned(),
                    HashKind::Header => format!("header {}", part.name),
                    HashKind::Cookie => format!("cookie {}", part.name),
                    HashKind::Query => format!("query {}", part.name),
                    HashKind::Claim => format!("claim {}", part.name),
                    HashKind::Path => "path".to_owned(),
                    HashKind::Host => "host".to_owned(),
                });
                each.collect::<Vec<_>>().join(", ").into()
            }
        }
    }
}

#[derive(Default)]
struct Key {
    hash: StableHash,
    is_there: bool,
}

impl Key {
    /// Adds a value, with its length, so that two values are not one long one.
    fn value(&mut self, value: &[u8]) {
        self.is_there = true;
        self.hash.write(&(value.len() as u64).to_le_bytes());
        self.hash.write(value);
    }

    fn part(&mut self, part: &HashPart, request: &Request, client: IpAddr) {
        let name = part.name.as_bytes();
        match part.kind {
            HashKind::Client => self.address(client, 32, 128),
            HashKind::Path => self.value(request.path_bytes()),
            HashKind::Host => {
                if let Some(host) = request.host() {
                    self.value(host.as_bytes());
                }
            }
            HashKind::Header => {
                for value in request.fields().get_all_name(name) {
                    self.value(value);
                }
            }
            HashKind::Cookie => {
                for (_, value) in request.cookies().filter(|(found, _)| *found == name) {
                    self.value(value);
                }
            }
            HashKind::Claim => {
                if let Some(value) = request.bearer_claim(&part.name) {
                    self.value(value.as_bytes());
                }
            }
            HashKind::Query => {
                let pairs = request.query_pairs();
                for (_, value) in pairs.filter(|(found, _)| equals_query(found, name)) {
                    self.value(&decoded_query(value));
                }
            }
        }
    }

    fn address(&mut self, address: IpAddr, ipv4: u8, ipv6: u8) {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(ipv4)).unwrap_or(0);
                self.value(&(address.to_bits() & mask).to_be_bytes());
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(ipv6)).unwrap_or(0);
                self.value(&(address.to_bits() & mask).to_be_bytes());
            }
        }
    }
}
