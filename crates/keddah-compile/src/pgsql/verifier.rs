//! Password verifiers: secret, stable, and the same on all nodes, so that PgBouncer's copy equals
//! PostgreSQL's and a login can be passed through.

use hmac::{Hmac, KeyInit, Mac};
use keddah_core::Secret;
use keddah_inventory::model::{PgUser, State};
use keddah_inventory::{Params, parameters};
use keddah_resource::{NodeFacts, VerifierProbe, scram};
use md5::Digest;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

/// Which verifiers an instance is asked for: those of roles with a password, unless that is a hash.
pub(crate) fn probe(params: &Params<'_>) -> Option<VerifierProbe> {
    let mut roles: Vec<String> = PgUser::all(params)
        .into_iter()
        .filter(|user| user.state == State::Present && plain_password(user).is_some())
        .map(|user| user.name)
        .collect();
    roles.sort();
    roles.dedup();
    let connection = super::connection(params);
    let cluster = params.get(parameters::PG_CLUSTER);
    (!roles.is_empty()).then_some(VerifierProbe { cluster, connection, roles })
}

/// The password of a user, unless the inventory has a hash of it.
fn plain_password(user: &PgUser) -> Option<&Secret> {
    let password = user.password.as_ref()?;
    (!scram::is_verifier(password.reveal()) && !is_md5(password.reveal())).then_some(password)
}

/// What a cluster has of its roles' passwords: what its leader says, or else any member that serves.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    verifiers: BTreeMap<String, Secret>,
    /// Whether the cluster takes MD5 hashes; where it asks for SCRAM, who has one cannot log in.
    md5: bool,
}

impl Stored {
    /// From the facts of a cluster's nodes, the leader's first.
    pub fn of<'f>(
        cluster: &str,
        params: &Params<'_>,
        facts: impl Iterator<Item = &'f NodeFacts>,
    ) -> Self {
        let mut told = facts.flat_map(|node| &node.verifiers);
        let told = told.find(|told| told.cluster == cluster);
        let roles = told.map(|told| told.roles.as_slice()).unwrap_or_default();
        let pairs = roles.iter().map(|one| (one.role.clone(), one.verifier.clone()));
        Self { verifiers: pairs.collect(), md5: params.get(parameters::PG_PWD_ENC) == "md5" }
    }

    /// What is kept of a user, where that fits the declared password.
    fn fits(&self, user: &PgUser) -> Option<&Secret> {
        let stored = self.verifiers.get(&user.name)?;
        let password = plain_password(user)?.reveal();
        let fits = match stored.reveal().strip_prefix("md5") {
            // The user's name is the salt (PostgreSQL's manual, "Password Authentication").
            Some(hash) if self.md5 => {
                let bytes = md5::Md5::digest(format!("{password}{}", user.name));
                bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == hash
            }
            Some(_) => false,
            None => scram::matches(stored.reveal(), password),
        };
        fits.then_some(stored)
    }
}

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

    /// The verifier that a cluster should have of a user: the one that it has, as long as that fits the
    /// declared password, so that nobody is locked out while it is exchanged for an equal one.
    pub fn kept(&self, user: &PgUser, stored: &Stored) -> Option<Secret> {
        let own = self.of(user)?;
        if stored.verifiers.get(&user.name) == Some(&own) {
            return Some(own);
        }
        Some(stored.fits(user).cloned().unwrap_or(own))
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
