//! The fleet's certificate authority: read from the controller's files or made, and what it signs.
//!
//! A new authority lives in memory until apply writes it down, so that a plan changes nothing.

use hmac::{Hmac, KeyInit, Mac};
use keddah_core::Secret;
use keddah_resource::Material;
use keddah_resource::kind::certificate;
use keddah_resource::kind::file::digest;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use sha2::Sha256;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates are valid from a little before they are made: clocks of nodes differ.
const BACKDATED: Duration = Duration::hours(1);

/// Why the authority cannot be used.
#[derive(Debug)]
pub enum PkiError {
    /// A file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Only one of certificate and key is there. Making a new pair would lose the old one.
    Incomplete {
        /// The file that is missing.
        missing: PathBuf,
    },
    /// The key cannot be read: it needs a passphrase, or is none.
    KeyFormat {
        /// The key's file.
        path: PathBuf,
    },
    /// The pair cannot be used to sign.
    Unusable {
        /// The file that is wrong.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A certificate cannot be made.
    Issue(String),
}

impl fmt::Display for PkiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PkiError::Read { path, .. } => write!(formatter, "cannot read {}", path.display()),
            PkiError::Incomplete { missing } => {
                write!(formatter, "{} is missing, but its counterpart is there", missing.display())
            }
            PkiError::KeyFormat { path } => write!(
                formatter,
                "{} is not a private key in PEM that can be read without a passphrase",
                path.display()
            ),
            PkiError::Unusable { path, why } => {
                write!(formatter, "{} cannot be used: {why}", path.display())
            }
            PkiError::Issue(why) => write!(formatter, "cannot make a certificate: {why}"),
        }
    }
}

impl std::error::Error for PkiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PkiError::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl PkiError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            PkiError::KeyFormat { path } => {
                let path = crate::quote(&path.to_string_lossy());
                Some(format!(
                    "convert it: openssl pkcs8 -topk8 -nocrypt -in {path} -out {path}.pkcs8 && \
                     mv {path}.pkcs8 {path}"
                ))
            }
            PkiError::Incomplete { .. } => {
                Some("restore it from your backup, or move the counterpart away".to_owned())
            }
            _ => None,
        }
    }
}

/// A certificate authority that can sign.
pub struct Authority {
    certificate_pem: String,
    fingerprint: String,
    not_after: i64,
    issuer: Issuer<'static, KeyPair>,
    fresh: bool,
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Authority").field("fingerprint", &self.fingerprint).finish()
    }
}

impl Authority {
    /// Reads `ca.crt` and `ca.key` of a directory; `None` when neither is there.
    ///
    /// # Errors
    /// When only one of them is there, or they do not make an authority.
    pub fn load(directory: &Path) -> Result<Option<Self>, PkiError> {
        let read = |path: &Path| match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PkiError::Read { path: path.to_owned(), source }),
        };
        let (certificate_path, key_path) = (directory.join("ca.crt"), directory.join("ca.key"));
        // A key alone is an authority that was being written when apply was killed: the
        // certificate is written last, and nothing was signed yet.
        match (read(&certificate_path)?, read(&key_path)?.map(Secret::new)) {
            (None, _) => Ok(None),
            (Some(_), None) => Err(PkiError::Incomplete { missing: key_path }),
            (Some(certificate), Some(key)) => {
                Self::from_pem(certificate, &key, &certificate_path, &key_path).map(Some)
            }
        }
    }

    fn from_pem(
        certificate_pem: String,
        key: &Secret,
        certificate_path: &Path,
        key_path: &Path,
    ) -> Result<Self, PkiError> {
        let unusable = |why: &str| PkiError::Unusable {
            path: certificate_path.to_owned(),
            why: why.to_owned(),
        };
        let key = keddah_resource::private_key::as_pkcs8(key.reveal())
            .ok_or_else(|| PkiError::KeyFormat { path: key_path.to_owned() })?;
        let key = KeyPair::from_pem(key.reveal()).map_err(|_| PkiError::Unusable {
            path: key_path.to_owned(),
            why: "use an RSA key of 2048 bits or more, or an EC key on P-256 or P-384".to_owned(),
        })?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes())
            .map_err(|_| unusable("it is not a certificate in PEM"))?;
        let certificate =
            pem.parse_x509().map_err(|_| unusable("it is not a certificate in PEM"))?;
        if !certificate.is_ca() {
            return Err(unusable("it is not a CA's certificate"));
        }
        if certificate.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(unusable("ca.key is not its key"));
        }
        let not_after = certificate.validity().not_after.timestamp();
        let fingerprint = digest(&pem.contents);
        let issuer = Issuer::from_ca_cert_der(&pem.contents.as_slice().into(), key)
            .map_err(|error| unusable(&error.to_string()))?;
        Ok(Self { certificate_pem, fingerprint, not_after, issuer, fresh: false })
    }

    /// Makes a new authority with an EC key on P-256, in memory.
    ///
    /// # Errors
    /// When the system gives no random numbers, or the name cannot stand in a certificate.
    pub fn fresh(common_name: &str, days: u32, now: i64) -> Result<Self, PkiError> {
        let key = KeyPair::generate().map_err(issue)?;
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = validity(now, days)?;
        params.distinguished_name = named(common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(issue)?;
        let fingerprint = digest(certificate.der());
        let certificate_pem = certificate.pem();
        let not_after = params.not_after.unix_timestamp();
        let issuer = Issuer::new(params, key);
        Ok(Self { certificate_pem, fingerprint, not_after, issuer, fresh: true })
    }

    /// When it ends, in seconds since 1970-01-01 UTC. What it signs is worthless from then on.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Its certificate in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// SHA-256 of its certificate (DER) in hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether a certificate in PEM is of this authority's key; a renewed one is, whatever else it says.
    /// `None` where it is no certificate.
    pub fn has_key_of(&self, certificate_pem: &str) -> Option<bool> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes()).ok()?;
        let certificate = pem.parse_x509().ok()?;
        let key = certificate.public_key().subject_public_key.data.as_ref();
        Some(key == self.issuer.key().public_key_raw())
    }

    /// Whether this process has made it and it is not written down yet.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The private key in PEM, when it was made by this process and is not written down yet.
    pub fn fresh_key(&self) -> Option<Secret> {
        self.fresh.then(|| Secret::new(self.issuer.key().serialize_pem()))
    }

    /// A secret derived from the private key: the same on every run with the same authority.
    pub fn seed(&self) -> Secret {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.issuer.key().serialized_der())
            .expect("HMAC takes keys of any length");
        mac.update(b"keddah seed 1");
        let bytes = mac.finalize().into_bytes();
        Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// Makes a key pair on P-256 and signs a certificate for it: for a service, which is both
    /// server and client, or, without names and addresses, for a client only.
    ///
    /// The serial number is a digest of the new public key, and so as random as the key.
    ///
    /// # Errors
    /// When a name or address cannot stand in a certificate.
    pub fn issue(&self, spec: &certificate::Spec, now: i64) -> Result<Material, PkiError> {
        let key = KeyPair::generate().map_err(issue)?;
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = validity(now, spec.validity_days)?;
        params.distinguished_name = named(&spec.common_name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !spec.dns_names.is_empty() || !spec.addresses.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.use_authority_key_identifier_extension = true;
        for name in &spec.dns_names {
            let name = name.as_str().try_into().map_err(issue)?;
            params.subject_alt_names.push(SanType::DnsName(name));
        }
        for address in &spec.addresses {
            let address: IpAddr = address
                .parse()
                .map_err(|_| PkiError::Issue(format!("`{address}` is not an IP address")))?;
            params.subject_alt_names.push(SanType::IpAddress(address));
        }
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue)?;
        self.check(certificate.der())?;
        Ok(Material::Certificate {
            certificate: certificate.pem(),
            key: Secret::new(key.serialize_pem()),
        })
    }

    /// Clients find the issuer by the bytes of its name; a user's own CA may spell a name in a way
    /// that comes out differently here, and then nothing would trust what it signs.
    fn check(&self, der: &[u8]) -> Result<(), PkiError> {
        let parse = |_| PkiError::Issue("the result cannot be read back".to_owned());
        let (_, issued) = X509Certificate::from_der(der).map_err(parse)?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(self.certificate_pem.as_bytes())
            .map_err(|_| PkiError::Issue("the CA cannot be read back".to_owned()))?;
        let (_, authority) = X509Certificate::from_der(&pem.contents).map_err(parse)?;
        let same_name = issued.issuer().as_raw() == authority.subject().as_raw();
        if !same_name || issued.verify_signature(Some(authority.public_key())).is_err() {
            return Err(PkiError::Issue(format!(
                "what is signed in the name of {} would not be trusted",
                authority.subject()
            )));
        }
        Ok(())
    }
}

fn issue(error: rcgen::Error) -> PkiError {
    PkiError::Issue(error.to_string())
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if common_name.is_empty() {
        // A subject needs some name, and etcd must find no common name: see `etcd_client_certificate`.
        name.push(DnType::OrganizationName, "Keddah");
    } else {
        name.push(DnType::CommonName, common_name);
    }
    name
}

fn validity(now: i64, days: u32) -> Result<(OffsetDateTime, OffsetDateTime), PkiError> {
    let range = |_| PkiError::Issue("the time is out of range".to_owned());
    let now = OffsetDateTime::from_unix_timestamp(now).map_err(range)?;
    let until = now
        .checked_add(Duration::days(i64::from(days)))
        .ok_or_else(|| PkiError::Issue(format!("{days} days from now is out of range")))?;
    Ok((now - BACKDATED, until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_resource::kind::directory::Permissions;
    use std::process::Command;

    const NOW: i64 = 1_800_000_000;

    fn spec(issuer: &str) -> certificate::Spec {
        certificate::Spec {
            certificate_path: "/etc/x/server.crt".into(),
            key_path: "/etc/x/server.key".into(),
            common_name: "pg-test-1".into(),
            dns_names: vec!["localhost".into(), "pg-test".into()],
            addresses: vec!["10.10.10.11".into(), "127.0.0.1".into()],
            issuer: issuer.into(),
            authority_path: "/etc/x/ca.crt".into(),
            validity_days: 7300,
            renew_days: 30,
            permissions: Permissions::root(0o600),
        }
    }

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("keddah-pki-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn openssl(&self, line: &str) -> String {
            let output = Command::new("openssl")
                .args(crate::split(line).unwrap())
                .current_dir(&self.0)
                .output()
                .unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "openssl {line}: {error}");
            String::from_utf8(output.stdout).unwrap()
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.join(name), text).unwrap();
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn issue_and_verify(scratch: &Scratch, authority: &Authority, strict: &str) {
        let Material::Certificate { certificate, key } =
            authority.issue(&spec(authority.fingerprint()), NOW).unwrap();
        scratch.write("server.crt", &certificate);
        scratch.write("server.key", key.reveal());
        for purpose in ["sslserver", "sslclient"] {
            let verify = format!(
                "verify {strict} -attime {NOW} -purpose {purpose} -CAfile ca.crt server.crt"
            );
            assert!(scratch.openssl(&verify).contains("OK"));
        }
        let host = format!("verify -attime {NOW} -verify_hostname pg-test -verify_ip 10.10.10.11");
        scratch.openssl(&format!("{host} -CAfile ca.crt server.crt"));
        let public = scratch.openssl("x509 -in server.crt -noout -pubkey");
        assert_eq!(public, scratch.openssl("pkey -in server.key -pubout"));
        let text = scratch.openssl("x509 -in server.crt -noout -subject -ext extendedKeyUsage");
        assert!(text.contains("pg-test-1"), "{text}");
        assert!(text.contains("TLS Web Server") && text.contains("TLS Web Client"), "{text}");
    }

    #[test]
    fn a_fresh_authority_signs_what_openssl_trusts_and_is_read_back() {
        let scratch = Scratch::new("fresh");
        assert!(Authority::load(&scratch.0).unwrap().is_none());
        let fresh = Authority::fresh("keddah-ca", 36500, NOW).unwrap();
        scratch.write("ca.crt", fresh.certificate_pem());
        issue_and_verify(&scratch, &fresh, "-x509_strict");

        assert!(matches!(Authority::load(&scratch.0), Err(PkiError::Incomplete { .. })));
        scratch.write("ca.key", fresh.fresh_key().unwrap().reveal());
        let loaded = Authority::load(&scratch.0).unwrap().unwrap();
        assert!(loaded.fresh_key().is_none());
        assert_eq!(loaded.fingerprint(), fresh.fingerprint());
        assert_eq!(loaded.seed(), fresh.seed());
        assert_ne!(loaded.seed(), Authority::fresh("keddah-ca", 1, NOW).unwrap().seed());
        let digits = scratch.openssl("x509 -in ca.crt -noout -fingerprint -sha256");
        let digits = digits.rsplit('=').next().unwrap().trim().replace(':', "").to_lowercase();
        assert_eq!(digits, fresh.fingerprint());
        issue_and_verify(&scratch, &loaded, "-x509_strict");
    }

    #[test]
    fn a_users_own_authority_is_used() {
        for key in ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-384"] {
            let scratch = Scratch::new("own");
            scratch.openssl(&format!(
                "req -x509 -newkey {key} -nodes -keyout ca.key -out ca.crt -days 36500 \
                 -subj \"/C=CH/O=Example Ltd/CN=Example Root\""
            ));
            let authority = Authority::load(&scratch.0).unwrap().unwrap();
            // What `openssl req -x509` makes by itself has no key usage, which strict checks want.
            issue_and_verify(&scratch, &authority, "");
        }
    }

    /// As Pigsty and others have made theirs. Converted by OpenSSL, it is the same authority with the same
    /// seed.
    #[test]
    fn an_authority_with_a_key_in_an_older_format_is_used() {
        for make in
            ["genrsa -traditional -out ca.key 2048", "ecparam -genkey -name prime256v1 -out ca.key"]
        {
            let scratch = Scratch::new("older");
            scratch.openssl(make);
            let text = std::fs::read_to_string(scratch.0.join("ca.key")).unwrap();
            assert!(!text.contains("BEGIN PRIVATE KEY"), "{make}");
            scratch.openssl("req -x509 -key ca.key -out ca.crt -days 36500 -subj /CN=x");
            let authority = Authority::load(&scratch.0).unwrap().unwrap();
            issue_and_verify(&scratch, &authority, "");
            scratch.openssl("pkcs8 -topk8 -nocrypt -in ca.key -out other.key");
            std::fs::copy(scratch.0.join("other.key"), scratch.0.join("ca.key")).unwrap();
            let converted = Authority::load(&scratch.0).unwrap().unwrap();
            assert_eq!(converted.seed(), authority.seed(), "{make}");
        }
    }

    #[test]
    fn what_cannot_sign_is_refused_with_the_way_out() {
        let scratch = Scratch::new("bad");
        scratch.openssl("genrsa -traditional -aes256 -passout pass:word -out ca.key 2048");
        scratch.openssl("req -x509 -key ca.key -passin pass:word -out ca.crt -days 1 -subj /CN=x");
        let error = Authority::load(&scratch.0).unwrap_err();
        assert!(error.hint().unwrap().contains("openssl pkcs8 -topk8"), "{error}");
        let (own, key) = (scratch.0.join("ca.key"), scratch.0.join("other.key"));
        scratch.openssl("pkcs8 -topk8 -nocrypt -passin pass:word -in ca.key -out other.key");
        std::fs::copy(&key, &own).unwrap();
        assert!(Authority::load(&scratch.0).unwrap().is_some());

        scratch.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out ca.key");
        let error = Authority::load(&scratch.0).unwrap_err().to_string();
        assert!(error.contains("not its key"), "{error}");

        let config =
            "[req]\ndistinguished_name=d\nx509_extensions=e\n[d]\n[e]\nbasicConstraints=CA:FALSE\n";
        scratch.write("leaf.cnf", config);
        scratch.openssl("req -x509 -config leaf.cnf -key ca.key -out ca.crt -days 1 -subj /CN=x");
        let error = Authority::load(&scratch.0).unwrap_err().to_string();
        assert!(error.contains("not a CA"), "{error}");
        for error in ["secret", "PRIVATE"] {
            assert!(!format!("{:?}", Authority::load(&scratch.0)).contains(error));
        }
    }
}
