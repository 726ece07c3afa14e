//! What accounts of a node are given: keys to log in with, and aliases in their shells.

use super::{Report, error};
use crate::Value;
use crate::registry::scalar_text;
use crate::{Params, parameters};

/// Kinds of keys that OpenSSH knows (sshd(8), "AUTHORIZED_KEYS FILE FORMAT").
const KINDS: &[&str] = &[
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "ssh-dss",
    "ssh-ed25519",
    "ssh-rsa",
];

pub(super) fn check(report: &mut Report<'_>) {
    let inventory = report.inventory;
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        keys(report, &params);
        aliases(report, &params);
    }
}

fn keys(report: &mut Report<'_>, params: &Params<'_>) {
    let name = "node_admin_pk_list";
    for (at, (value, line)) in
        params.named::<Vec<Value>>(name).iter().zip(params.named::<Vec<String>>(name)).enumerate()
    {
        if line.trim().is_empty() || line.trim().starts_with('#') || is_key(&line) {
            continue;
        }
        // What stands there may be a private key.
        report.add(
            error(
                "bad-key",
                value.span.or_else(|| params.span(name)),
                format!("item {} of `{name}` is no public key that sshd takes", at + 1),
            )
            .help("one line of a .pub file: ssh-ed25519 AAAA… somebody@somewhere"),
        );
    }
}

/// Whether a line of authorized_keys has a key: options or none, its kind, and the key itself, which
/// begins with its kind.
fn is_key(line: &str) -> bool {
    if line.trim().contains('\n') {
        return false;
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).any(|pair| {
        let kind = pair[0];
        let plain = kind.strip_suffix("-cert-v01@openssh.com").unwrap_or(kind);
        (KINDS.contains(&kind) || KINDS.contains(&plain)) && begins_with(pair[1], kind)
    })
}

/// Whether a text in base64 begins with a name and its length in four bytes (RFC 4253, 6.6).
fn begins_with(blob: &str, kind: &str) -> bool {
    let length = u32::try_from(kind.len()).unwrap_or_default().to_be_bytes();
    let bytes: Vec<u8> = length.into_iter().chain(kind.bytes()).collect();
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Option<Vec<u8>> = blob.trim_end_matches('=').bytes().map(digit).collect();
    let Some(digits) = digits else { return false };
    let bit = |at: usize| digits.get(at / 6).map(|digit| digit >> (5 - at % 6) & 1);
    (0..bytes.len() * 8).all(|at| bit(at) == Some(bytes[at / 8] >> (7 - at % 8) & 1))
}

fn aliases(report: &mut Report<'_>, params: &Params<'_>) {
    for (name, command) in params.get(parameters::NODE_ALIASES) {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.+:@%,-".contains(letter);
        let named = !name.text.is_empty()
            && !name.text.starts_with('-')
            && name.text.chars().all(plain)
            && scalar_text(&command).is_some();
        if named {
            continue;
        }
        report.add(
            error(
                "bad-alias",
                name.span.or_else(|| params.span(parameters::NODE_ALIASES)),
                format!("`{}` in `node_aliases` cannot be an alias", name.text),
            )
            .help("a name of letters, digits and `_ . + : @ % , -`, and its command as one text"),
        );
    }
}
