// SPDX-License-Identifier: Apache-2.0
//! Where a forward proxy goes: names are looked up once, and what is connected to is what was judged.
use super::plan::{EgressPlan, UserPlan};
use crate::snapshot::{EndpointList, Snapshot};
use arc_swap::ArcSwap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use tidegate_core::Clock;
use tidegate_egress::{Aim, Refusal, Unresolved};
use tidegate_net::Target;

/// Addresses of a name that are tried.
const TRIED: usize = 4;

/// The addresses that may be connected to.
pub(crate) type Way = Arc<EndpointList>;

/// Why there is no way.
pub(crate) enum NoWay {
    /// The rules refuse it.
    Refused(Refusal),
    /// It leads back here.
    Own,
    /// There is no address.
    Unresolved(Unresolved),
}

impl NoWay {
    /// For the log.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.detail(),
            Self::Own => "it leads back to this node".to_owned(),
            Self::Unresolved(why) => why.detail().to_owned(),
        }
    }
}

/// Whether `address` is one of a listener of this node.
fn is_own(snapshot: &Snapshot, address: SocketAddr) -> bool {
    let ip = address.ip();
    snapshot.listeners.iter().any(|listener| {
        let config = &listener.config;
        let own = config.address.parse::<IpAddr>();
        config.port == address.port()
            && own.is_ok_and(|own| match own.is_unspecified() || ip.is_unspecified() {
                true => is_of_this_machine(ip),
                false => own.to_canonical() == ip,
            })
    })
}

/// Whether packets to `address` stay here: from it, they would go to itself. Nothing is sent.
fn is_of_this_machine(address: IpAddr) -> bool {
    if address.is_loopback() || address.is_unspecified() {
        return true;
    }
    let any: SocketAddr = match address {
        IpAddr::V4(_) => ([0; 4], 0).into(),
        IpAddr::V6(_) => ([0; 16], 0).into(),
    };
    let found = UdpSocket::bind(any).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    found.is_ok_and(|found| found.ip() == address)
}

impl EgressPlan {
    /// What can be said before the host is looked up.
    pub(super) fn judge_name(&self, user: Option<&UserPlan>, aim: &Aim<'_>) -> Result<(), NoWay> {
        self.judge(user).name(aim).map_err(NoWay::Refused)
    }

    /// Whether this address may be connected to.
    pub(super) fn judge_address(
        &self,
        snapshot: &Snapshot,
        user: Option<&UserPlan>,
        aim: &Aim<'_>,
        address: IpAddr,
    ) -> Result<(), NoWay> {
        let verdict = self.judge(user).address(aim, address);
        verdict.map_err(NoWay::Refused)?;
        match is_own(snapshot, SocketAddr::new(address, aim.port)) {
            true => Err(NoWay::Own),
            false => Ok(()),
        }
    }

    /// The addresses of the host, judged and not.
    pub(super) async fn look_up(
        &self,
        aim: &Aim<'_>,
        clock: &Clock,
    ) -> Result<Arc<[IpAddr]>, NoWay> {
        if let Some(address) = aim.literal() {
            return Ok([address.to_canonical()].into());
        }
        let found = self.resolver.look_up(aim.host, clock).await;
        found.map_err(NoWay::Unresolved)
    }

    /// The addresses that `user` may be connected to: those that are refused are left out.
    ///
    /// # Errors
    /// None is left, or there is none.
    pub(crate) async fn way(
        &self,
        snapshot: &Snapshot,
        user: Option<&UserPlan>,
        aim: &Aim<'_>,
        clock: &Clock,
    ) -> Result<Way, NoWay> {
        self.judge_name(user, aim)?;
        if self.parent(aim.host).is_some() {
            // Names are looked up by the other proxy.
            if let Some(address) = aim.literal() {
                self.judge_address(snapshot, user, aim, address.to_canonical())?;
            }
            return Ok(Way::default());
        }
        let found = self.look_up(aim, clock).await?;
        let mut list = EndpointList::default();
        let mut refused = None;
        for address in found.iter().map(IpAddr::to_canonical) {
            if list.endpoints.len() == TRIED {
                break;
            }
            match self.judge_address(snapshot, user, aim, address) {
                Ok(()) => {
                    let address = SocketAddr::new(address, aim.port);
                    list.endpoints.push(self.endpoint(address));
                    let target = ArcSwap::from_pointee(vec![Target::Ip(address)]);
                    list.targets.push(Arc::new(target));
                }
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        match (list.endpoints.is_empty(), refused) {
            (false, _) => Ok(Arc::new(list)),
            (true, Some(why)) => Err(why),
            (true, None) => Err(NoWay::Unresolved(Unresolved::NoAddress)),
        }
    }
}
