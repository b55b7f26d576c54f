//! HTTP as far as it is not the registry's: routes, queries, ranges, bodies.

pub(crate) mod body;
pub(crate) mod query;
pub(crate) mod range;
pub(crate) mod route;
pub(crate) mod stream;
