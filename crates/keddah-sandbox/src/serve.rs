//! A small file server for the package repository: GET and HEAD of plain files, over connections that
//! stay open, as apt uses them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

/// A connection without a request for this long is closed.
const IDLE: Duration = Duration::from_secs(120);

/// No honest request's line or header is longer.
const LINE_MAX: u64 = 8192;

/// Serves the files below `root` at `address` until the process ends: returns only with an error.
///
/// # Errors
/// The address cannot be listened on.
pub fn serve_repository(root: &Path, address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address)
        .map_err(|source| Error::Start { program: format!("a server at {address}"), source })?;
    serve(root, &listener)
}

fn serve(root: &Path, listener: &TcpListener) -> ! {
    loop {
        // A connection that fails to arrive, or no room for one more, concerns its client alone.
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        let root = root.to_owned();
        std::thread::spawn(move || converse(&root, stream));
    }
}

/// Answers requests until the client goes away.
fn converse(root: &Path, stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some(line) = read_line(&mut reader)? {
        let mut close = line.ends_with("HTTP/1.0");
        loop {
            match read_line(&mut reader)? {
                Some(header) if header.is_empty() => break,
                Some(header) => {
                    close |= header.to_ascii_lowercase().starts_with("connection: close");
                }
                None => return Ok(()),
            }
        }
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let body = match method {
            "GET" => true,
            "HEAD" => false,
            _ => {
                refuse(&mut writer, "405 Method Not Allowed", true)?;
                return Ok(());
            }
        };
        match file_path(root, target).and_then(|path| open_file(&path)) {
            Some((file, length)) => {
                write!(
                    writer,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
                     Content-Length: {length}\r\nAccept-Ranges: none\r\n\r\n"
                )?;
                if body {
                    io::copy(&mut file.take(length), &mut writer)?;
                }
            }
            None => refuse(&mut writer, "404 Not Found", body)?,
        }
        if close {
            break;
        }
    }
    Ok(())
}

fn refuse(writer: &mut TcpStream, status: &str, body: bool) -> io::Result<()> {
    let text = if body { status } else { "" };
    write!(writer, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

/// One line without its end, or none at the end of the connection.
fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let count = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
    if count == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()))
}

fn open_file(path: &Path) -> Option<(File, u64)> {
    let file = File::open(path).ok()?;
    let about = file.metadata().ok()?;
    about.is_file().then_some((file, about.len()))
}

/// The file that a request's target names, if it stays below the root.
fn file_path(root: &Path, target: &str) -> Option<PathBuf> {
    let plain = percent_decode(target.split('?').next()?)?;
    let relative = PathBuf::from(plain.strip_prefix('/')?);
    relative
        .components()
        .all(|component| matches!(component, Component::Normal(_)))
        .then(|| root.join(relative))
}

/// Decodes `%2b` and its like; none if what comes out is not text.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().filter(|decoded| !decoded.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_never_leave_the_root() {
        let root = Path::new("/root");
        assert_eq!(file_path(root, "/a/b%2bc.deb"), Some("/root/a/b+c.deb".into()));
        assert_eq!(file_path(root, "/a?x=1"), Some("/root/a".into()));
        for target in ["/../etc/passwd", "/a/../../b", "/%2e%2e/b", "a", "//etc/passwd", "/%00"] {
            assert_eq!(file_path(root, target), None, "{target}");
        }
    }

    #[test]
    fn several_requests_share_one_connection() {
        let root = std::env::temp_dir().join(format!("keddah-serve-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(root.join("file"), "content").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = root.clone();
        std::thread::spawn(move || serve(&served, &listener));
        let mut client = TcpStream::connect(address).unwrap();
        client
            .write_all(
                b"GET /file HTTP/1.1\r\nHost: a\r\n\r\nHEAD /file HTTP/1.1\r\n\r\n\
                  GET /none HTTP/1.1\r\nConnection: close\r\n\r\n",
            )
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        std::fs::remove_dir_all(root).unwrap();
        assert_eq!(answer.matches("200 OK").count(), 2, "{answer}");
        assert_eq!(answer.matches("content").count(), 1, "{answer}");
        assert_eq!(answer.matches("404 Not Found\r\n").count(), 1, "{answer}");
    }
}
