//! Whether this node gets to the ports of other nodes: what a firewall between them closes, neither of
//! the two sees of itself.

use futures_util::{StreamExt, stream};
use keddah_resource::health::{ClosedPort, PortProbe};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Within one network, a connection takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// Connections that are tried at the same time.
const AT_ONCE: usize = 32;

/// The ports that nothing answers at. A connection that is let in is given up before a word is said,
/// which servers do not log.
pub(super) async fn closed(probes: &[PortProbe], patience: Duration) -> Vec<ClosedPort> {
    let limit = patience.min(PATIENCE);
    let tried = stream::iter(probes.to_vec()).map(|probe| attempt(probe, limit));
    let found = tried.buffered(AT_ONCE).filter_map(std::future::ready);
    // What there was no time for is not told as closed: so many that do not answer are enough.
    found.take_until(tokio::time::sleep(patience)).collect().await
}

async fn attempt(probe: PortProbe, limit: Duration) -> Option<ClosedPort> {
    let PortProbe { instance, door, address, port } = probe;
    let because = match timeout(limit, TcpStream::connect((address.as_str(), port))).await {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {:.1} s", limit.as_secs_f64()),
    };
    Some(ClosedPort { instance, door, port, because })
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_resource::health::LoginDoor;

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_told_and_one_that_is_open_is_not() {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shut = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ports = [open.local_addr().unwrap().port(), shut.local_addr().unwrap().port()];
        drop(shut);
        let probes = ports.map(|port| PortProbe {
            instance: format!("pg-{port}"),
            door: LoginDoor::Server,
            address: "127.0.0.1".to_owned(),
            port,
        });
        let found = closed(&probes, Duration::from_secs(2)).await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].port, ports[1]);
        assert!(found[0].because.contains("refused"), "{found:?}");
    }
}
