//! A certificate signed by the fleet's CA, with its private key, for one node and service.
//!
//! Compared by what it says, not by its bytes: the key never leaves the node once it is there.

use super::directory::Permissions;
use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Path of the certificate in PEM.
    pub certificate_path: String,
    /// Path of the PKCS#8 private key in PEM.
    pub key_path: String,
    /// The subject's common name; empty for a certificate without one.
    pub common_name: String,
    /// DNS names it is valid for, sorted.
    pub dns_names: Vec<String>,
    /// IP addresses it is valid for, sorted as text.
    pub addresses: Vec<String>,
    /// SHA-256 of the issuing CA's certificate (DER) in hexadecimal digits.
    pub issuer: String,
    /// Where the node has that CA's certificate.
    pub authority_path: String,
    /// Days a new certificate is valid.
    pub validity_days: u32,
    /// A certificate with fewer days left is renewed.
    pub renew_days: u32,
    /// Owner, group and mode of the key; the certificate is readable by all.
    pub permissions: Permissions,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The pair, when both files exist and belong together.
    pub present: Option<ObservedCertificate>,
}

/// A pair that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedCertificate {
    /// The subject's common name.
    pub common_name: String,
    /// DNS names, sorted.
    pub dns_names: Vec<String>,
    /// IP addresses, sorted as text.
    pub addresses: Vec<String>,
    /// The CA that the signature verifies with: the spec's, or empty when it does not verify.
    pub issuer: String,
    /// Whole days until it expires; negative when it has.
    pub days_left: i64,
    /// The key's owner, group and mode.
    pub permissions: Permissions,
}

impl Spec {
    /// The certificate's path.
    pub fn name(&self) -> String {
        self.certificate_path.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        let Some(present) = &observed.present else {
            fields.new_value("common name", &self.common_name);
            fields.new_value("names", self.dns_names.join(", "));
            fields.new_value("addresses", self.addresses.join(", "));
            fields.new_value("valid for", format!("{} days", self.validity_days));
            return Some(Difference::create("there is no usable pair").with(fields.0));
        };
        fields.value("common name", &present.common_name, &self.common_name);
        fields.value("names", &present.dns_names.join(", "), &self.dns_names.join(", "));
        fields.value("addresses", &present.addresses.join(", "), &self.addresses.join(", "));
        if present.issuer != self.issuer {
            fields.optional("issuer", Some("another CA".to_owned()), Some("this CA".to_owned()));
        }
        if present.days_left < i64::from(self.renew_days) {
            fields.optional(
                "valid for",
                Some(format!("{} days", present.days_left)),
                Some(format!("{} days", self.validity_days)),
            );
        }
        self.permissions.compare(&present.permissions, &mut fields);
        Difference::update(Class::InPlace, fields.0, "the certificate differs")
    }

    /// Whether a change needs a new pair, or only other permissions.
    pub fn needs_issue(&self, observed: &Observed) -> bool {
        let Some(present) = &observed.present else { return true };
        present.common_name != self.common_name
            || present.dns_names != self.dns_names
            || present.addresses != self.addresses
            || present.issuer != self.issuer
            || present.days_left < i64::from(self.renew_days)
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed {
            present: Some(ObservedCertificate {
                common_name: self.common_name.clone(),
                dns_names: self.dns_names.clone(),
                addresses: self.addresses.clone(),
                issuer: self.issuer.clone(),
                days_left: i64::from(self.validity_days),
                permissions: self.permissions.clone(),
            }),
        }
    }
}
