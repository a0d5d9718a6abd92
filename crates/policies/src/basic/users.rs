// SPDX-License-Identifier: Apache-2.0
use super::config::BasicUser;
use std::collections::HashMap;
use std::sync::Arc;
use tidegate_contract::Identity;
use tidegate_core::StableHash;
use tidegate_passwords::Hashed;

/// What a user is known by.
const SCHEME: &str = "basic";

/// Somebody who has a password.
pub(super) struct User {
    pub(super) password: Arc<Hashed>,
    pub(super) identity: Arc<Identity>,
}

/// All of them, by name; at least one.
pub(super) struct Users {
    by_name: HashMap<String, User>,
    /// All hashes, in the order in which they were written.
    hashes: Vec<Arc<Hashed>>,
}

impl Users {
    /// Those of the settings, and the lines `NAME:HASH` of a file.
    ///
    /// # Errors
    /// A hash that is none, a user without one or with two, or no user at all.
    pub(super) fn new(users: Vec<BasicUser>, file: &str) -> Result<Self, String> {
        let mut passwords: HashMap<String, &str> = HashMap::new();
        for (number, line) in lines(file) {
            let split = line.split_once(':');
            let (name, hash) =
                split.ok_or_else(|| format!("`htpasswd` line {number} has no `:`"))?;
            if passwords.insert(name.to_owned(), hash).is_some() {
                return Err(format!("`htpasswd` line {number}: the user is there twice"));
            }
        }
        let mut made = Self {
            by_name: HashMap::new(),
            hashes: Vec::new(),
        };
        for user in users {
            let own = user.password.as_ref().map(|text| text.reveal());
            let hash = match (own, passwords.remove(&user.name)) {
                (Some(hash), None) | (None, Some(hash)) => hash.to_owned(),
                (None, None) => return Err(format!("user `{}` has no password", user.name)),
                (Some(_), Some(_)) => return Err(format!("user `{}` has two", user.name)),
            };
            made.add(user, &hash)?;
        }
        let mut rest: Vec<_> = passwords.into_iter().collect();
        rest.sort();
        for (name, hash) in rest {
            let user = BasicUser {
                name,
                password: None,
                roles: Vec::new(),
                scopes: Vec::new(),
                claims: Vec::new(),
            };
            made.add(user, hash)?;
        }
        match made.hashes.is_empty() {
            true => Err("there is no user".into()),
            false => Ok(made),
        }
    }

    fn add(&mut self, user: BasicUser, hash: &str) -> Result<(), String> {
        let password = Hashed::parse(hash);
        let password =
            password.map_err(|error| format!("the password of `{}` {error}", user.name))?;
        let password = Arc::new(password);
        self.hashes.push(password.clone());
        let claims = user.claims.into_iter();
        let claims = claims.map(|(name, text)| (name, text.into())).collect();
        let mut identity = Identity::new(SCHEME, user.name.clone()).with_claims(claims);
        identity.roles = user.roles;
        identity.scopes = user.scopes;
        let identity = Arc::new(identity);
        let known = self.by_name.insert(user.name, User { password, identity });
        known.map_or(Ok(()), |user| {
            Err(format!("user `{}` is there twice", user.identity.subject))
        })
    }

    pub(super) fn get(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    /// What the password of somebody unknown is compared with: for each name the same, so that names that are
    /// known take no other time, even where hashes differ in what they cost.
    pub(super) fn stand_in(&self, name: &str) -> Option<Arc<Hashed>> {
        let count = self.hashes.len().max(1) as u64;
        let at = StableHash::of(name.as_bytes()) % count;
        self.hashes.get(at as usize).cloned()
    }
}

/// The lines of a file that say something, with their numbers.
fn lines(file: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = file.lines().enumerate();
    numbered
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}
