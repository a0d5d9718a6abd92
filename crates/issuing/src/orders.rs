// SPDX-License-Identifier: Apache-2.0
//! Accounts and orders (RFC 8555 §7). Each function is one step that the caller can repeat after a crash:
//! what has to be remembered between them is in their arguments and results.
use crate::failure::{Failure, Part, kind};
use crate::transport::Transport;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, CertificateIdentifier, ChallengeStatus,
    ChallengeType, ExternalAccountKey, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use sha2::{Digest, Sha256};
use std::future::Future;
use std::time::Duration;

/// An account that the authority's customer has already (RFC 8555 §7.3.4).
pub struct External {
    /// As the authority calls it.
    pub id: String,
    /// The key, decoded.
    pub key: Vec<u8>,
}

/// How a name can be proved.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// The host name.
    pub name: String,
    /// `http-01` or `tls-alpn-01`.
    pub kind: &'static str,
    /// Random, of base64url characters.
    pub token: String,
    /// The key authorization.
    pub answer: String,
    /// Its SHA-256.
    pub digest: Vec<u8>,
}

/// An order that was begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// What to ask for it by.
    pub url: String,
    /// Of those names that are not proved yet.
    pub challenges: Vec<Challenge>,
}

/// When an authority would have a certificate renewed (RFC 9773 §4.2), in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Window {
    /// Not before.
    pub begin: i64,
    /// Not after.
    pub end: i64,
    /// Seconds after which to ask again.
    pub again: u64,
}

fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| Failure::new("unusable", error.to_string()))?;
    runtime.block_on(work)
}

async fn account(transport: &Transport, credentials: &str) -> Result<Account, Failure> {
    let credentials: AccountCredentials = serde_json::from_str(credentials)
        .map_err(|_| Failure::new("unusable", "the account in the store can not be read"))?;
    let builder = Account::builder_with_http(transport.boxed());
    Ok(builder.from_credentials(credentials).await?)
}

/// Opens an account; the result, JSON with its key, is what the others want as `credentials`.
///
/// `contact` has URLs such as `mailto:ops@shop.example`. The terms of the authority count as accepted.
///
/// # Errors
/// What the authority says.
pub fn open_account(
    transport: &Transport,
    directory: &str,
    contact: &[String],
    external: Option<&External>,
) -> Result<String, Failure> {
    run(async {
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = external.map(|given| ExternalAccountKey::new(given.id.clone(), &given.key));
        let (_, credentials) = Account::builder_with_http(transport.boxed())
            .create(&wanted, directory.to_owned(), external.as_ref())
            .await?;
        serde_json::to_string(&credentials)
            .map_err(|error| Failure::new("unusable", error.to_string()))
    })
}

/// Orders a certificate for `names`. `replaces` is the identifier of the one that it is to replace (RFC 9773
/// §5), or empty.
///
/// # Errors
/// What the authority says.
pub fn begin(
    transport: &Transport,
    credentials: &str,
    names: &[String],
    replaces: &str,
) -> Result<Begun, Failure> {
    run(async {
        let account = account(transport, credentials).await?;
        let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
        let mut wanted = NewOrder::new(&identifiers);
        if let Some(id) = identifier(replaces) {
            wanted = wanted.replaces(id);
        }
        let order = account.new_order(&wanted).await?;
        begun(order, account.key_thumbprint()).await
    })
}

/// An order that was begun before, with the challenges of names that are not proved yet.
///
/// # Errors
/// What the authority says; that it is over, as `unusable`.
pub fn resume(transport: &Transport, credentials: &str, url: &str) -> Result<Begun, Failure> {
    run(async {
        let account = account(transport, credentials).await?;
        let mut order = account.order(url.to_owned()).await?;
        match order.state().status {
            OrderStatus::Invalid => Err(Failure::new("unusable", "the order is over")),
            _ => begun(order, account.key_thumbprint()).await,
        }
    })
}

async fn begun(mut order: Order, thumbprint: &str) -> Result<Begun, Failure> {
    let mut challenges = Vec::new();
    let url = order.url().to_owned();
    let mut authorizations = order.authorizations();
    while let Some(found) = authorizations.next().await {
        let found = found?;
        if found.status != AuthorizationStatus::Pending {
            continue;
        }
        let name = found.identifier().to_string();
        for offer in &found.challenges {
            let kind = match offer.r#type {
                ChallengeType::Http01 => "http-01",
                ChallengeType::TlsAlpn01 => "tls-alpn-01",
                _ => continue,
            };
            let answer = format!("{}.{thumbprint}", offer.token);
            challenges.push(Challenge {
                name: name.clone(),
                kind,
                token: offer.token.clone(),
                digest: Sha256::digest(&answer).to_vec(),
                answer,
            });
        }
    }
    Ok(Begun { url, challenges })
}

/// Has the names of an order proved, each by the kind of challenge in `chosen`, and gets its certificate: the
/// chain in PEM. `request` is what [`crate::requests::signing_request`] made.
///
/// # Errors
/// What the authority says, of each name that it could not prove in [`Failure::parts`].
pub fn finish(
    transport: &Transport,
    credentials: &str,
    url: &str,
    chosen: &[(String, String)],
    request: &[u8],
    patience: Duration,
) -> Result<String, Failure> {
    run(async {
        let account = account(transport, credentials).await?;
        let mut order = account.order(url.to_owned()).await?;
        let retries = RetryPolicy::new()
            .initial_delay(Duration::from_millis(250))
            .backoff(1.5)
            .timeout(patience);
        if order.state().status == OrderStatus::Pending {
            prove(&mut order, chosen).await?;
            order.poll_ready(&retries).await.map_err(Failure::from)?;
        }
        match order.state().status {
            OrderStatus::Ready => order.finalize_csr(request).await?,
            OrderStatus::Invalid => {
                drop(order);
                // Read anew: what was seen of the names before is older than what became of them.
                return Err(refused(account.order(url.to_owned()).await?).await);
            }
            _ => {}
        }
        Ok(order.poll_certificate(&retries).await?)
    })
}

async fn prove(order: &mut Order, chosen: &[(String, String)]) -> Result<(), Failure> {
    let mut authorizations = order.authorizations();
    while let Some(found) = authorizations.next().await {
        let mut found = found?;
        if found.status != AuthorizationStatus::Pending {
            continue;
        }
        let name = found.identifier().to_string();
        let kind = chosen.iter().find(|(each, _)| *each == name);
        let wanted = match kind.map(|(_, kind)| kind.as_str()) {
            Some("http-01") => ChallengeType::Http01,
            Some("tls-alpn-01") => ChallengeType::TlsAlpn01,
            _ => continue,
        };
        let Some(mut challenge) = found.challenge(wanted) else {
            continue;
        };
        // One that was begun before a crash is not to be begun again.
        if challenge.status == ChallengeStatus::Pending {
            challenge.set_ready().await?;
        }
    }
    Ok(())
}

/// Why an order came to nothing, name by name.
async fn refused(mut order: Order) -> Failure {
    let mut failure = Failure::new("unauthorized", "the authority could not prove the names");
    if let Some(error) = order.state().error.clone() {
        failure = Failure::from(instant_acme::Error::Api(error));
    }
    let mut authorizations = order.authorizations();
    while let Some(Ok(found)) = authorizations.next().await {
        let name = found.identifier().to_string();
        let errors = found
            .challenges
            .iter()
            .filter_map(|each| each.error.clone());
        for error in errors {
            failure.parts.push(Part {
                name: name.clone(),
                kind: kind(error.r#type),
                detail: error.detail.unwrap_or_default(),
            });
        }
    }
    failure
}

/// When the authority would have the certificate with this identifier renewed; `None` where it does not say.
///
/// # Errors
/// When it can not be asked.
pub fn renewal(
    transport: &Transport,
    credentials: &str,
    id: &str,
) -> Result<Option<Window>, Failure> {
    let Some(id) = identifier(id) else {
        return Ok(None);
    };
    run(async {
        let account = account(transport, credentials).await?;
        match account.renewal_info(&id).await {
            Ok((found, again)) => Ok(Some(Window {
                begin: found.suggested_window.start.unix_timestamp(),
                end: found.suggested_window.end.unix_timestamp(),
                again: again.as_secs(),
            })),
            Err(instant_acme::Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
}

/// `KEY.SERIAL` in base64url, taken apart; `None` for what is none.
fn identifier(text: &str) -> Option<CertificateIdentifier<'static>> {
    let (key, serial) = text.split_once('.')?;
    Some(CertificateIdentifier {
        authority_key_identifier: key.to_owned().into(),
        serial: serial.to_owned().into(),
    })
}
