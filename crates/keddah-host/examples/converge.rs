//! Tries kinds on the machine it runs on, by hand: reads a JSON list of specs from standard input,
//! converges one after the other, and writes a line of JSON about each.

use keddah_host::{Host, RealHost};
use keddah_resource::{Observation, Probe, Spec};
use serde_json::{Value, json};
use std::io::{Read, Write};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let specs: Vec<Spec> = serde_json::from_str(&text)?;
    let host = RealHost::new("/var/lib/keddah");
    let mut out = std::io::stdout().lock();
    if specs.is_empty() {
        let facts = host.facts(&Probe::default()).await;
        return writeln!(out, "{}", json!({ "facts": facts }));
    }
    for spec in &specs {
        let told = converge(&host, spec).await;
        let name = format!("{} {}", spec.kind(), spec.name());
        writeln!(out, "{}", json!({ "resource": name, "told": told }))?;
    }
    Ok(())
}

async fn converge(host: &RealHost, spec: &Spec) -> Value {
    let look = async || host.observe(std::slice::from_ref(spec)).await.remove(0);
    let observed = match look().await {
        Ok(Observation::Known(observed)) => observed,
        other => return json!({ "observed": other }),
    };
    let Some(difference) = spec.diff(&observed) else {
        return json!({ "equal": observed });
    };
    let applied = host.apply(spec, &observed, &difference, None).await;
    let remains = match look().await {
        Ok(Observation::Known(observed)) => json!(spec.diff(&observed)),
        other => json!(other),
    };
    json!({ "difference": difference, "applied": applied, "remains": remains })
}
