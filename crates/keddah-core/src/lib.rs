//! Names, secrets, source spans, diagnostics and the language of authentication files, which every
//! room of Keddah shares.

mod diagnostic;
pub mod durability;
pub mod hba;
mod name;
mod secret;
mod setting;
mod source;

pub use diagnostic::{Diagnostic, Label, Severity};
pub use name::{ClusterName, InvalidName, NodeName};
pub use secret::{Secret, expose};
pub use setting::Setting;
pub use source::{SourceFile, SourceId, SourceMap, Span};
