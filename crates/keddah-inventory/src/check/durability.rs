//! Settings that give up what PostgreSQL promises about data, or what its backups need.

use super::{Report, warning};
use crate::parameters;
use crate::settings::setting_text;
use keddah_core::durability::{archiving_lost, cost};

pub(super) fn check(report: &mut Report<'_>) {
    for cluster in report.clusters.clone() {
        for member in &cluster.members {
            let params = &member.params;
            let backed_up = params.get(parameters::PGBACKREST_ENABLED);
            for (name, value) in params.get(parameters::PG_PARAMETERS) {
                let Some(text) = setting_text(&value) else { continue };
                let span =
                    value.span.or(name.span).or_else(|| params.span(parameters::PG_PARAMETERS));
                let what = format!("`{}` of cluster `{}`", name.text, cluster.name);
                if let Some(cost) = cost(&name.text, &text) {
                    let found = warning("unsafe-setting", span, format!("{what}: {cost}"));
                    report.add(found.help("leave it out, unless the data can be made anew"));
                }
                let lost = archiving_lost(&name.text, &text).filter(|_| backed_up);
                if let Some(lost) = lost {
                    let found = warning("backups-without-wal", span, format!("{what}: {lost}"));
                    report.add(found.help(
                        "leave it out; `pgbackrest_enabled: false` for a cluster that has no backups",
                    ));
                }
            }
        }
    }
}
