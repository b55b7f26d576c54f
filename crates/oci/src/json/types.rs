//! Values that documents are made of.

use super::{Failed, FromJson, Reader, ToJson, Writer};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// A value that is kept as it stands in the text: checked, but not understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw(String);

impl Raw {
    /// The text; empty when there was none.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An object whose members are put together where it is written.
pub struct Object<'a>(pub &'a [(&'a str, &'a dyn ToJson)]);

impl ToJson for Object<'_> {
    fn write(&self, writer: &mut Writer) {
        writer.open('{');
        for (key, value) in self.0.iter().filter(|(_, value)| !value.is_absent()) {
            writer.key(key);
            value.write(writer);
        }
        writer.close('}');
    }
}

impl FromJson for Raw {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        self.0 = reader.skip()?.to_owned();
        Ok(())
    }

    fn reset(&mut self) {
        self.0.clear();
    }
}

impl ToJson for Raw {
    fn write(&self, writer: &mut Writer) {
        writer.raw(if self.is_absent() { "null" } else { &self.0 });
    }

    fn is_absent(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromJson for String {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        *self = reader.string()?.into_owned();
        Ok(())
    }

    fn reset(&mut self) {
        self.clear();
    }
}

impl ToJson for String {
    fn write(&self, writer: &mut Writer) {
        writer.string(self);
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl ToJson for str {
    fn write(&self, writer: &mut Writer) {
        writer.string(self);
    }
}

impl FromJson for bool {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        *self = reader.boolean()?;
        Ok(())
    }

    fn reset(&mut self) {
        *self = false;
    }
}

impl ToJson for bool {
    fn write(&self, writer: &mut Writer) {
        writer.raw(if *self { "true" } else { "false" });
    }

    fn is_absent(&self) -> bool {
        !self
    }
}

macro_rules! integers {
    ($( $signed:ident $unsigned:ident )*) => { $(
        impl FromJson for $unsigned {
            fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
                let range = (0, u64::from(Self::MAX));
                *self = reader.integer(stringify!($unsigned), range)?.1 as Self;
                Ok(())
            }

            fn reset(&mut self) {
                *self = 0;
            }
        }

        impl ToJson for $unsigned {
            fn write(&self, writer: &mut Writer) {
                writer.integer(false, u64::from(*self));
            }

            fn is_absent(&self) -> bool {
                *self == 0
            }
        }

        impl FromJson for $signed {
            fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
                let range = (i64::from(Self::MIN), Self::MAX as u64);
                let (negative, magnitude) = reader.integer(stringify!($signed), range)?;
                let number = magnitude as Self;
                *self = if negative { number.wrapping_neg() } else { number };
                Ok(())
            }

            fn reset(&mut self) {
                *self = 0;
            }
        }

        impl ToJson for $signed {
            fn write(&self, writer: &mut Writer) {
                writer.integer(*self < 0, u64::from(self.unsigned_abs()));
            }

            fn is_absent(&self) -> bool {
                *self == 0
            }
        }
    )* };
}

integers! { i16 u16 i32 u32 i64 u64 }

impl<T: FromJson + Default> FromJson for Option<T> {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        self.insert(T::default()).read(reader)
    }

    fn reset(&mut self) {
        *self = None;
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn write(&self, writer: &mut Writer) {
        match self {
            Some(value) => value.write(writer),
            None => writer.raw("null"),
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: FromJson + Default> FromJson for Vec<T> {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        self.clear();
        reader.open(b'[')?;
        while reader.next_element()? {
            let mut element = T::default();
            if let Err(failed) = element.read(reader) {
                return Err(reader.inside_index(failed, self.len()));
            }
            self.push(element);
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.clear();
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn write(&self, writer: &mut Writer) {
        self.as_slice().write(writer);
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

impl<T: ToJson> ToJson for [T] {
    fn write(&self, writer: &mut Writer) {
        writer.open('[');
        for element in self {
            writer.element();
            element.write(writer);
        }
        writer.close(']');
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

/// A pair is an array of two.
impl FromJson for (String, String) {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        reader.peek();
        let start = reader.at();
        reader.open(b'[')?;
        for part in [&mut self.0, &mut self.1] {
            if !reader.next_element()? {
                return Err(reader.fail_at(start, "expected two strings"));
            }
            part.read(reader)?;
        }
        match reader.next_element()? {
            false => Ok(()),
            true => Err(reader.fail_at(start, "expected two strings")),
        }
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl ToJson for (String, String) {
    fn write(&self, writer: &mut Writer) {
        [&self.0, &self.1].write(writer);
    }
}

impl<T: ToJson + ?Sized> ToJson for &T {
    fn write(&self, writer: &mut Writer) {
        (**self).write(writer);
    }

    fn is_absent(&self) -> bool {
        (**self).is_absent()
    }
}
