// SPDX-License-Identifier: Apache-2.0
//! Fetches the documents that policies work with, one task for each, and fetches them again: in time,
//! when a request asks for a newer one, and after failures with growing pauses.
use super::asking::answered;
use super::state::Service;
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;
use tidegate_contract::{Document, Source};
use tidegate_core::Draw;
use tidegate_net::{Stream, Target, connect};
use tidegate_request::{Fields, Method};
use tidegate_tls::{Approach, ApproachTerms, Authorities, Inside, Policy};
use tokio::task::JoinHandle;

/// How long a fetch may take: as long as requests wait for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest document.
const MOST_BYTES: usize = 1 << 20;
/// How long none is fetched again for requests that ask after one was: whoever sends tokens with keys that
/// do not exist causes one fetch in this time.
const REST: Duration = Duration::from_secs(10);
/// The least time between two fetches that nobody asks for, whatever its server says of its age.
const LEAST_REFRESH: Duration = Duration::from_secs(60);
/// Pauses after failures: the first and the longest; each is twice the one before.
const FAILED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Keeps one task for each document.
pub(super) async fn run(service: Rc<Service>) {
    let mut running: HashMap<Source, (Weak<Document>, JoinHandle<()>)> = HashMap::new();
    loop {
        let changed = service.changed.notified();
        running.retain(|_, (document, task)| {
            let stays = document.strong_count() > 0;
            if !stays {
                task.abort();
            }
            stays
        });
        for document in service.node.registry.documents() {
            running.entry(document.source.clone()).or_insert_with(|| {
                let document = Arc::downgrade(&document);
                let keeping = keep(service.clone(), document.clone());
                (document, tokio::task::spawn_local(keeping))
            });
        }
        changed.await;
    }
}

/// Fetches one document for as long as somebody works with it.
async fn keep(service: Rc<Service>, kept: Weak<Document>) {
    let mut draw = Draw::from_entropy();
    let mut after_failure = FAILED.0;
    let mut is_failing = false;
    let mut was_asked = false;
    while let Some(document) = kept.upgrade() {
        document.begin();
        let fetched = tokio::time::timeout(PATIENCE, fetch(&document.source)).await;
        let (fetched, most) = match fetched {
            Ok(Ok((bytes, most))) => (Ok(bytes), most),
            Ok(Err(why)) => (Err(why), None),
            Err(_) => (Err("no answer in time".to_owned()), None),
        };
        let now = service.node.clock.now().millis();
        let outcome = document.end(fetched, now);
        let named = format!("{} at {}", document.source.kind, document.source.url);
        let pause = match &outcome {
            Ok(()) => {
                if is_failing {
                    super::say(&format!("{named}: fetched again"));
                }
                after_failure = FAILED.0;
                let refresh = Duration::from_millis(document.source.refresh_ms);
                most.map_or(refresh, |most| most.max(LEAST_REFRESH).min(refresh))
            }
            Err(why) => {
                if !is_failing {
                    super::warn(&format!(
                        "{named}: not fetched: {why}{}",
                        instead(&document)
                    ));
                }
                let pause = after_failure;
                after_failure = (pause * 2).min(FAILED.1);
                pause
            }
        };
        is_failing = outcome.is_err();
        drop(document);
        // Nodes of a fleet do not all come at once.
        let pause = pause.mul_f64(1.0 - draw.below(100) as f64 / 1000.0);
        let rest = match (is_failing, was_asked) {
            (true, _) => pause,
            (false, true) => pause.min(REST),
            // Nobody caused it: a key that was changed a moment later is not waited for.
            (false, false) => Duration::ZERO,
        };
        tokio::time::sleep(rest).await;
        match kept.upgrade() {
            Some(document) => document.rested(),
            None => return,
        }
        let asked = poll_fn(|cx| match kept.upgrade() {
            Some(document) => document.poll_asked(cx),
            None => Poll::Ready(()),
        });
        was_asked = tokio::select! {
            () = tokio::time::sleep(pause.saturating_sub(rest)) => false,
            () = asked => true,
        };
    }
}

/// What policies work with while there is nothing newer.
fn instead(document: &Document) -> &'static str {
    match document.fetches().taken_at_ms {
        Some(_) => "; the last one that came is used until it is too old",
        None => "; there is none, and what needs it is refused",
    }
}

/// Where a URL leads.
struct Place<'a> {
    is_secure: bool,
    /// As in the field `Host`.
    authority: &'a str,
    host: &'a str,
    port: u16,
    path: &'a str,
}

impl<'a> Place<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (is_secure, rest) = match url.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, url.strip_prefix("http://")?),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let standard = if is_secure { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, standard),
        };
        let bare = host.strip_prefix('[').and_then(|own| own.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        (!host.is_empty()).then_some(Self {
            is_secure,
            authority,
            host,
            port,
            path,
        })
    }
}

/// One document, and for how long its server says it is good.
async fn fetch(source: &Source) -> Result<(Vec<u8>, Option<Duration>), String> {
    let place = Place::of(&source.url).ok_or("the URL leads nowhere")?;
    let mut stream = reach(&place).await?;
    if place.is_secure {
        let approach = approach(source).await?;
        stream
            .secure_to(&approach, place.host, Inside::Http)
            .map_err(|fault| fault.to_string())?;
        poll_fn(|cx| stream.poll_answered(cx))
            .await
            .map_err(|fault| fault.to_string())?;
    }
    let slash = if place.path.starts_with('/') { "" } else { "/" };
    let request = format!(
        "GET {slash}{} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nUser-Agent: tidegate\r\n\
         Connection: close\r\n\r\n",
        place.path, place.authority
    );
    let never = |_: &[u8]| false;
    let within = MOST_BYTES + 1;
    let asked = answered(&stream, request.as_bytes(), Method::Get, within, &never);
    let (response, body) = asked.await?;
    match response.status() {
        200 if body.len() > MOST_BYTES => Err("it is longer than 1 MiB".into()),
        200 => Ok((body, freshness(response.fields()))),
        // Whoever can make the issuer redirect would choose the keys.
        status @ 300..=399 => Err(format!("status {status}, and redirects are not followed")),
        status => Err(format!("status {status}")),
    }
}

/// A connection to the first address that takes one.
async fn reach(place: &Place<'_>) -> Result<Stream, String> {
    let found = tokio::net::lookup_host((place.host, place.port)).await;
    let found = found.map_err(|error| format!("the name is not found: {error}"))?;
    let mut addresses: Vec<_> = found.collect();
    addresses.sort_by_key(std::net::SocketAddr::is_ipv6);
    let mut failed = "the name has no address".to_owned();
    for address in addresses {
        match connect(&Target::Ip(address)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = format!("connecting failed: {error}"),
        }
    }
    Err(failed)
}

/// TLS that verifies whoever is there.
async fn approach(source: &Source) -> Result<Approach, String> {
    let authorities = match &source.ca {
        Some(text) => Authorities::read(text, "ca")?,
        // Read each time: what the system trusts changes, and a fetch is rare.
        None => tokio::task::spawn_blocking(Authorities::system)
            .await
            .map_err(|error| error.to_string())??,
    };
    Approach::new(ApproachTerms {
        authorities: Some(authorities),
        names: Vec::new(),
        certificate: None,
        policy: Policy::Intermediate,
    })
}

/// What `Cache-Control` says of its age (RFC 9111 §5.2.2.1); `no-store` and `no-cache` are 0.
fn freshness(fields: &Fields) -> Option<Duration> {
    let mut least = None;
    for field in fields.iter() {
        if !field.name.eq_ignore_ascii_case(b"cache-control") {
            continue;
        }
        for directive in field.value.split(|&byte| byte == b',') {
            let text = String::from_utf8_lossy(directive)
                .trim()
                .to_ascii_lowercase();
            let seconds = match text.strip_prefix("max-age=") {
                Some(number) => number.trim_matches('"').parse::<u32>().ok(),
                None => matches!(text.as_str(), "no-store" | "no-cache").then_some(0),
            };
            least = [least, seconds].into_iter().flatten().min();
        }
    }
    least.map(|seconds| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::{Place, freshness};
    use std::time::Duration;
    use tidegate_request::Fields;

    #[test]
    fn a_url_leads_to_host_and_port_and_path() {
        let of = |url| {
            let place = Place::of(url)?;
            Some((place.is_secure, place.host, place.port, place.path))
        };
        assert_eq!(
            of("https://a.test/keys?x=1"),
            Some((true, "a.test", 443, "/keys?x=1"))
        );
        assert_eq!(of("https://a.test?x"), Some((true, "a.test", 443, "?x")));
        assert_eq!(
            of("http://127.0.0.1:8080"),
            Some((false, "127.0.0.1", 8080, ""))
        );
        assert_eq!(of("https://[::1]:8443/"), Some((true, "::1", 8443, "/")));
        assert_eq!(of("https://[::1]/"), Some((true, "::1", 443, "/")));
        for nowhere in [
            "ftp://a",
            "https://",
            "https://a:x/",
            "https://a:70000/",
            "a.test",
        ] {
            assert_eq!(of(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn a_server_says_how_long_its_document_is_good() {
        let of = |value: &str| {
            let mut fields = Fields::new();
            let _ = fields.append(b"cache-control", value.as_bytes());
            freshness(&fields).map(|good| good.as_secs())
        };
        assert_eq!(of("public, max-age=300"), Some(300));
        assert_eq!(of("MAX-AGE=\"7\", must-revalidate"), Some(7));
        assert_eq!(of("max-age=300, no-cache"), Some(0));
        assert_eq!(of("max-age=x"), None);
        assert_eq!(of("public"), None);
        assert_eq!(freshness(&Fields::new()), None::<Duration>);
    }
}
