//! Of which life the data of a member of etcd is, read from its write-ahead log: no program that Debian
//! packages for etcd tells that of a member that does not run.
//!
//! Each file of the log begins with the member's and the cluster's id (`wal.Create` and `cut` in etcd's
//! `server/storage/wal`, the same from 3.0 on). A record is a frame of eight bytes, little endian, the
//! lower seven of which are its length, and where the highest bit is set, the lower three bits of the
//! eighth how many bytes of padding follow (`decodeFrameSize`); then a protobuf message: type 1, checksum
//! 2, data 3. The data of a record of type 1 is again one: the member's id 1, the cluster's 2 (`Metadata`
//! in `etcdserverpb`).

use super::plain_file::beginning;
use crate::HostError;
use keddah_resource::EtcdLife;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Much more than stands in front of the ids: a checksum.
const HEAD: u64 = 4096;

/// The record that has the ids (`metadataType`).
const METADATA: u64 = 1;

/// The life of the data in a data directory; `None` where there is none, or its log does not say so.
pub(super) fn read(data: &Path) -> Result<Option<EtcdLife>, HostError> {
    let log = data.join("member/wal");
    let failed = |error: std::io::Error| HostError::path("read", &log, &error);
    let entries = match fs::read_dir(&log) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let names = entries.map(|entry| Ok(entry.map_err(failed)?.file_name()));
    let mut names: Vec<OsString> = names.collect::<Result<_, HostError>>()?;
    names.retain(|name| Path::new(name).extension().is_some_and(|ending| ending == "wal"));
    names.sort();
    // All say the same; etcd may take the oldest away at any time.
    for name in names.iter().rev() {
        if let Some(life) = beginning(&log.join(name), HEAD)?.as_deref().and_then(parse) {
            return Ok(Some(life));
        }
    }
    Ok(None)
}

/// The ids at the beginning of a log's file.
fn parse(mut bytes: &[u8]) -> Option<EtcdLife> {
    loop {
        let (frame, rest) = bytes.split_first_chunk::<8>()?;
        let frame = u64::from_le_bytes(*frame);
        // What is not written yet is zero.
        let length = usize::try_from(frame & 0x00ff_ffff_ffff_ffff).ok().filter(|&one| one > 0)?;
        let padding = if frame >> 63 == 1 { usize::try_from(frame >> 56 & 7).ok()? } else { 0 };
        let record = rest.get(..length)?;
        bytes = rest.get(length.checked_add(padding)?..)?;
        if number(record, 1)? == METADATA {
            let ids = data(record, 3)?;
            let (member, cluster) = (number(ids, 1)?, number(ids, 2)?);
            return Some(EtcdLife { cluster: cluster.to_string(), member: member.to_string() });
        }
    }
}

/// A field of a protobuf message.
enum Field<'a> {
    Number(u64),
    Data(&'a [u8]),
}

fn number(message: &[u8], wanted: u64) -> Option<u64> {
    match field(message, wanted)? {
        Field::Number(number) => Some(number),
        Field::Data(_) => None,
    }
}

fn data(message: &[u8], wanted: u64) -> Option<&[u8]> {
    match field(message, wanted)? {
        Field::Data(data) => Some(data),
        Field::Number(_) => None,
    }
}

/// The field with a number; `None` where it is not there, or the message is in another form.
fn field(mut message: &[u8], wanted: u64) -> Option<Field<'_>> {
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let value = varint(&mut message)?;
        let field = match key & 7 {
            0 => Field::Number(value),
            2 => {
                let (data, rest) = message.split_at_checked(usize::try_from(value).ok()?)?;
                message = rest;
                Field::Data(data)
            }
            _ => return None,
        };
        if key >> 3 == wanted {
            return Some(field);
        }
    }
    None
}

/// Takes a number off the front: seven bits a byte, the lowest first, the highest bit of each saying that
/// more follow.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log as etcd begins it: a checksum, and the ids.
    fn log() -> Vec<u8> {
        let mut log = Vec::new();
        // Type 4, checksum 0; four bytes of padding.
        log.extend([4, 0, 0, 0, 0, 0, 0, 0x84, 8, 4, 16, 0, 0, 0, 0, 0]);
        let mut ids = vec![8];
        ids.extend([0xe4, 0x83, 0xd7, 0xb5, 0xe3, 0xad, 0xb5, 0xdd, 0xe3, 0x01]);
        ids.push(16);
        ids.extend([0xb2, 0xb3, 0xb3, 0xa0, 0xbf, 0xb4, 0xa6, 0xfd, 0xcd, 0x01]);
        let mut record = vec![8, 1, 16, 0xa0, 0x8d, 0x06, 26, u8::try_from(ids.len()).unwrap()];
        record.extend(ids);
        log.extend(u64::try_from(record.len()).unwrap().to_le_bytes());
        log.extend(record);
        log
    }

    #[test]
    fn the_ids_stand_behind_the_checksum() {
        let life = parse(&log()).unwrap();
        assert_eq!(life.member, "16409662861618823652");
        assert_eq!(life.cluster, "14842344451406092722");
    }

    #[test]
    fn whatever_is_cut_off_or_of_another_form_says_nothing() {
        let log = log();
        for length in 0..log.len() {
            assert_eq!(parse(&log[..length]), None, "{length} bytes");
        }
        assert_eq!(parse(&[0; 64]), None);
        assert_eq!(parse(&[0xff; 64]), None);
        // Every byte may be wrong: it is read or it is not, and nothing else happens.
        for at in 0..log.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut wrong = log.clone();
                wrong[at] = value;
                let _ = parse(&wrong);
            }
        }
    }

    #[test]
    fn the_newest_file_that_says_it_counts_and_none_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let read = || read(directory.path()).unwrap();
        assert_eq!(read(), None, "no member was here");
        let wal = directory.path().join("member/wal");
        fs::create_dir_all(&wal).unwrap();
        assert_eq!(read(), None, "it has just begun");
        fs::write(wal.join("0000000000000000-0000000000000000.wal"), log()).unwrap();
        fs::write(wal.join("0000000000000001-0000000000000009.wal"), [0; 64]).unwrap();
        fs::write(wal.join("1.tmp"), [1; 64]).unwrap();
        let pipe = wal.join("0000000000000002-0000000000000019.wal");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        assert!(read().is_some());
    }
}
