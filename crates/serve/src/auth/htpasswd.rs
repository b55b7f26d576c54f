//! Users with passwords: Apache's htpasswd files, bcrypt only.
//!
//! bcrypt is slow on purpose, so a password that was right is remembered for some minutes (as a keyed
//! hash, in memory), and few are compared at one moment: otherwise anybody could keep the processors busy.

use super::basic;
use super::bcrypt::{Hash, PASSWORD_LIMIT_BYTES};
use crate::limits::{PASSWORD_CHECKS, PASSWORD_COST, PASSWORD_MEMORY, PASSWORDS_REMEMBERED};
use crate::refusal::Refusal;
use crate::watched::Watched;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;

/// Users and the hashes of their passwords.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Users(HashMap<String, Hash>);

impl Users {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
        let mut users = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |what: &str| format!("line {}: {what}", number + 1);
            let (user, hash) = line.split_once(':').ok_or_else(|| at("has no `:`"))?;
            let hash = Hash::parse(hash).ok_or_else(|| {
                let user = user.escape_debug();
                at(&format!("the password of `{user}` is not hashed with bcrypt, or for too long"))
            })?;
            users.insert(user.to_owned(), hash);
        }
        Ok(Self(users))
    }
}

pub(super) struct Passwords {
    users: Watched<Users>,
    checks: Arc<Semaphore>,
    nobody: Hash,
    /// What makes the hashes of remembered passwords worthless elsewhere.
    key: ring::hmac::Key,
    remembered: Mutex<HashMap<Vec<u8>, Instant>>,
}

impl Passwords {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let mut key = [0; 32];
        sys::time::random(&mut key).map_err(|errno| format!("no random number: {errno}"))?;
        Ok(Self {
            nobody: Hash::make(&oci::base64::encode(&key), PASSWORD_COST, [0; 16]),
            users: Watched::open(path, Users::parse)?,
            checks: Arc::new(Semaphore::new(PASSWORD_CHECKS)),
            key: ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key),
            remembered: Mutex::new(HashMap::new()),
        })
    }

    /// The user of a header, if the password is right.
    pub(super) async fn check(
        &self,
        shown: &str,
        tell: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Option<String>, Refusal> {
        let Some((user, password)) = basic(shown) else { return Ok(None) };
        let users = self.users.get(&|text| tell(text));
        let known = users.0.get(&user).cloned();
        // Nobody has this one: a user who is not there takes the same time.
        let hash = known.clone().unwrap_or_else(|| self.nobody.clone());
        // The hash of the file is part of it: another password there makes this one worthless.
        let text = format!("{user}\0{hash}\0{password}").into_bytes();
        let name = ring::hmac::sign(&self.key, &text).as_ref().to_vec();
        if self.remembers(&name) {
            return Ok(Some(user));
        }
        let permit = self.checks.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Refusal::internal("the registry ends"))?;
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            hash.is_of(&password)
        });
        let right = task.await.map_err(|error| Refusal::internal(error.to_string()))?;
        if !right || known.is_none() {
            return Ok(None);
        }
        self.remember(name);
        Ok(Some(user))
    }

    fn remembers(&self, name: &[u8]) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(name).is_some_and(|since| since.elapsed() < PASSWORD_MEMORY)
    }

    fn remember(&self, name: Vec<u8>) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= PASSWORDS_REMEMBERED {
            remembered.retain(|_, since| since.elapsed() < PASSWORD_MEMORY);
        }
        if remembered.len() < PASSWORDS_REMEMBERED {
            remembered.insert(name, Instant::now());
        }
    }
}

/// A line of an htpasswd file.
pub fn hash_password(user: &str, password: &str) -> Result<String, String> {
    if user.is_empty() || user.contains(':') || user.chars().any(char::is_control) {
        return Err("a user's name is not empty, and has no `:` in it".into());
    }
    if password.is_empty() || password.len() > PASSWORD_LIMIT_BYTES || password.contains('\0') {
        return Err(format!("a password has 1 to {PASSWORD_LIMIT_BYTES} bytes"));
    }
    let mut salt = [0; 16];
    sys::time::random(&mut salt).map_err(|errno| format!("no random number: {errno}"))?;
    Ok(format!("{user}:{}", Hash::make(password, PASSWORD_COST, salt)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_those_of_apache() {
        let line = hash_password("ann", "secret").unwrap();
        assert!(line.starts_with("ann:$2y$10$"), "{line}");
        let bob = Hash::make("x", 4, [1; 16]);
        let text = format!("# users\n\n{line}\nbob:{bob}\n");
        let users = Users::parse(text.as_bytes()).unwrap();
        assert!(users.0["ann"].is_of("secret") && !users.0["ann"].is_of("Secret"));
        assert_eq!((users.0.len(), &users.0["bob"]), (2, &bob));
        let check = |text: &str, what: &str| {
            assert_eq!(Users::parse(text.as_bytes()).unwrap_err(), what);
        };
        check("ann", "line 1: has no `:`");
        let plain = "the password of `ann` is not hashed with bcrypt, or for too long";
        check("\nann:{SHA}x", &format!("line 2: {plain}"));
        check("ann:secret", &format!("line 1: {plain}"));
    }

    #[test]
    fn names_that_would_break_the_file_are_refused() {
        for user in ["", "a:b", "a\nb"] {
            assert!(hash_password(user, "secret").is_err());
        }
        assert!(hash_password("a", "").is_err());
        assert!(hash_password("a", &"x".repeat(73)).is_err());
    }
}
