// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::addresses;
use tidegate_contract::{Exchange, Filter, Flow, Phases};
use tidegate_core::Networks;

/// Lets clients of some addresses in, and nobody else.
#[derive(Clone, Debug)]
pub struct IpAllow {
    networks: Networks,
}

impl IpAllow {
    /// The filter for these settings.
    ///
    /// # Errors
    /// One of the addresses is none.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        let networks = addresses::read(&settings.addresses, settings.file.as_deref());
        Ok(Self {
            networks: networks.map_err(|error| format!("ip_allow: {error}"))?,
        })
    }
}

impl Filter for IpAllow {
    fn phases(&self) -> Phases {
        Phases {
            request: true,
            ..Phases::default()
        }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange, _position: usize) -> Flow<'a> {
        match self.networks.contains(exchange.client.address) {
            true => Flow::Continue,
            false => addresses::refused("the client's address is not allowed"),
        }
    }
}
