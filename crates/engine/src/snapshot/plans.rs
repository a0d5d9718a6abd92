// SPDX-License-Identifier: Apache-2.0
use super::admission::{AdmissionPlan, Pace};
use super::filters::Filters;
use super::registry::Registry;
use super::tls::TlsPlan;
use crate::egress::EgressPlan;
use crate::files::FilesPlan;
use crate::pages::{ErrorPages, Maintenance};
use crate::upstream::MirrorPlan;
use crate::web::WebPlan;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_config::{
    Forward, GatewaySettings, InternalPage, Listener, ListenerProtocol, Millis, Octets, Redirect,
    Respond, Retries, Rewrite, Route, RouteTimeouts, Target, WebSocket,
};
use tidegate_core::Networks;
use tidegate_routing::CompiledRoute;
use tidegate_telemetry::SharedRouteStats;
use tidegate_tls::Protocols;

/// What concerns the whole gateway, ready to use.
pub(crate) struct Settings {
    pub(crate) config: GatewaySettings,
    pub(crate) trusted: Networks,
}

impl Settings {
    pub(crate) fn build(config: GatewaySettings) -> Result<Self, String> {
        Ok(Self {
            trusted: Networks::parse(&config.trusted_proxies)?,
            config,
        })
    }

    pub(crate) fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.contains(address)
    }
}

/// How many connections a listener has, in all and by address. Outlives snapshots in the registry.
#[derive(Default)]
pub(crate) struct Counted {
    pub(crate) all: AtomicU32,
    /// New ones.
    pub(crate) pace: Pace,
    by_address: [Mutex<HashMap<u128, u32>>; 16],
}

impl Counted {
    /// IPv6 clients count by /64: one subscriber has that many addresses.
    pub(crate) fn key(address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(address) => u128::from(u32::from(address)) | 1 << 127,
            IpAddr::V6(address) => u128::from(address) >> 64,
        }
    }

    fn shard(&self, key: u128) -> Option<&Mutex<HashMap<u128, u32>>> {
        self.by_address
            .get((key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize % 16)
    }

    /// Counts a connection in, unless a limit is reached; `per_address` 0 counts none by address.
    pub(crate) fn enter(&self, address: IpAddr, limit: u32, per_address: u32) -> bool {
        if self.all.fetch_add(1, Ordering::Relaxed) >= limit {
            self.all.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        if per_address == 0 {
            return true;
        }
        let key = Self::key(address);
        let Some(shard) = self.shard(key) else {
            return true;
        };
        let mut counts = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        if *count >= per_address {
            drop(counts);
            self.all.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        *count += 1;
        true
    }

    /// Counts out what [`Self::enter`] counted in with the same arguments.
    pub(crate) fn leave(&self, address: IpAddr, per_address: u32) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        if per_address == 0 {
            return;
        }
        let key = Self::key(address);
        let Some(shard) = self.shard(key) else { return };
        let mut counts = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&key);
            }
        }
    }
}

/// A listener as the engine runs it.
pub(crate) struct ListenerPlan {
    pub(crate) name: Arc<str>,
    pub(crate) config: Listener,
    /// The key of its sockets: `tcp:[::]:8080`, `udp:[::]:53` or `unix:/path`.
    pub(crate) key: String,
    /// That of those of UDP, where it has them: `udp:[::]:8080`.
    pub(crate) datagrams: Option<String>,
    /// Its filters, before those of routes.
    pub(crate) filters: Filters,
    pub(crate) counted: Arc<Counted>,
    /// Whose connections are taken.
    pub(crate) admission: AdmissionPlan,
    /// Whose connections begin with a head of the PROXY protocol.
    proxies: Networks,
    /// Of a forward proxy.
    pub(crate) egress: Option<Arc<EgressPlan>>,
    /// Where TLS is spoken.
    pub(crate) tls: Option<Box<TlsPlan>>,
    pub(crate) error_pages: ErrorPages,
    pub(crate) maintenance: Option<Box<Maintenance>>,
}

impl ListenerPlan {
    /// Whether routes that name no listener are not on it.
    pub(crate) fn named_only(&self) -> bool {
        let own = self.config.redirect.is_some() || self.egress.is_some();
        self.config.named_only || own || self.is_l4()
    }

    pub(crate) fn build(
        name: &str,
        mut config: Listener,
        registry: &Registry,
    ) -> Result<Self, String> {
        let at = match config.address.contains(':') {
            true => format!("[{}]:{}", config.address, config.port),
            false => format!("{}:{}", config.address, config.port),
        };
        let key = match config.address.strip_prefix("unix:") {
            Some(path) => format!("unix:{path}"),
            None => match config.protocol {
                ListenerProtocol::Udp => format!("udp:{at}"),
                _ => format!("tcp:{at}"),
            },
        };
        let datagrams = config.http3.is_some().then(|| format!("udp:{at}"));
        let error_pages = ErrorPages::build(std::mem::take(&mut config.error_pages))?;
        let maintenance = build_maintenance(config.maintenance.take())?;
        let filters = Filters::build(&config.policies, registry)?;
        let is_http = config.protocol != ListenerProtocol::Tcp;
        let egress = config.forward.take();
        let egress = egress.map(|own| EgressPlan::build(name, &own, registry).map(Arc::new));
        // The keys are not needed again, and the plan is kept.
        let tls = match config.tls.take() {
            Some(tls) => {
                let named = tls.alpn.iter().map(|name| name.as_bytes().to_vec());
                let protocols = match config.http2 {
                    _ if !is_http => Protocols::Other(named.collect()),
                    Some(false) => Protocols::Http1,
                    _ => Protocols::Http2,
                };
                let http3 = config.http3.as_ref().map(|http3| (http3, config.port));
                let plan = TlsPlan::build(name, &tls, protocols, http3, registry)?;
                Some(Box::new(plan))
            }
            None => None,
        };
        Ok(Self {
            name: name.into(),
            egress: egress.transpose()?,
            tls,
            admission: AdmissionPlan::build(&config.clients)?,
            proxies: match &config.proxy_protocol {
                Some(own) => Networks::parse(&own.sources)?,
                None => Networks::default(),
            },
            config,
            key,
            datagrams,
            filters,
            counted: registry.counted(name),
            error_pages,
            maintenance,
        })
    }
}

impl ListenerPlan {
    /// The keys of all its sockets.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.key).chain(&self.datagrams)
    }

    /// Whether a connection from `address` begins with a head of the PROXY protocol.
    #[inline]
    pub(crate) fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.contains(address)
    }

    /// Whether requests to itself are served by `route`: a forward proxy has one for other requests.
    pub(crate) fn serves(&self, route: &RoutePlan) -> bool {
        let egress = self.egress.as_ref();
        egress.is_none_or(|egress| !egress.has_route(&route.name))
    }

    /// Whether the first bytes of a connection tell what it speaks.
    pub(crate) fn is_mixed(&self) -> bool {
        self.config.protocol == ListenerProtocol::Mixed
    }

    /// Whether it passes TLS on unread.
    pub(crate) fn is_passing(&self) -> bool {
        self.config.protocol == ListenerProtocol::Tls
    }

    /// Whether it takes connections as they are, and knows of no requests.
    pub(crate) fn is_l4(&self) -> bool {
        matches!(
            self.config.protocol,
            ListenerProtocol::Tcp | ListenerProtocol::Tls | ListenerProtocol::Udp
        )
    }

    /// Whether it takes datagrams.
    pub(crate) fn is_datagrams(&self) -> bool {
        self.config.protocol == ListenerProtocol::Udp
    }
}

fn build_maintenance(
    config: Option<tidegate_config::Maintenance>,
) -> Result<Option<Box<Maintenance>>, String> {
    let plan = config.map(Maintenance::build).transpose()?;
    Ok(plan.map(Box::new))
}

/// Where a route leads.
pub(crate) enum TargetPlan {
    Forward {
        backends: SmallVec<[(Arc<str>, u32); 1]>,
        total: u64,
    },
    Redirect(Redirect),
    Respond(Respond),
    Files(Arc<FilesPlan>),
    Internal(InternalPage),
}

/// A route as the engine runs it.
pub(crate) struct RoutePlan {
    pub(crate) name: Arc<str>,
    pub(crate) compiled: Arc<CompiledRoute>,
    pub(crate) filters: Filters,
    pub(crate) to: TargetPlan,
    /// Files that go before it.
    pub(crate) try_files: Option<Arc<FilesPlan>>,
    pub(crate) rewrite: Option<Rewrite>,
    pub(crate) timeouts: RouteTimeouts,
    pub(crate) retries: Retries,
    pub(crate) body_size: Option<Octets>,
    pub(crate) buffer_request: Option<Octets>,
    /// Where copies of its requests go.
    pub(crate) mirror: Option<MirrorPlan>,
    /// Whose requests it answers.
    pub(crate) admission: AdmissionPlan,
    /// What a body may be, `type/subtype` or `type/*` in lower case; anything if empty.
    pub(crate) media_types: Vec<String>,
    /// What is asked of WebSockets.
    pub(crate) websocket: Option<WebSocket>,
    /// Calls of gRPC by pages.
    pub(crate) web: Option<WebPlan>,
    pub(crate) stats: Arc<SharedRouteStats>,
    /// The whole time an exchange may take.
    pub(crate) deadline: Option<Millis>,
    pub(crate) error_pages: ErrorPages,
    pub(crate) maintenance: Option<Box<Maintenance>>,
}

impl RoutePlan {
    pub(crate) fn build(name: &str, config: Route, registry: &Registry) -> Result<Self, String> {
        let compiled = CompiledRoute::compile(name, &config)?;
        let to = match config.to {
            Target::Forward(Forward { backends }) => TargetPlan::Forward {
                total: backends
                    .iter()
                    .map(|backend| u64::from(backend.weight))
                    .sum(),
                backends: backends
                    .into_iter()
                    .map(|backend| {
                        (
                            registry.backend(&backend.backend).name.clone(),
                            backend.weight,
                        )
                    })
                    .collect(),
            },
            Target::Redirect(redirect) => TargetPlan::Redirect(redirect),
            Target::Respond(respond) => TargetPlan::Respond(respond),
            Target::Internal(internal) => TargetPlan::Internal(internal.page),
            Target::Files(files) => {
                TargetPlan::Files(Arc::new(FilesPlan::new(files, registry.threads)))
            }
        };
        Ok(Self {
            name: name.into(),
            compiled,
            filters: Filters::build(&config.policies, registry)?,
            to,
            try_files: config
                .try_files
                .map(|files| Arc::new(FilesPlan::new(files, registry.threads))),
            rewrite: config.rewrite,
            deadline: config.timeouts.request,
            timeouts: config.timeouts,
            retries: config.retries,
            body_size: config.body_size,
            buffer_request: config.buffer_request,
            mirror: config.mirror.map(MirrorPlan::new),
            admission: AdmissionPlan::build(&config.clients)?,
            media_types: config.media_types,
            websocket: config.websocket,
            web: config.web.map(WebPlan::build),
            stats: registry.route_stats(name),
            error_pages: ErrorPages::build(config.error_pages)?,
            maintenance: build_maintenance(config.maintenance)?,
        })
    }

    /// Backends this route leads to.
    pub(crate) fn backends(&self) -> &[(Arc<str>, u32)] {
        match &self.to {
            TargetPlan::Forward { backends, .. } => backends,
            _ => &[],
        }
    }
}
