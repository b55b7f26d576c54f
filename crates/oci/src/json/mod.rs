//! JSON documents as structs, without a tree in between.
//!
//! A document is declared once with [`document!`](crate::document): the macro makes the struct, a
//! table of its field names and two functions that turn a field's number into a reference. One
//! driver reads every document ([`FromJson`]), one writes them ([`ToJson`]), so that a new field
//! costs its name and a few bytes of code. (Derived visitors of a serialisation framework were a
//! quarter of the runtime's program and a third of the instructions before a container's start.)
//!
//! Reading is strict [RFC 8259]: UTF-8, no trailing commas or bytes, no lone surrogates. Beyond it:
//!
//! - `null` as a member is the same as no member, as Go's encoder writes it.
//! - Of members with the same name the last one counts, as in Go. Names are compared exactly: Go
//!   also takes `HOSTNAME` for `hostname`, which no configuration relies on.
//! - Unknown members are checked and ignored, unless the document is `strict`.
//! - An integer has no fraction and no exponent, and is in the range of its type.
//! - Errors name the whole path: `process.user.uid: invalid type: string "root", expected u32
//!   (line 9 column 14)`.
//!
//! [RFC 8259]: https://www.rfc-editor.org/rfc/rfc8259

mod document;
mod names;
mod reader;
mod types;
mod writer;

#[cfg(test)]
mod tests;

pub use document::{Document, Names, ReadDocument, Schema};
#[doc(hidden)]
pub use document::{
    SNAKE, STRICT, is_absent_document, modes, read_document, table, table_size, write_document,
};
pub use reader::{DEPTH_LIMIT, Failed, PARTS_LIMIT, Reader};
pub use types::{Object, Raw};
pub use writer::Writer;

use alloc::string::String;

/// A value that can be read.
pub trait FromJson {
    /// Reads the value that the reader stands before.
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed>;

    /// Makes the value what it is when its member is absent.
    fn reset(&mut self);
}

/// A value that can be written.
pub trait ToJson {
    /// Writes the value.
    fn write(&self, writer: &mut Writer);

    /// Whether a document leaves the member out: Go's `omitempty`.
    fn is_absent(&self) -> bool {
        false
    }
}

/// Reads one document. The error is a sentence fragment that starts with the path of the field.
pub fn read<T: FromJson + Default>(text: &[u8]) -> Result<T, String> {
    let mut document = T::default();
    Reader::whole(text, &mut document)?;
    Ok(document)
}

/// Writes one document on one line.
pub fn write(document: &dyn ToJson) -> String {
    let mut writer = Writer::compact();
    document.write(&mut writer);
    writer.finish()
}

/// Writes one document for people: a line for each member, indented by two blanks.
pub fn write_pretty(document: &dyn ToJson) -> String {
    let mut writer = Writer::pretty();
    document.write(&mut writer);
    writer.finish()
}
