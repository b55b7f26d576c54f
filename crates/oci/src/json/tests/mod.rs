//! What is JSON, what is said of everything else, and what is written.

mod differential;
mod documents;
mod syntax;

use super::{Failed, FromJson, Reader};
use serde_json::Value;

/// Any value, read through the reader's own functions.
#[derive(Debug, Default, PartialEq)]
struct Tree(Value);

impl FromJson for Tree {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        self.0 = match reader.peek() {
            b'{' => {
                reader.open(b'{')?;
                let mut members = serde_json::Map::new();
                while let Some(key) = reader.next_key()? {
                    let mut value = Self::default();
                    if let Err(failed) = value.read(reader) {
                        return Err(reader.inside_key(failed, &key));
                    }
                    members.insert(key.into_owned(), value.0);
                }
                Value::Object(members)
            }
            b'[' => {
                let mut elements: Vec<Self> = Vec::new();
                elements.read(reader)?;
                Value::Array(elements.into_iter().map(|element| element.0).collect())
            }
            b'"' => Value::String(reader.string()?.into_owned()),
            b'n' => {
                reader.null()?;
                Value::Null
            }
            b't' | b'f' => Value::Bool(reader.boolean()?),
            _ => match serde_json::from_str(reader.number()?) {
                Ok(number) => number,
                Err(_) => return Err(reader.fail("number beyond a double's range")),
            },
        };
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// xorshift: the same texts at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
