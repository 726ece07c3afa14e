//! Options of the chosen backup repository that pgBackRest would refuse: nothing is archived and no
//! backup taken then, which nobody sees before one is needed.
//!
//! What it takes was tried with pgBackRest 2.55; its configuration reference, "Repository Options", names
//! the values.

use super::{Report, error, warning};
use crate::registry::nearest;
use crate::{Data, Key, Params, Value, parameters};
use indexmap::IndexMap;
use keddah_core::Span;
use std::collections::BTreeMap;

/// What an option takes.
enum Takes {
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// `y` or `n`.
    Flag,
    /// A whole number in this range.
    Number(i64, i64),
    /// A size in this range of bytes.
    Size(u64, u64),
    /// An absolute path.
    Path,
    /// Anything: it counts for the names alone.
    Anything,
}

use Takes::{Anything, Flag, Number, OneOf, Path, Size};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const PIB: u64 = 1 << 50;

/// All options of a repository, without their prefix `repo1-`, older names included.
const OPTIONS: &[(&str, Takes)] = &[
    ("azure-account", Anything),
    ("azure-container", Anything),
    ("azure-endpoint", Anything),
    ("azure-key", Anything),
    ("azure-key-type", OneOf(&["shared", "sas", "auto"])),
    ("azure-port", Number(1, 65_535)),
    ("azure-uri-style", OneOf(&["host", "path"])),
    ("azure-verify-tls", Flag),
    ("block", Flag),
    ("bundle", Flag),
    ("bundle-limit", Size(8 * KIB, PIB)),
    ("bundle-size", Size(MIB, PIB)),
    ("cipher-pass", Anything),
    ("cipher-type", OneOf(&["none", "aes-256-cbc"])),
    ("gcs-bucket", Anything),
    ("gcs-endpoint", Anything),
    ("gcs-key", Anything),
    ("gcs-key-type", OneOf(&["auto", "service", "token"])),
    ("hardlink", Flag),
    ("host", Anything),
    ("host-ca-file", Anything),
    ("host-cert-file", Anything),
    ("host-cmd", Anything),
    ("host-config", Anything),
    ("host-key-file", Anything),
    ("host-port", Anything),
    ("host-type", OneOf(&["ssh", "tls"])),
    ("host-user", Anything),
    ("path", Path),
    ("retention-archive", Number(1, 9_999_999)),
    ("retention-archive-type", OneOf(&["full", "diff", "incr"])),
    ("retention-diff", Number(1, 9_999_999)),
    ("retention-full", Number(1, 9_999_999)),
    ("retention-full-type", OneOf(&["count", "time"])),
    ("retention-history", Number(0, 9_999_999)),
    ("s3-bucket", Anything),
    ("s3-endpoint", Anything),
    ("s3-key", Anything),
    ("s3-key-secret", Anything),
    ("s3-key-type", OneOf(&["shared", "auto", "web-id", "pod-id"])),
    ("s3-kms-key-id", Anything),
    ("s3-port", Number(1, 65_535)),
    ("s3-region", Anything),
    ("s3-requester-pays", Flag),
    ("s3-role", Anything),
    ("s3-token", Anything),
    ("s3-uri-style", OneOf(&["host", "path"])),
    ("s3-verify-ssl", Flag),
    ("s3-verify-tls", Flag),
    ("sftp-host", Anything),
    ("sftp-host-fingerprint", Anything),
    ("sftp-host-key-check-type", OneOf(&["strict", "accept-new", "fingerprint", "none"])),
    ("sftp-host-key-hash-type", OneOf(&["md5", "sha1", "sha256"])),
    ("sftp-host-port", Number(1, 65_535)),
    ("sftp-host-user", Anything),
    ("sftp-known-host", Anything),
    ("sftp-private-key-file", Anything),
    ("sftp-public-key-file", Anything),
    ("storage-ca-file", Anything),
    ("storage-ca-path", Anything),
    ("storage-host", Anything),
    ("storage-port", Number(1, 65_535)),
    ("storage-tag", Anything),
    ("storage-upload-chunk-size", Size(64 * KIB, TIB)),
    ("storage-verify-tls", Flag),
    ("type", OneOf(&["azure", "cifs", "gcs", "posix", "s3", "sftp"])),
];

/// Without these, pgBackRest does nothing with a repository of this type.
const REQUIRED: &[(&str, &[&str])] = &[
    ("s3", &["s3-bucket", "s3-endpoint", "s3-region"]),
    ("azure", &["azure-account", "azure-container"]),
    ("gcs", &["gcs-bucket"]),
    ("sftp", &["sftp-host", "sftp-host-user", "sftp-host-key-hash-type", "sftp-private-key-file"]),
];

/// An option as it is written.
struct Written {
    text: String,
    span: Option<Span>,
}

pub(super) fn check(report: &mut Report<'_>) {
    for cluster in report.clusters.clone() {
        for member in &cluster.members {
            let params = &member.params;
            if params.get(parameters::PGBACKREST_ENABLED) {
                chosen(report, params);
            }
        }
    }
}

fn chosen(report: &mut Report<'_>, params: &Params<'_>) {
    let method = params.get(parameters::PGBACKREST_METHOD);
    let repositories = params.get(parameters::PGBACKREST_REPO);
    let Some((name, entries)) = repositories.iter().find(|(name, _)| name.text == method) else {
        return;
    };
    let Some(entries) = entries.as_map() else { return };
    let place = name.span.or_else(|| params.span(parameters::PGBACKREST_REPO));
    let written = written(entries, place);
    let of = |option: &str| written.get(option).map_or("", |one| one.text.as_str());
    let kind = of("type");
    for (option, one) in &written {
        let known = OPTIONS.iter().find(|(name, _)| name == option);
        match known {
            // It reads all of these before anything else.
            Some((_, takes)) if matches!(takes, Flag) || counts(option, kind, of("bundle")) => {
                if let Some(why) = takes.refuses(&one.text) {
                    let message = format!("`{option}` of the backup repository `{method}` {why}");
                    report.add(
                        error("bad-repository", one.span, message)
                            .help("pgBackRest would neither archive WAL nor take backups with it"),
                    );
                }
            }
            Some(_) => {}
            None => misspelt(report, option, one, &method),
        }
    }
    if !of("host").is_empty() {
        // The other host's own configuration says the rest.
        return;
    }
    let required = REQUIRED.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, all)| *all);
    let keys: &[&str] = match (kind, of("s3-key-type"), of("azure-key-type"), of("gcs-key-type")) {
        ("s3", "" | "shared", _, _) => &["s3-key", "s3-key-secret"],
        ("azure", _, "" | "shared" | "sas", _) => &["azure-key"],
        ("gcs", _, _, "" | "service" | "token") => &["gcs-key"],
        _ => &[],
    };
    let ciphered = !matches!(of("cipher-type"), "" | "none");
    let missing = required.iter().chain(keys).chain(ciphered.then_some(&"cipher-pass"));
    let missing: Vec<String> = missing
        .filter(|option| of(option).is_empty())
        .map(|option| format!("`{}`", option.replace('-', "_")))
        .collect();
    if !missing.is_empty() {
        let message = format!("the backup repository `{method}` needs {}", missing.join(", "));
        report.error("bad-repository", place, message);
    }
}

/// A name that pgBackRest does not know is left out by it, with a line in a log that nobody reads. One
/// that is like no other may be of a newer version.
fn misspelt(report: &mut Report<'_>, option: &str, one: &Written, method: &str) {
    let Some(near) = nearest(option, OPTIONS.iter().map(|(name, _)| *name)) else { return };
    let message = format!(
        "the backup repository `{method}` has an option `{option}`, which pgBackRest ignores"
    );
    let found = warning("unknown-repository-option", one.span, message);
    report.add(found.help(format!("did you mean `{}`?", near.replace('-', "_"))));
}

/// The options by pgBackRest's names, as the compiler writes them.
fn written(entries: &IndexMap<Key, Value>, place: Option<Span>) -> BTreeMap<String, Written> {
    let text = |value: &Value| {
        Some(match &value.data {
            Data::Null => return None,
            Data::Bool(true) => "y".to_owned(),
            Data::Bool(false) => "n".to_owned(),
            _ => match crate::to_json(value) {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            },
        })
    };
    let entries = entries.iter().filter_map(|(key, value)| {
        let option = key.text.replace('_', "-");
        let option = option.strip_prefix("repo1-").unwrap_or(&option).to_owned();
        let span = value.span.or(key.span).or(place);
        Some((option, Written { text: text(value)?, span }))
    });
    entries.collect()
}

/// Whether pgBackRest looks at an option: those of another type of repository it passes over.
fn counts(option: &str, kind: &str, bundle: &str) -> bool {
    let object_store = matches!(kind, "s3" | "azure" | "gcs");
    match option.split('-').next() {
        Some("azure" | "gcs" | "s3" | "sftp") => option.starts_with(kind) && !kind.is_empty(),
        Some("storage") => object_store,
        Some("bundle") if option != "bundle" => bundle == "y",
        _ => true,
    }
}

impl Takes {
    /// Why a value is refused.
    fn refuses(&self, value: &str) -> Option<String> {
        let is = |what: String| Some(format!("must be {what}, and is `{value}`"));
        let trimmed = value.trim();
        match self {
            Anything => None,
            OneOf(words) if words.contains(&trimmed) => None,
            OneOf(words) => is(format!("one of {}", words.join(", "))),
            Flag if matches!(trimmed, "y" | "n") => None,
            Flag => is("`y` or `n` (or true or false, without quotes)".to_owned()),
            Number(least, most) => match trimmed.parse::<i64>() {
                Ok(number) if (*least..=*most).contains(&number) => None,
                _ => is(format!("a whole number from {least} to {most}")),
            },
            Size(least, most) => match size(trimmed) {
                Some(size) if (*least..=*most).contains(&size) => None,
                _ => {
                    is(format!("a size from {} to {}, such as 20MiB", shown(*least), shown(*most)))
                }
            },
            Path if !trimmed.starts_with('/') => is("an absolute path".to_owned()),
            Path if trimmed.contains("//") => is("a path without `//`".to_owned()),
            Path => None,
        }
    }
}

/// A size as pgBackRest reads it: a whole number and `B`, `K`, `KB` or `KiB`, and so on to `P`, in any
/// case, each a power of 1024.
fn size(text: &str) -> Option<u64> {
    let end = text.find(|one: char| !one.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.to_ascii_lowercase();
    let exponent = match unit.as_str() {
        "" | "b" => 0,
        unit => {
            let letter = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(unit);
            1 + ["k", "m", "g", "t", "p"].iter().position(|one| *one == letter)?
        }
    };
    let factor = 1024_u64.checked_pow(u32::try_from(exponent).ok()?)?;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn shown(bytes: u64) -> String {
    let units = [(PIB, "PiB"), (TIB, "TiB"), (MIB, "MiB"), (KIB, "KiB")];
    let unit = units.iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_pgbackrest_reads_them() {
        for (text, bytes) in [
            ("10485760", Some(10 * MIB)),
            ("20000B", Some(20_000)),
            ("8KiB", Some(8 * KIB)),
            ("20k", Some(20 * KIB)),
            ("20mb", Some(20 * MIB)),
            ("20M", Some(20 * MIB)),
            ("1PiB", Some(PIB)),
            ("20Mi", None),
            ("1.5MiB", None),
            ("20 MiB", None),
            ("9000000000PiB", None),
            ("MiB", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }

    #[test]
    fn options_of_another_store_do_not_count() {
        assert!(counts("s3-uri-style", "s3", "") && !counts("s3-uri-style", "posix", ""));
        assert!(!counts("s3-uri-style", "", "") && !counts("storage-port", "", ""));
        assert!(counts("storage-port", "gcs", "") && counts("retention-full", "", ""));
        assert!(counts("bundle", "", "x") && counts("bundle-size", "", "y"));
        assert!(!counts("bundle-size", "", "n"));
    }
}
