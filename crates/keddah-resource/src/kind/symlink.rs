//! A symbolic link, or its absence.

use crate::difference::Fields;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Where the link stands.
    pub path: String,
    /// What it points to.
    pub target: String,
    /// Whether it leads to data: as long as some is where it leads now, it is not pointed elsewhere,
    /// for whoever follows it would find an empty place and take that for a new cluster.
    pub to_data: bool,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observed {
    /// Nothing is there.
    Absent,
    /// A link.
    Link {
        /// What it points to.
        target: String,
        /// What a person would miss if it led elsewhere, such as `PostgreSQL's data`; nothing where
        /// no data is.
        holds: Option<String>,
    },
    /// Something that is not a link, such as `directory`; it is never replaced.
    Other(String),
}

impl Spec {
    /// The path.
    pub fn name(&self) -> String {
        self.path.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        match observed {
            Observed::Absent => {
                fields.new_value("target", &self.target);
                Some(Difference::create("it does not exist").with(fields.0))
            }
            Observed::Link { target, holds } => {
                fields.value("target", target, &self.target);
                let holds = holds.as_ref().filter(|_| self.to_data);
                let Some(holds) = holds else {
                    return Difference::update(Class::InPlace, fields.0, "it points elsewhere");
                };
                let reason = format!("it would lead away from {holds}");
                let difference = Difference::update(Class::Replace, fields.0, reason)?;
                Some(difference.impossible(self.leads_away(target, holds)))
            }
            Observed::Other(what) => {
                fields.optional("target", Some(what.clone()), Some(self.target.clone()));
                Difference::update(Class::Replace, fields.0, "something else stands there").map(
                    |difference| {
                        difference.impossible(format!(
                            "{} is a {what}, and it may hold data; move it away first",
                            self.path
                        ))
                    },
                )
            }
        }
    }

    fn leads_away(&self, present: &str, holds: &str) -> String {
        let Self { path, target, to_data: _ } = self;
        format!(
            "{path} leads to {present}, where {holds} lies, and {target} is another place: Keddah moves no data. \
             Give the parameters that name it (pg_cluster, pg_version, pg_fs_main, pg_fs_backup) their old \
             values back; or `keddah remove` what is there first, with the inventory as it was; or, \
             where it was kept on purpose, take the link {path} away by hand"
        )
    }

    /// After apply. What the new place holds is not known yet.
    pub fn settled(&self) -> Observed {
        Observed::Link { target: self.target.clone(), holds: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointing(target: &str, holds: Option<&str>) -> Observed {
        Observed::Link { target: target.to_owned(), holds: holds.map(str::to_owned) }
    }

    #[test]
    fn a_link_that_leads_to_data_stays() {
        let spec = |to_data| Spec { path: "/pg".into(), target: "/new/pg-a-17".into(), to_data };
        let old = pointing("/data/postgres/pg-a-17", Some("PostgreSQL's data"));
        let refused = spec(true).diff(&old).expect("it differs");
        let why = refused.impossible.expect("it is refused");
        assert!(why.contains("/data/postgres/pg-a-17, where PostgreSQL's data lies"), "{why}");
        let programs = spec(false).diff(&old).expect("it differs");
        assert_eq!((programs.impossible, programs.class), (None, Class::InPlace));
        let empty = spec(true).diff(&pointing("/data/postgres/pg-a-17", None)).expect("it differs");
        assert_eq!(empty.impossible, None, "a first apply that was broken off may be mended");
        assert!(spec(true).diff(&pointing("/new/pg-a-17", Some("PostgreSQL's data"))).is_none());
    }
}
