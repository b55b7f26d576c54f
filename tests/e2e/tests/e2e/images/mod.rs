//! Images: `tare` beside skopeo, with docker's registry and layouts that are made on the spot.

mod copy;
mod faults;
mod filesystems;
pub(super) mod full;
mod inspect;
mod races;
mod repositories;
mod schema1;
mod secure;
mod signatures;
mod sync;
mod together;
mod vectors;
mod verbs;
