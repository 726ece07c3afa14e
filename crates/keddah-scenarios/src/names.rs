//! Who holds a virtual address, what a name points at, and how soon both follow a primary.

use crate::failure::{Failure, Outcome};
use crate::sandbox::{Sandbox, address};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A node that is there answers sooner; one without power never does.
const PATIENCE: Duration = Duration::from_millis(300);

/// Between two looks.
const PACE: Duration = Duration::from_millis(50);

/// How soon a virtual address and a name followed, each counted from the start.
#[derive(Debug, Clone, Copy)]
pub struct Followed {
    /// The old primary gave up its lock, or fell silent.
    pub gone: Duration,
    /// Another member leads.
    pub leads: Duration,
    /// The address leads to it.
    pub address: Duration,
    /// The name points at it.
    pub name: Duration,
    /// Its node.
    pub node: u8,
}

impl fmt::Display for Followed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = |moment: Duration| moment.saturating_sub(self.gone).as_secs_f64();
        write!(
            formatter,
            "{:.1} s without a primary; its address followed after {:.1} s, its name after {:.1} s",
            since(self.leads),
            since(self.address),
            since(self.name)
        )
    }
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Watched<'a> {
    /// The nodes of the cluster's members.
    pub nodes: &'a [u8],
    /// The address that follows the primary.
    pub address: Ipv4Addr,
    /// The name that follows it.
    pub name: &'a str,
    /// The node that tells names.
    pub server: u8,
}

impl Watched<'_> {
    /// Looks, from the moment `begin` returns, until address and name have followed another primary
    /// than the one on node `old`.
    pub fn follow(
        &self,
        sandbox: &Sandbox,
        old: u8,
        at_most: Duration,
        begin: impl FnOnce() -> Outcome,
    ) -> Outcome<Followed> {
        let network = File::open(sandbox.network())?;
        let started = Instant::now();
        let look = || -> Outcome<Followed> {
            enter(&network)?;
            let (mut gone, mut leads, mut held, mut named) = (None, None, None, None);
            while started.elapsed() < at_most {
                if gone.is_none() && !is_leader(ip(old)) {
                    gone = Some(started.elapsed());
                }
                let mut others = self.nodes.iter().copied().filter(|node| *node != old);
                if leads.is_none() {
                    leads = others
                        .find(|node| is_leader(ip(*node)))
                        .map(|node| (started.elapsed(), node));
                }
                if let Some((leads, node)) = leads {
                    if held.is_none() && is_leader(self.address) {
                        held = Some(started.elapsed());
                    }
                    if named.is_none() && self.resolve() == Some(ip(node)) {
                        named = Some(started.elapsed());
                    }
                    if let (Some(address), Some(name)) = (held, named) {
                        let gone = gone.unwrap_or(leads);
                        return Ok(Followed { gone, leads, address, name, node });
                    }
                }
                std::thread::sleep(PACE);
            }
            Err(Failure::new(format!(
                "after {at_most:?}: gone {gone:?}, leads {leads:?}, address {held:?}, name {named:?}"
            )))
        };
        std::thread::scope(|scope| {
            let looking = scope.spawn(look);
            let begun = begin();
            let followed = looking.join().map_err(|_| Failure::new("looking at names panicked"))?;
            begun.and(followed)
        })
    }

    /// What the name points at.
    pub fn resolved(&self, sandbox: &Sandbox) -> Outcome<Option<Ipv4Addr>> {
        let network = File::open(sandbox.network())?;
        // A thread of its own: a thread's network cannot be given back.
        std::thread::scope(|scope| {
            let ask = || enter(&network).map(|()| self.resolve());
            scope.spawn(ask).join().map_err(|_| Failure::new("asking for a name panicked"))?
        })
    }

    fn resolve(&self) -> Option<Ipv4Addr> {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        socket.send_to(&question(self.name), (ip(self.server), 53)).ok()?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).ok()?;
        first_address(&answer[..length], self.name)
    }

    /// The nodes that hold the address.
    pub fn holders(&self, sandbox: &Sandbox) -> Outcome<Vec<u8>> {
        let script = format!("ip -4 -o addr show | grep -c ' {}/' || true", self.address);
        let mut holders = Vec::new();
        for &node in self.nodes {
            if sandbox.shell(node, &script)?.success()?.text() != "0" {
                holders.push(node);
            }
        }
        Ok(holders)
    }
}

fn enter(network: &File) -> Outcome {
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| Failure::new(format!("cannot enter the network: {error}")))
}

fn ip(node: u8) -> Ipv4Addr {
    address(node).parse().unwrap_or(Ipv4Addr::UNSPECIFIED)
}

/// Whether the Patroni behind an address holds its cluster's lock.
fn is_leader(address: Ipv4Addr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((address, 8008)), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET /leader HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// A DNS question for an address (RFC 1035, 4.1).
fn question(name: &str) -> Vec<u8> {
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap_or_default());
        question.extend(label.bytes());
    }
    // The root, type A, class IN.
    question.extend([0, 0, 1, 0, 1]);
    question
}

/// The address of the first answer to a question of [`question`].
fn first_address(answer: &[u8], name: &str) -> Option<Ipv4Addr> {
    let count = u16::from_be_bytes([*answer.get(6)?, *answer.get(7)?]);
    // The name as a pointer, type, class, time to live, length; then the address.
    let start = question(name).len() + 12;
    let bytes: [u8; 4] = answer.get(start..start + 4)?.try_into().ok()?;
    (count > 0).then(|| Ipv4Addr::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let mut answer = question("pg-test");
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 10, 10, 11]);
        assert_eq!(first_address(&answer, "pg-test"), Some(Ipv4Addr::new(10, 10, 10, 11)));
        assert_eq!(first_address(&question("pg-test"), "pg-test"), None);
    }
}
