//! SCRAM-SHA-256 verifiers: what PostgreSQL keeps instead of a password (RFC 5802, RFC 7677).
//!
//! Keddah computes them itself, so that no plain password reaches the server, its log or
//! `pg_stat_statements`.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use keddah_core::Secret;
use sha2::{Digest, Sha256};

/// PostgreSQL's own number of iterations (`scram_iterations`).
pub const ITERATIONS: u32 = 4096;

/// The verifier of a password, in the form of `pg_authid.rolpassword`.
pub fn verifier(password: &Secret, salt: &[u8; 16]) -> Secret {
    let (stored, server) = keys(password.reveal(), salt, ITERATIONS);
    Secret::new(format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored),
        STANDARD.encode(server)
    ))
}

/// Whether the text already is a verifier, so that it can be stored as it is.
pub fn is_verifier(text: &str) -> bool {
    parse(text).is_some()
}

/// Whether a verifier belongs to this password.
pub fn matches(verifier: &str, password: &str) -> bool {
    let Some(Parts { iterations, salt, stored }) = parse(verifier) else { return false };
    keys(password, &salt, iterations).0 == stored[..]
}

/// What of a verifier a password is compared with.
struct Parts {
    iterations: u32,
    salt: Vec<u8>,
    stored: Vec<u8>,
}

fn parse(text: &str) -> Option<Parts> {
    let rest = text.strip_prefix("SCRAM-SHA-256$")?;
    let (head, tail) = rest.split_once('$')?;
    let (iterations, salt) = head.split_once(':')?;
    let (stored, server) = tail.split_once(':')?;
    let stored = STANDARD.decode(stored).ok().filter(|key| key.len() == 32)?;
    STANDARD.decode(server).ok().filter(|key| key.len() == 32)?;
    Some(Parts { iterations: iterations.parse().ok()?, salt: STANDARD.decode(salt).ok()?, stored })
}

fn keys(password: &str, salt: &[u8], iterations: u32) -> ([u8; 32], [u8; 32]) {
    // PostgreSQL falls back to the raw bytes when a password is not valid for SASLprep.
    let prepared = stringprep::saslprep(password);
    let password = prepared.as_deref().unwrap_or(password);
    // The keyed state is made once: half the work of every iteration.
    let keyed = keyed(password.as_bytes());
    let sign = |data: &[u8]| -> [u8; 32] {
        let mut mac = keyed.clone();
        mac.update(data);
        mac.finalize().into_bytes().into()
    };
    let mut block = sign(&[salt, &1_u32.to_be_bytes()].concat());
    let mut salted = block;
    for _ in 1..iterations {
        block = sign(&block);
        for (sum, byte) in salted.iter_mut().zip(block) {
            *sum ^= byte;
        }
    }
    let client = hmac(&salted, b"Client Key");
    (Sha256::digest(client).into(), hmac(&salted, b"Server Key"))
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = keyed(key);
    mac.update(data);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3: user `user`, password `pencil`.
    #[test]
    fn the_keys_are_those_of_the_rfc() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let (stored, server) = keys("pencil", &salt, 4096);
        assert_eq!(STANDARD.encode(stored), "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=");
        assert_eq!(STANDARD.encode(server), "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
    }

    #[test]
    fn a_verifier_matches_its_password_only() {
        let made = verifier(&Secret::new("DBUser.Meta"), &[7; 16]);
        assert!(is_verifier(made.reveal()));
        assert!(matches(made.reveal(), "DBUser.Meta"));
        assert!(!matches(made.reveal(), "DBUser.meta"));
        assert!(!matches("md5abc", "DBUser.Meta"));
    }
}
