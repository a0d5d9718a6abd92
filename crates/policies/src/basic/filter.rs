// SPDX-License-Identifier: Apache-2.0
use super::config::Settings;
use super::users::Users;
use crate::edit;
use crate::refusal::refusal;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tidegate_contract::{Answer, Exchange, Filter, Flow, Identity, Phases};
use tidegate_core::Clock;
use tidegate_passwords::{Attempts, Busy, Checker, Known, credentials};
use tidegate_request::{FieldId, Request};
use tokio::sync::OnceCell;

type Digest = [u8; 32];

/// Lets those through who show the name and the password of a user.
pub struct Basic {
    users: Users,
    forward: bool,
    challenge: String,
    clock: Clock,
    known: Known,
    attempts: Attempts,
    checker: Checker,
    /// Credentials that are being checked: whoever shows the same waits for the same check.
    pending: Mutex<HashMap<Digest, Weak<OnceCell<bool>>>>,
}

/// Why somebody is not let in.
enum Refused {
    /// With what the log says.
    Wrong(&'static str),
    /// Seconds after which to come again.
    Later(u64, &'static str),
}

/// What a request shows.
struct Shown {
    name: String,
    password: Vec<u8>,
    digest: Digest,
}

impl Basic {
    /// The filter for these settings.
    ///
    /// # Errors
    /// A user without a password, with two, or with one whose hash is none.
    pub fn new(settings: Settings) -> Result<Self, String> {
        Self::with_clock(settings, Clock::system())
    }

    pub(super) fn with_clock(settings: Settings, clock: Clock) -> Result<Self, String> {
        let file = settings.htpasswd.as_ref().map(|text| text.reveal());
        Ok(Self {
            users: Users::new(settings.users, file.unwrap_or_default())?,
            forward: settings.forward,
            challenge: format!("Basic realm=\"{}\", charset=\"UTF-8\"", settings.realm),
            clock,
            known: Known::default(),
            attempts: Attempts::new(settings.attempts.into(), settings.window.0),
            checker: Checker::default(),
            pending: Mutex::default(),
        })
    }

    fn shown(&self, request: &Request) -> Result<Shown, &'static str> {
        let mut values = request.fields().get_all(FieldId::Authorization);
        let first = values.next().ok_or("the request shows no password")?;
        if values.next().is_some() {
            return Err("the request has several fields `Authorization`");
        }
        const MALFORMED: &str = "the credentials are not of scheme Basic, or malformed";
        let (name, password) = credentials(first).ok_or(MALFORMED)?;
        let name = String::from_utf8(name).map_err(|_| MALFORMED)?;
        let is_text =
            std::str::from_utf8(&password).is_ok_and(|text| !text.contains(char::is_control));
        if name.contains(char::is_control) || !is_text {
            return Err(MALFORMED);
        }
        let digest = self.known.digest(name.as_bytes(), &password);
        Ok(Shown {
            name,
            password,
            digest,
        })
    }

    /// Whether the password is right; the answer costs what its hash is made to cost.
    async fn check(&self, address: IpAddr, shown: Shown) -> Result<Arc<Identity>, Refused> {
        const WRONG: Refused = Refused::Wrong("the user or the password is wrong");
        let pending = self.pending(shown.digest);
        let user = self.users.get(&shown.name);
        let first = || async {
            let begun = self.attempts.begin(address, self.clock.now());
            begun.map_err(|seconds| {
                Refused::Later(
                    seconds,
                    "the client's address has shown too many wrong passwords",
                )
            })?;
            let hashed = match user {
                Some(user) => Some(user.password.clone()),
                None => self.users.stand_in(&shown.name),
            };
            let checked = match hashed {
                Some(hashed) => self.checker.is_of(hashed, shown.password).await,
                None => Ok(false),
            };
            match checked {
                Ok(is_right) if is_right && user.is_some() => {
                    self.attempts.take_back(address);
                    self.known.remember(shown.digest, self.clock.now());
                    Ok(true)
                }
                Ok(_) => Ok(false),
                Err(Busy) => {
                    self.attempts.take_back(address);
                    Err(Refused::Later(1, "too many passwords wait for their check"))
                }
            }
        };
        let is_right = *pending.cell.get_or_try_init(first).await?;
        let user = user.filter(|_| is_right);
        user.map(|user| user.identity.clone()).ok_or(WRONG)
    }

    fn pending(&self, digest: Digest) -> Pending<'_> {
        let mut all = self.lock();
        let known = all.get(&digest).and_then(Weak::upgrade);
        let cell = known.unwrap_or_else(|| {
            let cell = Arc::default();
            all.insert(digest, Arc::downgrade(&cell));
            cell
        });
        Pending {
            basic: self,
            digest,
            cell,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Weak<OnceCell<bool>>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, refused: Refused) -> Flow<'_> {
        let (mut answer, field, value, detail) = match refused {
            // Whether there is such a user is for the log of nobody, either.
            Refused::Wrong(detail) => {
                let answer = refusal(401, "a name and a password that are known here are needed");
                (answer, "WWW-Authenticate", self.challenge.clone(), detail)
            }
            Refused::Later(seconds, detail) => {
                let answer = refusal(429, "too many passwords were tried; come again later");
                (answer, "Retry-After", seconds.to_string(), detail)
            }
        };
        answer.error = answer.error.map(|(kind, _)| (kind, detail));
        match answer.fields.append(field.as_bytes(), value.as_bytes()) {
            Ok(()) => Flow::Respond(Box::<Answer>::new(answer)),
            Err(_) => edit::failed(),
        }
    }
}

impl Filter for Basic {
    fn phases(&self) -> Phases {
        Phases {
            request: true,
            ..Phases::default()
        }
    }

    fn request<'a>(&'a self, exchange: &'a mut Exchange, _position: usize) -> Flow<'a> {
        let shown = self.shown(&exchange.request);
        if !self.forward {
            let mut fields = exchange.request.fields_mut();
            if fields.remove_id(FieldId::Authorization).is_err() {
                return edit::failed();
            }
        }
        let shown = match shown {
            Ok(shown) => shown,
            Err(detail) => return self.refused(Refused::Wrong(detail)),
        };
        let user = self.users.get(&shown.name);
        if let Some(user) = user.filter(|_| self.known.has(&shown.digest, self.clock.now())) {
            exchange.identity = Some(user.identity.clone());
            return Flow::Continue;
        }
        Flow::Wait(Box::pin(async move {
            match self.check(exchange.client.address, shown).await {
                Ok(identity) => {
                    exchange.identity = Some(identity);
                    Flow::Continue
                }
                Err(refused) => self.refused(refused),
            }
        }))
    }

    /// A check takes long on purpose, and counts.
    fn is_pure(&self) -> bool {
        false
    }
}

/// A check that somebody waits for. The last one takes it out of the list.
struct Pending<'a> {
    basic: &'a Basic,
    digest: Digest,
    cell: Arc<OnceCell<bool>>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut all = self.basic.lock();
        if Arc::strong_count(&self.cell) == 1 {
            all.remove(&self.digest);
        }
    }
}
