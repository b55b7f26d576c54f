//! Closed sets of names as enums.

/// Declares enums whose values are written as names.
///
/// ```
/// oci::names! {
///     /// How a plane flies.
///     Mode, default Taxi {
///         /// On the ground.
///         Taxi = "taxi",
///         /// In the air.
///         Cruise = "cruise",
///     }
/// }
/// assert_eq!(Mode::Cruise.name(), "cruise");
/// let modes: Vec<Mode> = oci::json::read(br#"["cruise", "taxi"]"#).unwrap();
/// assert_eq!(modes, [Mode::Cruise, Mode::Taxi]);
/// ```
#[macro_export]
macro_rules! names {
    ($( $(#[$meta:meta])* $enum:ident, default $default:ident {
        $( $(#[$variant_meta:meta])* $variant:ident = $name:literal ),* $(,)?
    } )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the names are the specification's")]
        pub enum $enum { $( $(#[$variant_meta])* $variant, )* }

        impl $enum {
            /// Every value.
            pub const VALUES: &[Self] = &[ $( Self::$variant, )* ];

            const NAMES: $crate::json::Names = {
                const NAMES: &[&str] = &[ $( $name, )* ];
                const SIZE: usize = $crate::json::table_size(NAMES, $crate::json::SNAKE);
                const TABLE: &[u8; SIZE] = &$crate::json::table(NAMES, $crate::json::SNAKE);
                $crate::json::Names(match core::str::from_utf8(TABLE) {
                    Ok(text) => text,
                    Err(_) => panic!("names are UTF-8"),
                })
            };

            /// The name in documents.
            pub fn name(self) -> &'static str {
                Self::NAMES.iter().nth(self as usize).unwrap_or_default()
            }

            /// The value with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::VALUES.get(Self::NAMES.find(name)?).copied()
            }
        }

        impl Default for $enum {
            fn default() -> Self { Self::$default }
        }

        impl $crate::json::FromJson for $enum {
            fn read(
                &mut self,
                reader: &mut $crate::json::Reader<'_>,
            ) -> core::result::Result<(), $crate::json::Failed> {
                let index = reader.name(Self::NAMES)?;
                *self = Self::VALUES.get(index).copied().unwrap_or_default();
                Ok(())
            }

            fn reset(&mut self) {
                *self = Self::default();
            }
        }

        impl $crate::json::ToJson for $enum {
            fn write(&self, writer: &mut $crate::json::Writer) {
                writer.string(self.name());
            }
        }
    )* };
}
