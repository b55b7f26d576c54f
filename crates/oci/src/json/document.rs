//! Structs as objects: the declaration, and the drivers that read and write every one of them.

use super::{Failed, FromJson, Reader, ToJson, Writer};

/// A document that can be written.
pub trait Document {
    /// Names and rules of the fields.
    fn schema(&self) -> &'static Schema;

    /// A field by its number; `None` behind the last one.
    fn field(&self, index: usize) -> Option<&dyn ToJson>;
}

/// A document that can be read, too.
pub trait ReadDocument: Document {
    /// A field by its number; `None` behind the last one.
    fn field_mut(&mut self, index: usize) -> Option<&mut dyn FromJson>;
}

/// Names and rules of a document's fields: one bit for each field in the masks.
pub struct Schema {
    /// The names in the order of the fields.
    pub names: Names,
    /// Fields that are written even when they are absent.
    pub always: u64,
    /// Fields without which the document cannot be read.
    pub required: u64,
    /// Unknown members are refused: the program's own records.
    pub strict: bool,
}

/// Names in one string, each behind a byte with its length: no pointers that the program would
/// have to relocate at its start.
#[derive(Clone, Copy)]
pub struct Names(pub &'static str);

impl Names {
    /// The number of a name.
    pub fn find(self, name: &str) -> Option<usize> {
        self.iter().position(|known| known == name)
    }

    /// The number of a name. The search begins behind the one found last, and goes round.
    fn find_next(self, name: &str, last: &mut (usize, usize)) -> Option<usize> {
        let (mut at, mut index) = *last;
        let mut wrapped = false;
        loop {
            match self.next(&mut at) {
                Some(known) if known == name => {
                    *last = (at, index + 1);
                    return Some(index);
                }
                Some(_) if wrapped && at >= last.0 => return None,
                Some(_) => index += 1,
                None if wrapped => return None,
                None => (at, index, wrapped) = (0, 0, true),
            }
        }
    }

    /// The names in their order.
    pub fn iter(self) -> impl Iterator<Item = &'static str> {
        let mut at = 0;
        core::iter::from_fn(move || self.next(&mut at))
    }

    fn next(self, at: &mut usize) -> Option<&'static str> {
        let length = usize::from(*self.0.as_bytes().get(*at)?);
        let start = *at + 1;
        *at = start + length;
        self.0.get(start..*at)
    }
}

/// Reads an object into a document.
pub fn read_document(
    document: &mut dyn ReadDocument,
    reader: &mut Reader<'_>,
) -> core::result::Result<(), Failed> {
    let schema = document.schema();
    reader.peek();
    let start = reader.at();
    reader.open(b'{')?;
    let mut seen = 0;
    // Members come mostly in the order of the fields.
    let mut last = (0, 0);
    while let Some(key) = reader.next_key()? {
        let found = schema.names.find_next(&key, &mut last);
        let read = match found.and_then(|index| Some((index, document.field_mut(index)?))) {
            Some((index, field)) => read_member(field, 1 << index, &mut seen, reader),
            None if schema.strict => Err(reader.fail("unknown field")),
            None => reader.skip().map(drop),
        };
        if let Err(failed) = read {
            return Err(reader.inside_key(failed, &key));
        }
    }
    let missing = schema.required & !seen;
    match schema.names.iter().nth(missing.trailing_zeros() as usize) {
        Some(name) if missing != 0 => {
            Err(reader.fail_at(start, &["missing field `", name, "`"].concat()))
        }
        _ => Ok(()),
    }
}

fn read_member(
    field: &mut dyn FromJson,
    bit: u64,
    seen: &mut u64,
    reader: &mut Reader<'_>,
) -> core::result::Result<(), Failed> {
    if *seen & bit != 0 {
        field.reset();
        *seen &= !bit;
    }
    if !reader.null()? {
        *seen |= bit;
        field.read(reader)?;
    }
    Ok(())
}

/// Writes a document as an object.
pub fn write_document(document: &dyn Document, writer: &mut Writer) {
    let schema = document.schema();
    writer.open('{');
    let mut always = schema.always;
    for (index, name) in schema.names.iter().enumerate() {
        let Some(field) = document.field(index) else { break };
        if always & 1 != 0 || !field.is_absent() {
            writer.name(name);
            field.write(writer);
        }
        always >>= 1;
    }
    writer.close('}');
}

/// Whether every field of a document is absent: as a member of another one it is left out, then.
pub fn is_absent_document(document: &dyn Document) -> bool {
    (0..).map_while(|index| document.field(index)).all(ToJson::is_absent)
}

/// Option of a document: names are not turned to camel case.
pub const SNAKE: u8 = 1;
/// Option of a document: unknown members are refused.
pub const STRICT: u8 = 2;

/// Length of the text of [`Names`].
pub const fn table_size(names: &[&str], options: u8) -> usize {
    let (mut size, mut index) = (names.len(), 0);
    while index < names.len() {
        size += spelled(names[index], options, &mut []);
        index += 1;
    }
    size
}

/// The text of [`Names`]: `SIZE` is its [`table_size`].
pub const fn table<const SIZE: usize>(names: &[&str], options: u8) -> [u8; SIZE] {
    let mut table = [0; SIZE];
    let (mut at, mut index) = (0, 0);
    while index < names.len() {
        let (head, tail) = table.split_at_mut(at + 1);
        let length = spelled(names[index], options, tail);
        assert!(length < 128, "the length of a name must be a character");
        head[at] = length as u8;
        at += 1 + length;
        index += 1;
    }
    table
}

/// Writes `open_file` as `openFile` as far as there is room, and returns its length.
const fn spelled(name: &str, options: u8, into: &mut [u8]) -> usize {
    let bytes = name.as_bytes();
    let (mut length, mut index, mut upper) = (0, 0, false);
    while index < bytes.len() {
        let plain = bytes[index] >= b' ' && bytes[index] != b'"' && bytes[index] != b'\\';
        assert!(plain, "a name is written without escapes");
        if bytes[index] == b'_' && options & SNAKE == 0 {
            upper = true;
        } else {
            if length < into.len() {
                let byte = bytes[index];
                into[length] = if upper { byte.to_ascii_uppercase() } else { byte };
            }
            length += 1;
            upper = false;
        }
        index += 1;
    }
    length
}

/// A mask of the fields whose mode has a bit.
pub const fn modes(modes: &[u8], bit: u8) -> u64 {
    assert!(modes.len() <= 64, "a document has at most 64 fields");
    let (mut mask, mut index) = (0, 0);
    while index < modes.len() {
        if modes[index] & bit != 0 {
            mask |= 1 << index;
        }
        index += 1;
    }
    mask
}

/// Declares documents: structs whose fields are members of an object.
///
/// ```
/// oci::document! {
///     /// A device node.
///     Device {
///         /// Members have the field's name in camel case: `fileMode`.
///         file_mode: Option<u32>,
///         /// Another name.
///         kind as "type": String,
///         /// Written even when it is 0, empty or `None`. Otherwise it is left out then.
///         major: i64 => always,
///         /// Written always, and an error when it is not there.
///         path: String => required,
///     }
///
///     /// `snake`: members have the fields' names. `strict`: unknown members are refused.
///     Place(snake, strict) {
///         mount_point: String,
///     }
/// }
/// let device: Device = oci::json::read(br#"{"type":"c","path":"/x","other":[]}"#).unwrap();
/// assert_eq!(device.kind, "c");
/// assert_eq!(oci::json::write(&device), r#"{"type":"c","major":0,"path":"/x"}"#);
/// ```
///
/// Every field's type needs [`FromJson`](crate::json::FromJson) and
/// [`ToJson`](crate::json::ToJson), and `Default` for when it is absent.
#[macro_export]
macro_rules! document {
    ($( $(#[$meta:meta])* $name:ident $(($($option:ident),*))? {
        $( $(#[$field_meta:meta])*
           $field:ident $(as $json:literal)? : $type:ty $(=> $mode:ident)? ),* $(,)?
    } )*) => { $(
        $crate::report! {
            $(#[$meta])*
            $name $(($($option),*))? {
                $( $(#[$field_meta])* $field $(as $json)? : $type $(=> $mode)?, )*
            }
        }

        impl $crate::json::ReadDocument for $name {
            fn field_mut(&mut self, index: usize) -> Option<&mut dyn $crate::json::FromJson> {
                #[allow(non_camel_case_types)]
                enum Index { $($field),* }
                $( if index == Index::$field as usize { return Some(&mut self.$field); } )*
                None
            }
        }

        impl $crate::json::FromJson for $name {
            fn read(
                &mut self,
                reader: &mut $crate::json::Reader<'_>,
            ) -> core::result::Result<(), $crate::json::Failed> {
                $crate::json::read_document(self, reader)
            }

            fn reset(&mut self) {
                *self = Self::default();
            }
        }
    )* };
}

/// Declares documents that are only written. The form is that of [`document!`].
#[macro_export]
macro_rules! report {
    ($( $(#[$meta:meta])* $name:ident $(($($option:ident),*))? {
        $( $(#[$field_meta:meta])*
           $field:ident $(as $json:literal)? : $type:ty $(=> $mode:ident)? ),* $(,)?
    } )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        #[allow(missing_docs, reason = "the document's specification says what the fields are")]
        pub struct $name { $( $(#[$field_meta])* pub $field: $type, )* }

        impl $crate::json::Document for $name {
            fn schema(&self) -> &'static $crate::json::Schema {
                const NAMES: &[&str] = &[$( $crate::json_name!($field $($json)?) ),*];
                const MODES: &[u8] = &[$( $crate::json_mode!($($mode)?) ),*];
                const OPTIONS: u8 = 0 $($( | $crate::json_option!($option) )*)?;
                const SIZE: usize = $crate::json::table_size(NAMES, OPTIONS);
                const TABLE: &[u8; SIZE] = &$crate::json::table(NAMES, OPTIONS);
                static SCHEMA: $crate::json::Schema = $crate::json::Schema {
                    names: $crate::json::Names(match core::str::from_utf8(TABLE) {
                        Ok(text) => text,
                        Err(_) => panic!("names are UTF-8"),
                    }),
                    always: $crate::json::modes(MODES, 1),
                    required: $crate::json::modes(MODES, 2),
                    strict: OPTIONS & $crate::json::STRICT != 0,
                };
                &SCHEMA
            }

            fn field(&self, index: usize) -> Option<&dyn $crate::json::ToJson> {
                #[allow(non_camel_case_types)]
                enum Index { $($field),* }
                $( if index == Index::$field as usize { return Some(&self.$field); } )*
                None
            }
        }

        impl $crate::json::ToJson for $name {
            fn write(&self, writer: &mut $crate::json::Writer) {
                $crate::json::write_document(self, writer);
            }

            fn is_absent(&self) -> bool {
                $crate::json::is_absent_document(self)
            }
        }
    )* };
}

#[doc(hidden)]
#[macro_export]
macro_rules! json_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $json:literal) => {
        $json
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! json_mode {
    () => {
        0
    };
    (always) => {
        1
    };
    (required) => {
        3
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! json_option {
    (snake) => {
        $crate::json::SNAKE
    };
    (strict) => {
        $crate::json::STRICT
    };
}
