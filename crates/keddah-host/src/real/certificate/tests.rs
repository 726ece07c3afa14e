//! Pairs made by OpenSSL, an independent implementation, and by ourselves.

use super::*;
use crate::command::Command;
use crate::{Host, RealHost};
use keddah_resource::{Material, Observed as AnyObserved, Spec as AnySpec};
use rustix::process::{getegid, geteuid};
use std::fs;
use std::path::PathBuf;

struct Pair {
    directory: tempfile::TempDir,
}

impl Pair {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A CA and a certificate of it, in a fresh directory.
    async fn new() -> Self {
        let pair = Self { directory: tempfile::tempdir().unwrap() };
        let script = "
            set -e
            new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
            for ca in ca other; do
              openssl req -x509 $new -keyout $ca.key -out $ca.crt -subj /O=test/CN=ca -days 3650
            done
            openssl req $new -keyout server.key -out server.csr -subj /CN=pg-test-1
            printf 'subjectAltName=DNS:localhost,DNS:pg-test,IP:10.10.10.11,IP:::1' > ext
            openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -days 100 -out server.crt \\
              -extfile ext -CAcreateserial
            chmod 600 server.key";
        let script = format!("cd {} && {script}", pair.directory.path().display());
        Command::new("sh").args(["-c", &script]).succeed().await.unwrap();
        pair
    }

    fn authority(&self, name: &str) -> Authority {
        Authority::read(&self.path(name)).unwrap().unwrap()
    }

    fn spec(&self) -> Spec {
        let accounts = Accounts::read().unwrap();
        Spec {
            certificate_path: self.path("server.crt").display().to_string(),
            key_path: self.path("server.key").display().to_string(),
            common_name: "pg-test-1".to_owned(),
            dns_names: ["localhost", "pg-test"].map(str::to_owned).to_vec(),
            addresses: ["10.10.10.11", "::1"].map(str::to_owned).to_vec(),
            issuer: self.authority("ca.crt").fingerprint,
            authority_path: self.path("ca.crt").display().to_string(),
            validity_days: 100,
            renew_days: 30,
            permissions: accounts.permissions(geteuid().as_raw(), getegid().as_raw(), 0o600),
        }
    }

    fn look(&self, authority: &Authority, now: i64) -> Observed {
        let accounts = Accounts::read().unwrap();
        let present = look(&self.spec(), &accounts, Some(authority), now).unwrap();
        Observed { present }
    }
}

#[tokio::test]
async fn a_pair_of_openssl_is_understood() {
    let pair = Pair::new().await;
    let (spec, authority) = (pair.spec(), pair.authority("ca.crt"));
    let observed = pair.look(&authority, now());
    assert_eq!(spec.diff(&observed), None);
    let present = observed.present.unwrap();
    assert!((99..=100).contains(&present.days_left), "{}", present.days_left);

    let later = pair.look(&authority, now() + 71 * SECONDS_OF_A_DAY);
    assert_eq!(spec.diff(&later).unwrap().fields[0].field(), "valid for");
    let expired = pair.look(&authority, now() + 101 * SECONDS_OF_A_DAY);
    assert!(expired.present.unwrap().days_left < 0);
}

/// Keys in the formats that OpenSSL wrote before PKCS#8, as Pigsty's nodes have them.
#[tokio::test]
async fn a_key_in_an_older_format_is_a_usable_pair() {
    let pair = Pair::new().await;
    let (spec, authority) = (pair.spec(), pair.authority("ca.crt"));
    let script =
        format!("cd {} && openssl ec -in server.key -out old.key", pair.directory.path().display());
    Command::new("sh").args(["-c", &script]).succeed().await.unwrap();
    fs::copy(pair.path("old.key"), pair.path("server.key")).unwrap();
    assert!(pair.text("server.key").contains("BEGIN EC PRIVATE KEY"));
    assert_eq!(spec.diff(&pair.look(&authority, now())), None);
    let script = format!(
        "cd {} && openssl genrsa -traditional -out server.key 2048 && \
         openssl req -new -key server.key -out server.csr -subj /CN=pg-test-1 && \
         openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -days 100 -out server.crt \
           -extfile ext -CAcreateserial",
        pair.directory.path().display()
    );
    Command::new("sh").args(["-c", &script]).succeed().await.unwrap();
    assert!(pair.text("server.key").contains("BEGIN RSA PRIVATE KEY"));
    assert_eq!(spec.diff(&pair.look(&authority, now())), None);
    fs::copy(pair.path("old.key"), pair.path("server.key")).unwrap();
    assert_eq!(pair.look(&authority, now()), Observed { present: None }, "another pair's key");
}

#[tokio::test]
async fn a_ca_of_the_same_name_is_not_the_same_ca() {
    let pair = Pair::new().await;
    let other = pair.authority("other.crt");
    assert_eq!(pair.look(&other, now()).present.unwrap().issuer, "");
    // Not even when the spec asks for the other one: the signature decides.
    let mut spec = pair.spec();
    spec.issuer = other.fingerprint.clone();
    let accounts = Accounts::read().unwrap();
    let present = look(&spec, &accounts, Some(&other), now()).unwrap();
    assert_eq!(present.unwrap().issuer, "");
}

#[tokio::test]
async fn a_key_of_another_pair_is_no_pair_and_a_new_one_mends_it() {
    let pair = Pair::new().await;
    let (certificate, key) = (pair.text("server.crt"), pair.text("server.key"));
    let authority = pair.authority("ca.crt");
    fs::copy(pair.path("other.key"), pair.path("server.key")).unwrap();
    assert_eq!(pair.look(&authority, now()), Observed { present: None });
    fs::remove_file(pair.path("server.key")).unwrap();
    assert_eq!(pair.look(&authority, now()), Observed { present: None });

    let host = RealHost::new(pair.path("state"));
    let spec = AnySpec::from(pair.spec());
    let observed = AnyObserved::from(Observed { present: None });
    let difference = spec.diff(&observed).unwrap();
    let refused = host.apply(&spec, &observed, &difference, None).await;
    assert!(refused.unwrap_err().message.contains("has sent no certificate"));
    let material = Material::Certificate { certificate, key: Secret::new(key) };
    host.apply(&spec, &observed, &difference, Some(&material)).await.unwrap();
    assert_eq!(pair.spec().diff(&pair.look(&authority, now())), None);
}

#[tokio::test]
async fn permissions_change_without_a_new_pair() {
    let pair = Pair::new().await;
    let before = pair.text("server.key");
    let mut spec = pair.spec();
    spec.permissions.mode = 0o640;
    let observed = pair.look(&pair.authority("ca.crt"), now());
    let difference = spec.diff(&observed).unwrap();
    let host = RealHost::new(pair.path("state"));
    apply(&host, &spec, &observed, &difference).await.unwrap();
    assert_eq!(spec.diff(&pair.look(&pair.authority("ca.crt"), now())), None);
    assert_eq!(pair.text("server.key"), before);
}
