// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use super::claims::Wanted;
use super::issuer::{Fault, Issuer};
use super::known::{self, Proof};
use super::places::{Found, Places};
use crate::edit;
use crate::refusal::refusal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tidegate_contract::{Answer, Document, Exchange, Filter, Flow, Identity, Phases};
use tidegate_core::ErrorKind;
use tidegate_jose::{Claims, Refusal, Token};

/// Every one made so far has its number, by which the threads know whose verified tokens they keep.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Lets in who brings a token.
pub struct Jwt {
    number: u64,
    issuers: Vec<Issuer>,
    places: Places,
    wanted: Wanted,
    /// In seconds.
    skew: u64,
    forward: bool,
    realm: String,
}

impl Jwt {
    /// The filter for these settings.
    ///
    /// # Errors
    /// Keys that cannot be read.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let wanted = Wanted::new(&settings);
        let issuers = settings.issuers.into_iter().map(Issuer::new);
        Ok(Self {
            number: MADE.fetch_add(1, Ordering::Relaxed),
            issuers: issuers.collect::<Result<_, _>>()?,
            places: Places {
                headers: settings.from_headers,
                cookies: settings.from_cookies,
                query: settings.from_query,
            },
            wanted,
            skew: settings.clock_skew.0 / 1000,
            forward: settings.forward,
            realm: settings.realm,
        })
    }

    /// Who brings this token; it is remembered.
    fn identity(&self, text: &[u8], now: u64) -> Result<Arc<Identity>, Fault> {
        let token = Token::read(text)?;
        let claims = token.claims()?;
        let own = Claims(&claims).issuer()?;
        let fits = |issuer: &Issuer| issuer.name.is_none() || issuer.name.as_deref() == own;
        let place = self.issuers.iter().position(fits).ok_or(Refusal::Issuer)?;
        let issuer = self.issuers.get(place).ok_or(Refusal::Issuer)?;
        // Before the keys are looked at: what they become meanwhile is another version.
        let version = issuer.version();
        self.wanted.check(&claims)?;
        let until = issuer.verify(&token, Claims(&claims), now, self.skew)?;
        let identity = Arc::new(self.wanted.identity(claims)?);
        let proof = Proof {
            identity: identity.clone(),
            until,
            issuer: place,
            version,
        };
        known::keep(self.number, text, proof);
        Ok(identity)
    }

    /// Who brought this token before, if it is still good.
    fn known(&self, text: &[u8], now: u64) -> Option<Arc<Identity>> {
        known::find(self.number, text, |proof| {
            let issuer = self.issuers.get(proof.issuer);
            proof.until > now && issuer.is_some_and(|issuer| issuer.version() == proof.version)
        })
    }

    /// Goes on as whoever calls, or answers. The token goes no further either way.
    fn settled<'a>(
        &self,
        exchange: &mut Exchange,
        outcome: Result<Arc<Identity>, Answer>,
    ) -> Flow<'a> {
        if !self.forward && self.places.clear(&mut exchange.request).is_err() {
            return edit::failed();
        }
        match outcome {
            Ok(identity) => {
                exchange.identity = Some(identity);
                Flow::Continue
            }
            Err(answer) => Flow::Respond(Box::new(answer)),
        }
    }

    /// The answer without a token that is taken: RFC 6750 §3.
    fn challenge(&self, status: u16, error: &str, told: &'static str) -> Answer {
        let mut answer = refusal(status, told);
        let realm = &self.realm;
        let value = match error {
            "" => format!("Bearer realm=\"{realm}\""),
            _ => {
                format!("Bearer realm=\"{realm}\", error=\"{error}\", error_description=\"{told}\"")
            }
        };
        // There is room for three.
        let _ = answer.fields.append(b"WWW-Authenticate", value.as_bytes());
        answer
    }

    fn refused(&self, why: Refusal) -> Answer {
        // What helps an honest client. The rest would help those who try.
        let told = match why {
            Refusal::Expired | Refusal::NotYet | Refusal::Audience => why.detail(),
            _ => "the token is not valid",
        };
        let mut answer = self.challenge(401, "invalid_token", told);
        answer.error = Some((ErrorKind::HttpRequestDenied, why.detail()));
        answer
    }
}

/// There is nothing to judge a token by, which is not its bearer's fault.
fn keyless() -> Answer {
    let detail = "the keys of the token's issuer are not to be had";
    let mut answer = refusal(503, detail);
    let _ = answer.fields.append(b"Retry-After", b"5");
    answer.error = Some((ErrorKind::DestinationUnavailable, detail));
    answer
}

impl Filter for Jwt {
    fn share(&mut self, known: &dyn Fn(Arc<Document>) -> Arc<Document>) {
        self.issuers
            .iter_mut()
            .for_each(|issuer| issuer.share(known));
    }

    fn phases(&self) -> Phases {
        Phases {
            request: true,
            ..Phases::default()
        }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange, _position: usize) -> Flow<'a> {
        let now = exchange.received;
        let text = match self.places.find(&exchange.request) {
            Found::One(text) => text,
            Found::Nothing => {
                let answer = self.challenge(401, "", "a token is needed");
                return self.settled(exchange, Err(answer));
            }
            Found::Several => {
                let told = "there is more than one token";
                let answer = self.challenge(400, "invalid_request", told);
                return self.settled(exchange, Err(answer));
            }
        };
        if let Some(identity) = self.known(&text, now) {
            return self.settled(exchange, Ok(identity));
        }
        let (newer, answer) = match self.identity(&text, now) {
            Ok(identity) => return self.settled(exchange, Ok(identity)),
            Err(Fault::Refused(why)) => (None, self.refused(why)),
            Err(Fault::Outdated(why, document)) => (document.newer(), self.refused(why)),
            Err(Fault::Keyless(document)) => (document.newer(), keyless()),
        };
        let Some(newer) = newer else {
            return self.settled(exchange, Err(answer));
        };
        let text = text.into_owned();
        Flow::Wait(Box::pin(async move {
            newer.await;
            let outcome = self.identity(&text, now).map_err(|fault| match fault {
                Fault::Refused(why) | Fault::Outdated(why, _) => self.refused(why),
                Fault::Keyless(_) => keyless(),
            });
            self.settled(exchange, outcome)
        }))
    }

    fn is_pure(&self) -> bool {
        !self.issuers.iter().any(Issuer::asks)
    }
}
