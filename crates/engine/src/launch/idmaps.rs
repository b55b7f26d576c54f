//! Mounts that show other owners than the disk has: `U` and `idmap` of podman's, without a change of any file.
//!
//! podman's `U` gives all files of the source to the container's user, by as many calls as there are files, and for
//! good. Here what belongs to the source's owner is shown as the user's, and what the user makes there is the owner's.

use super::spec::Plan;
use super::userns::Mapping;
use crate::error::{During, Error, Result};
use crate::record::Mount;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;

/// The mappings of users and groups, if a mount has its own.
pub(super) fn of(plan: &Plan<'_>, mount: &Mount, source: &str) -> Result<Option<(Value, Value)>> {
    if !mount.uid_map.is_empty() || !mount.gid_map.is_empty() {
        let users = read(&mount.uid_map)?;
        let groups = read(&mount.gid_map)?;
        // As podman: what is said of one only counts for the other, too.
        let users = if users.is_empty() { groups.clone() } else { users };
        let groups = if groups.is_empty() { users.clone() } else { groups };
        return Ok(Some((listed(&users), listed(&groups))));
    }
    if !mount.as_user || mount.kind == "tmpfs" {
        return Ok(None);
    }
    let metadata = std::fs::metadata(source).during(|| format!("opening {source}"))?;
    let (uid, gid) = (plan.user.uid, plan.user.gid);
    let shown = plan.mapping.and_then(|it: &Mapping| it.owner(uid, gid)).unwrap_or((uid, gid));
    if shown == (metadata.uid(), metadata.gid()) {
        return Ok(None);
    }
    if plan.users != super::Users::Host {
        let text =
            format!("{}: U: an ordinary user may not show files as another user's", mount.target);
        return Err(Error::invalid(text).with_hint(
            "--userns keep-id shows them as the container's user's; or have the user be root there",
        ));
    }
    Ok(Some((listed(&swapped(metadata.uid(), shown.0)), listed(&swapped(metadata.gid(), shown.1)))))
}

/// Ids on the disk, ids that are shown, and how many.
type Range = [u32; 3];

fn read(texts: &[String]) -> Result<Vec<Range>> {
    let range = |text: &String| {
        let numbers: Vec<u32> = text.split(':').filter_map(|it| it.parse().ok()).collect();
        numbers
            .try_into()
            .map_err(|_| Error::invalid(format!("idmap {text:?}: it is no range of ids")))
    };
    texts.iter().map(range).collect()
}

fn listed(ranges: &[Range]) -> Value {
    let one =
        |[disk, shown, size]: &Range| json!({"containerID": disk, "hostID": shown, "size": size});
    ranges.iter().map(one).collect()
}

/// Everybody is who he is, but for two who are each other.
fn swapped(one: u32, other: u32) -> Vec<Range> {
    let (low, high) = (one.min(other), one.max(other));
    let all = [
        [0, 0, low],
        [low, high, 1],
        [low + 1, low + 1, high - low - u32::from(high > low)],
        [high, low, u32::from(high > low)],
        [high + 1, high + 1, u32::MAX - high - 1],
    ];
    all.into_iter().filter(|range| range[2] > 0).collect()
}

#[test]
fn two_ids_are_swapped_and_the_others_stay() {
    for (one, other, wanted) in [
        (0, 1000, vec![[0, 1000, 1], [1, 1, 999], [1000, 0, 1], [1001, 1001, u32::MAX - 1001]]),
        (33, 5, vec![[0, 0, 5], [5, 33, 1], [6, 6, 27], [33, 5, 1], [34, 34, u32::MAX - 34]]),
        (7, 8, vec![[0, 0, 7], [7, 8, 1], [8, 7, 1], [9, 9, u32::MAX - 9]]),
        (0, 0, vec![[0, 0, 1], [1, 1, u32::MAX - 1]]),
    ] {
        assert_eq!(swapped(one, other), wanted, "{one} {other}");
    }
}
