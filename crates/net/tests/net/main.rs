//! Networks on the real kernel, on a host of each test's own (`private_net`).

mod bridge;
mod macvlan;
mod pasta;
mod published;
mod robust;
mod setting;
