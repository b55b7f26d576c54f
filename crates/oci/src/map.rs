//! Maps of a few members: annotations, sysctls, devices by name.

use crate::json::{Failed, FromJson, Reader, ToJson, Writer};
use alloc::string::String;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::Ordering;

/// A map, sorted by its keys, which are strings in every document. It is one block of pairs: there
/// are few members, and a tree's code for every type of value would take more room than all
/// documents together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map<T = String, K = String>(Vec<(K, T)>);

impl<T, K: Ord> Map<T, K> {
    /// An empty map.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a member; one with the same key is replaced.
    pub fn insert(&mut self, key: K, value: T) {
        match self.find(&key) {
            Ok(index) => self.0[index].1 = value,
            Err(index) => self.0.insert(index, (key, value)),
        }
    }

    /// The value of a key, which becomes a member if it is none.
    pub fn or_default(&mut self, key: K) -> &mut T
    where
        T: Default,
    {
        let index = self.find(&key).unwrap_or_else(|index| {
            self.0.insert(index, (key, T::default()));
            index
        });
        &mut self.0[index].1
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&T>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|index| &self.0[index].1)
    }

    /// Whether there is a value of a key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Keeps the members that fulfil a condition.
    pub fn retain(&mut self, mut condition: impl FnMut(&K, &mut T) -> bool) {
        self.0.retain_mut(|(key, value)| condition(key, value));
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The members in the order of their keys.
    pub fn iter(&self) -> Iter<'_, T, K> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(known, _)| known.borrow().cmp(key))
    }
}

/// Iterator over the members of a [`Map`].
type Iter<'a, T, K> = core::iter::Map<core::slice::Iter<'a, (K, T)>, fn(&(K, T)) -> (&K, &T)>;

impl<T, K: Ord> Default for Map<T, K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, T, K: Ord> IntoIterator for &'a Map<T, K> {
    type Item = (&'a K, &'a T);
    type IntoIter = Iter<'a, T, K>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T, K: Ord> FromIterator<(K, T)> for Map<T, K> {
    fn from_iter<I: IntoIterator<Item = (K, T)>>(members: I) -> Self {
        let mut map = Self::new();
        members.into_iter().for_each(|(key, value)| map.insert(key, value));
        map
    }
}

impl<T: FromJson + Default> FromJson for Map<T> {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Failed> {
        let mut members: Vec<(String, T)> = Vec::new();
        let mut sorted = true;
        reader.open(b'{')?;
        while let Some(key) = reader.next_key()? {
            let mut value = T::default();
            if let Err(failed) = value.read(reader) {
                return Err(reader.inside_key(failed, &key));
            }
            sorted &= members.last().is_none_or(|(last, _)| **last < *key);
            members.push((key.into_owned(), value));
        }
        if !sorted {
            let order = order(members.len(), &|a, b| members[a].0.cmp(&members[b].0));
            let move_member = |index: usize| core::mem::take(&mut members[index]);
            let moved: Vec<_> = order.into_iter().map(move_member).collect();
            members = moved;
        }
        self.0 = members;
        Ok(())
    }

    fn reset(&mut self) {
        self.0.clear();
    }
}

/// The order of members: of those that are equal only the last one.
///
/// It is not generic: sorting the members themselves would bring code for every type of value.
fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    // Later members first, so that `dedup` keeps them.
    sort_by(&mut order, |&a, &b| compare(a, b).then(b.cmp(&a)));
    order.dedup_by(|later, kept| compare(*later, *kept) == Ordering::Equal);
    order
}

/// Sorts with a heap: `sort_unstable` of the core library is faster for long lists, but it is up
/// to 8 KB of code for each type. Equal items may change places.
pub fn sort_by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    // First the root of every part becomes its greatest item, from the end to the front; then the
    // greatest of all goes behind the heap, again and again.
    for step in (0..items.len() + items.len() / 2).rev() {
        let (mut root, end) = match step.checked_sub(items.len()) {
            Some(root) => (root, items.len()),
            None => {
                items.swap(0, step);
                (0, step)
            }
        };
        loop {
            let mut child = 2 * root + 1;
            if child >= end {
                break;
            }
            if child + 1 < end && compare(&items[child], &items[child + 1]).is_lt() {
                child += 1;
            }
            if compare(&items[root], &items[child]).is_ge() {
                break;
            }
            items.swap(root, child);
            root = child;
        }
    }
}

impl<T: ToJson> ToJson for Map<T> {
    fn write(&self, writer: &mut Writer) {
        writer.open('{');
        for (key, value) in self {
            writer.key(key);
            value.write(writer);
        }
        writer.close('}');
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{read, write};
    use std::collections::BTreeMap;

    #[test]
    fn members_are_sorted_and_the_last_of_equals_counts() {
        let check = |text: &str, expected: &str| {
            let map: Map<u32> = read(text.as_bytes()).unwrap();
            assert_eq!(write(&map), expected, "{text}");
        };
        check("{}", "{}");
        check(r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#);
        check(r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#);
        check(r#"{"a":1,"a":2}"#, r#"{"a":2}"#);
        check(r#"{"b":1,"a":2,"b":3,"a":4,"":5,"b":6}"#, r#"{"":5,"a":4,"b":6}"#);
        assert!(read::<Map<u32>>(br#"{"a":1,"b":null}"#).is_err());
    }

    #[test]
    fn maps_behave_as_trees_do() {
        // A fixed sequence with many repetitions.
        let keys = (0..500_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 25).to_string());
        let pairs: Vec<(String, u32)> = keys.zip(0..).collect();
        let map: Map<u32> = pairs.iter().cloned().collect();
        let tree: BTreeMap<String, u32> = pairs.iter().cloned().collect();
        assert!(map.iter().eq(tree.iter()));
        assert!(map.keys().eq(tree.keys()));
        assert_eq!((map.len(), map.is_empty()), (tree.len(), false));
        for (key, _) in &pairs {
            assert_eq!(map.get(key), tree.get(key));
        }
        let (mut map_kept, mut tree_kept) = (map.clone(), tree);
        map_kept.retain(|_, value| *value % 3 == 0);
        tree_kept.retain(|_, value| *value % 3 == 0);
        for (key, _) in pairs.iter().step_by(5) {
            *map_kept.or_default(key.clone()) += 1;
            *tree_kept.entry(key.clone()).or_default() += 1;
        }
        assert!(map_kept.iter().eq(tree_kept.iter()));
        assert!(!map.contains_key("x") && map.contains_key(&pairs[0].0));
        let members: Vec<_> =
            pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        let text = format!("{{{}}}", members.join(","));
        assert_eq!(read::<Map<u32>>(text.as_bytes()), Ok(map));
    }

    #[test]
    fn lists_are_sorted() {
        for length in 0..60_u32 {
            for factor in [0, 1, 7, u32::MAX, 2_654_435_761] {
                let list: Vec<u32> = (0..length).map(|i| i.wrapping_mul(factor) >> 3).collect();
                let (mut own, mut expected) = (list.clone(), list);
                sort_by(&mut own, u32::cmp);
                expected.sort_unstable();
                assert_eq!(own, expected);
            }
        }
    }

    #[test]
    fn many_members_in_any_order_are_read_in_time() {
        let members: Vec<_> = (0..200_000).rev().map(|i| format!("\"{i}\":0")).collect();
        let text = format!("{{{}}}", members.join(","));
        assert_eq!(read::<Map<u32>>(text.as_bytes()).unwrap().len(), members.len());
    }
}
