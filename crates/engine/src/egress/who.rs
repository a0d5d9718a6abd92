// SPDX-License-Identifier: Apache-2.0
//! Who asks a forward proxy.
use super::plan::{EgressPlan, UserPlan};
use std::net::IpAddr;
use std::sync::Arc;
use tidegate_core::{ClientCertificate, Clock};
use tidegate_passwords::{Busy, credentials};
use tidegate_request::{FieldId, Request};

/// Who asks.
pub(crate) enum Who {
    /// This user.
    User(Arc<UserPlan>),
    /// Anybody: there are no users.
    Anybody,
    /// Nobody we know; credentials would tell.
    Unknown,
    /// Nobody we know.
    Stranger,
    /// That can not be said now: too many passwords are being checked.
    Busy,
}

impl UserPlan {
    /// Whether all but the password is the user's.
    fn fits(&self, address: IpAddr, certificate: Option<&ClientCertificate>) -> bool {
        let is_near = self.clients.is_empty() || self.clients.contains(address);
        let shows = |certificate: &ClientCertificate| {
            self.certificate.iter().any(|name| name.fits(certificate))
        };
        is_near && (self.certificate.is_empty() || certificate.is_some_and(shows))
    }
}

impl EgressPlan {
    fn asks_passwords(&self) -> bool {
        self.users.iter().any(|user| user.password.is_some())
    }

    /// Who asks, of those whom no password tells.
    pub(super) fn without_password(
        &self,
        address: IpAddr,
        certificate: Option<&ClientCertificate>,
    ) -> Who {
        if self.users.is_empty() {
            return Who::Anybody;
        }
        let mut plain = self.users.iter().filter(|user| user.password.is_none());
        match plain.find(|user| user.fits(address, certificate)) {
            Some(user) => Who::User(user.clone()),
            None if self.asks_passwords() => Who::Unknown,
            None => Who::Stranger,
        }
    }

    /// Who asks. Credentials that are shown must be right, whoever else it could be.
    pub(crate) async fn who(
        &self,
        request: &Request,
        address: IpAddr,
        certificate: Option<&ClientCertificate>,
        clock: &Clock,
    ) -> Who {
        let mut shown = request.fields().get_all(FieldId::ProxyAuthorization);
        let first = shown.next().filter(|_| self.asks_passwords());
        let Some(first) = first else {
            return self.without_password(address, certificate);
        };
        let (Some((name, password)), None) = (credentials(first), shown.next()) else {
            return Who::Unknown;
        };
        let name_text = std::str::from_utf8(&name).unwrap_or_default();
        let user = self.by_name.get(name_text);
        let user = user.and_then(|index| self.users.get(*index));
        let user = user.filter(|user| user.password.is_some());
        let digest = self.known.digest(&name, &password);
        if !self.known.has(&digest, clock.now()) {
            // For a name that nobody has it takes as long: who tries names learns nothing.
            let mut others = self.users.iter();
            let other = || others.find_map(|user| user.password.clone());
            let hashed = user.and_then(|user| user.password.clone()).or_else(other);
            let Some(hashed) = hashed else {
                return Who::Unknown;
            };
            match self.checker.is_of(hashed, password).await {
                Ok(true) if user.is_some() => {}
                Ok(_) => return Who::Unknown,
                Err(Busy) => return Who::Busy,
            }
            self.known.remember(digest, clock.now());
        }
        match user.filter(|user| user.fits(address, certificate)) {
            Some(user) => Who::User(user.clone()),
            None => Who::Unknown,
        }
    }
}
