//! What a user may have meant by a name that is not there.

use oci::Reference;
use store::NameRecord;
use transport::place::distance;

/// Longer names are not compared.
const COMPARED_LIMIT: usize = 128;
/// More wrong letters are another name.
const DISTANCE_LIMIT: usize = 2;

/// The name that is most like a text: the same repository with another tag, or one that is written nearly so.
pub(crate) fn similar<'n>(names: &'n [NameRecord], text: &str) -> Option<&'n str> {
    let wanted = last_part(text).filter(|it| it.len() <= COMPARED_LIMIT)?;
    let near = names.iter().filter_map(|record| {
        let name = last_part(&record.reference).filter(|it| it.len() <= COMPARED_LIMIT)?;
        let wrong = distance(&wanted, &name);
        // Of a short name, two wrong letters leave nothing.
        (wrong <= DISTANCE_LIMIT.min(name.len() / 3)).then_some((wrong, &*record.reference))
    });
    near.min().map(|(_, name)| name)
}

/// The last part of a repository's name.
fn last_part(text: &str) -> Option<String> {
    let reference = Reference::parse(text).ok()?;
    reference.name().rsplit('/').next().map(str::to_owned)
}
