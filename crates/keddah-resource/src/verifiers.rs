//! What a cluster keeps of its roles' passwords, so that one that fits what is declared is kept.
//!
//! A verifier has a random salt: the same password, set by somebody else, is another text. PostgreSQL
//! and PgBouncer must have the same one of a role, or logins through the pool fail.

use crate::kind::PgConnection;
use keddah_core::Secret;
use serde::{Deserialize, Serialize};

/// The roles of an instance whose verifiers are wanted: those with a password in the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifierProbe {
    /// The cluster.
    pub cluster: String,
    /// How its instance on the node is reached.
    pub connection: PgConnection,
    /// The roles.
    pub roles: Vec<String>,
}

/// What an instance that serves has of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifierFacts {
    /// The cluster.
    pub cluster: String,
    /// The roles that are there and have a password.
    pub roles: Vec<RoleVerifier>,
}

/// A role and its `pg_authid.rolpassword`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleVerifier {
    /// The role.
    pub role: String,
    /// The verifier: to the controller it travels as everything secret does, and nobody shows it.
    #[serde(with = "keddah_core::expose")]
    pub verifier: Secret,
}
