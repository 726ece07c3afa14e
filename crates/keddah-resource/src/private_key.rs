//! Private keys in the formats that OpenSSL has written over the years, read as one.
//!
//! Keys of RSA and of elliptic curves once had formats of their own (PKCS#1, RFC 8017, A.1.2; SEC 1,
//! RFC 5915), which every TLS library still reads. They are usable, and no reason to make new ones.

use base64::{Engine, engine::general_purpose::STANDARD};
use keddah_core::Secret;

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// The curve of a SEC 1 key, `parameters [0]`.
const PARAMETERS: u8 = 0xa0;

/// Version 0 of PKCS#8 (RFC 5208).
const VERSION: [u8; 3] = [0x02, 0x01, 0x00];
/// `rsaEncryption` and its empty parameters.
const RSA: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// `id-ecPublicKey`.
const ELLIPTIC: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// The key of a PEM file as PKCS#8 in PEM; `None` when there is none that can be read without a
/// passphrase.
pub fn as_pkcs8(pem: &str) -> Option<Secret> {
    if block(pem, "PRIVATE KEY").is_some() {
        return Some(Secret::new(pem));
    }
    let der = if let Some(key) = block(pem, "RSA PRIVATE KEY") {
        wrapped(&RSA, &key)
    } else {
        let key = block(pem, "EC PRIVATE KEY")?;
        let (curve, key) = without_curve(&key)?;
        wrapped(&element(SEQUENCE, &[&ELLIPTIC[..], &curve].concat()), &key)
    };
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        // A line of PEM has 64 characters (RFC 7468).
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    Some(Secret::new(pem))
}

/// The bytes of the block with this label; an encrypted one has headers, which are no Base64.
fn block(pem: &str, label: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let text: String = body.split_whitespace().collect();
    STANDARD.decode(text).ok()
}

fn wrapped(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let key = element(OCTET_STRING, key);
    element(SEQUENCE, &[&VERSION[..], algorithm, &key].concat())
}

/// The curve of a SEC 1 key, and the key without it: that is how OpenSSL, too, puts it into PKCS#8.
fn without_curve(key: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (SEQUENCE, mut rest, _) = split(key)? else { return None };
    let (mut curve, mut kept) = (None, Vec::new());
    while !rest.is_empty() {
        let (tag, content, after) = split(rest)?;
        if tag == PARAMETERS {
            let (OBJECT_IDENTIFIER, ..) = split(content)? else { return None };
            curve = Some(content.to_vec());
        } else {
            kept.extend_from_slice(&rest[..rest.len() - after.len()]);
        }
        rest = after;
    }
    Some((curve?, element(SEQUENCE, &kept)))
}

/// One element of DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut bytes = vec![tag];
    match (content.len(), u8::try_from(length.len())) {
        (0..=0x7f, _) => bytes.push(length.first().copied().unwrap_or_default()),
        (_, Ok(count)) => {
            bytes.push(0x80 | count);
            bytes.extend(length);
        }
        (_, Err(_)) => unreachable!("a length has eight bytes at the most"),
    }
    bytes.extend_from_slice(content);
    bytes
}

/// The first element of DER: its tag, its content, and what follows.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        let digits = rest.get(..count).filter(|_| (1..=4).contains(&count))?;
        let length = digits.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        (length, rest.get(count..)?)
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_written_as_they_are_read() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; length];
            let bytes = element(OCTET_STRING, &content);
            assert_eq!(split(&bytes), Some((OCTET_STRING, &content[..], &[][..])), "{length}");
            assert_eq!(split(&bytes[..bytes.len() - 1]), None, "{length}");
        }
        assert_eq!(split(&[0x30, 0x89, 0, 0]), None);
    }

    #[test]
    fn what_needs_a_passphrase_or_is_no_key_is_none() {
        let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: \
                         AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        for text in
            [encrypted, "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            assert!(as_pkcs8(text).is_none(), "{text}");
        }
    }
}
