//! How much heavy work runs at once in the whole fleet, as the command line says it.

use clap::Args;
use keddah_fleet::FORKS;
use std::num::NonZeroU16;

/// The bound of the whole fleet; that of each machine follows its processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Forks {
    /// How many installations, starts, copies and backups may run at once in the whole fleet; each machine
    /// bears two for each of its processors
    #[arg(id = "forks", long = "forks", value_name = "COUNT", default_value_t = FORKS)]
    pub count: NonZeroU16,
}

impl Forks {
    /// The option as it was given, and nothing where it was not.
    pub fn words(self) -> Vec<String> {
        if self.count == FORKS {
            return Vec::new();
        }
        vec!["--forks".to_owned(), self.count.to_string()]
    }
}
