//! Copies from one container to another.
//!
//! A process looks into each of them, and neither sees anything of the other but an archive, which goes through a pipe
//! with the users that the containers know. The sender tells what it has, the receiver what that is to be called.

use super::ends::{self, Source};
use super::stream::{self, Owner, told};
use super::{Done, Work};
use engine::{Container, Error, Inside, Kind};
use std::io::{BufReader, PipeReader, PipeWriter, Read, Write};

/// Longer is no file's name.
const NAME_LIMIT_BYTES: usize = 255;

impl Work<'_> {
    pub(super) fn between(&self, from: &Container, to: &Container) -> Done {
        engine::between(
            self.engine,
            (from, to),
            |inside, output, answers| self.send(inside, output, answers),
            |inside, input, answer| self.receive(inside, input, answer),
        )
    }

    fn send(&self, inside: &Inside, mut output: PipeWriter, mut answers: PipeReader) -> Done {
        let source = self.find_source(inside)?;
        output.write_all(&[u8::from(source.is_dir)]).map_err(told)?;
        write_name(&mut output, &source.base).map_err(told)?;
        let name = read_name(&mut answers).map_err(told)?;
        stream::write(&source, &name, inside, output)
    }

    fn receive(&self, inside: &Inside, mut input: PipeReader, mut answer: PipeWriter) -> Done {
        let target = self.find_target(inside)?;
        let mut is_dir = [0];
        input.read_exact(&mut is_dir).map_err(told)?;
        let base = read_name(&mut input).map_err(told)?;
        let name = self.name_in(&target, &base, is_dir != [0])?;
        write_name(&mut answer, &name).map_err(told)?;
        drop(answer);
        let ids = |uid, gid| inside.outer(uid, gid);
        let making = self.making(self.owner(inside)?, &ids);
        let read = || stream::unpack(BufReader::new(input), target.dir(), making);
        let bytes = inside.as_its_root(read).map_err(|error| self.explain(error))?;
        self.tell(bytes);
        Ok(())
    }

    /// From one place of a container to another.
    pub(super) fn within(&self, inside: &Inside) -> Done {
        let target = self.find_target(inside)?;
        let source = self.find_source(inside)?;
        let name = self.name_in(&target, &source.base, source.is_dir)?;
        refuse_itself(&source, &target, &name)?;
        let owner = self.owner(inside)?;
        let outer = |uid, gid| inside.outer(uid, gid);
        let same = |uid, gid| (uid, gid);
        let making = self.making(owner, if owner == Owner::Kept { &same } else { &outer });
        let passed = inside.as_its_root(|| stream::pass(&source, &name, true, &target, making));
        self.tell(passed.map_err(|error| self.explain(error))?);
        Ok(())
    }
}

/// A directory that is copied into itself has no end, and a file that is copied over itself none left.
fn refuse_itself(source: &Source, target: &ends::Target, name: &[u8]) -> Done {
    let refused = |text: &str| Err(Error::new(Kind::Invalid, text));
    if source.is_dir {
        return match ends::is_within(target.dir(), source)? {
            true => refused("cannot copy a directory into itself"),
            false => Ok(()),
        };
    }
    match ends::is_same(source, target.dir(), name)? {
        true => refused("source and destination are the same file"),
        false => Ok(()),
    }
}

fn write_name(to: &mut impl Write, name: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    to.write_all(&[&length.to_be_bytes(), name].concat())
}

fn read_name(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 2];
    from.read_exact(&mut length)?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > NAME_LIMIT_BYTES {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut name = vec![0; length];
    from.read_exact(&mut name)?;
    Ok(name)
}

#[test]
fn names_come_through() {
    for name in [&b""[..], b".", b"a\xff", &[b'x'; NAME_LIMIT_BYTES]] {
        let mut bytes = Vec::new();
        write_name(&mut bytes, name).unwrap();
        assert_eq!(read_name(&mut &bytes[..]).unwrap(), name);
        assert!(read_name(&mut &bytes[..bytes.len() - 1]).is_err());
    }
    let mut bytes = Vec::new();
    write_name(&mut bytes, &[b'x'; NAME_LIMIT_BYTES + 1]).unwrap();
    assert!(read_name(&mut &bytes[..]).is_err());
}
