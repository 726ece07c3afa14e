//! Lines for cron, each judged as cron does: it ignores a whole file for one line.

use super::{Report, error};
use crate::Value;
use crate::crontab::{Account, fault};
use crate::{Params, parameters};

pub(super) fn check(report: &mut Report<'_>) {
    let inventory = report.inventory;
    for host in inventory.hosts() {
        lines(report, &Params::new(inventory, &host.name), "node_crontab", Account::InLine);
    }
    for cluster in report.clusters.clone() {
        for member in &cluster.members {
            let account = member.params.get(parameters::PG_DBSU);
            lines(report, &member.params, "pg_crontab", Account::Always(&account));
        }
    }
}

fn lines(report: &mut Report<'_>, params: &Params<'_>, name: &str, account: Account<'_>) {
    for (value, line) in
        params.named::<Vec<Value>>(name).iter().zip(params.named::<Vec<String>>(name))
    {
        let Some(why) = fault(&line, account) else { continue };
        let form = match account {
            Account::InLine => "30 4 * * sun root /usr/local/bin/job",
            Account::Always(_) => "00 01 * * * /pg/bin/pg-backup full",
        };
        report.add(
            error(
                "bad-crontab",
                value.span.or_else(|| params.span(name)),
                format!("cron would ignore all lines of `{name}` for one of them: {why}"),
            )
            .help(format!(
                "minute, hour, day, month and day of the week (or @daily and the like), then \
                 {}the command: {form}",
                if matches!(account, Account::InLine) { "the account and " } else { "" }
            )),
        );
    }
}
