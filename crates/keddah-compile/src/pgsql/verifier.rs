//! Password verifiers: secret, stable, and the same on all nodes, so that PgBouncer's copy equals
//! PostgreSQL's and a login can be passed through.

use hmac::{Hmac, KeyInit, Mac};
use keddah_core::Secret;
use keddah_inventory::model::PgUser;
use keddah_resource::scram;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Makes verifiers, each once: thousands of iterations are the point of them.
#[derive(Debug)]
pub(crate) struct Verifiers {
    seed: Secret,
    made: Mutex<HashMap<(String, String), Secret>>,
}

impl Verifiers {
    /// Verifiers whose salts come from this seed.
    pub fn new(seed: Secret) -> Self {
        Self { seed, made: Mutex::default() }
    }

    /// A user's verifier: as given, or made from the password; `None` without a password.
    pub fn of(&self, user: &PgUser) -> Option<Secret> {
        let password = user.password.as_ref()?;
        if scram::is_verifier(password.reveal()) || is_md5(password.reveal()) {
            return Some(password.clone());
        }
        Some(self.made(&user.name, password))
    }

    fn made(&self, role: &str, password: &Secret) -> Secret {
        let key = (role.to_owned(), password.reveal().to_owned());
        // Not locked while one is made: clusters are compiled beside each other.
        let made = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verifier) = made().get(&key) {
            return verifier.clone();
        }
        let verifier = scram::verifier(password, &self.salt(role));
        made().entry(key).or_insert(verifier).clone()
    }

    /// A verifier of a password that nobody knows, for a role that proves itself in other ways.
    pub fn of_nobody(&self, role: &str) -> Secret {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(self.seed.reveal().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(b"nobody's-password\0");
        mac.update(role.as_bytes());
        let bytes = mac.finalize().into_bytes();
        let password: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.made(role, &Secret::new(password))
    }

    /// Must not depend on the password: a salt that does would let guesses be tested cheaply.
    fn salt(&self, role: &str) -> [u8; 16] {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(self.seed.reveal().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(b"scram-salt\0");
        mac.update(role.as_bytes());
        let bytes = mac.finalize().into_bytes();
        let mut salt = [0; 16];
        salt.copy_from_slice(&bytes[..16]);
        salt
    }
}

/// A password that is already an MD5 hash, as older inventories hold them.
pub(super) fn is_md5(password: &str) -> bool {
    password.strip_prefix("md5").is_some_and(|digest| {
        digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
