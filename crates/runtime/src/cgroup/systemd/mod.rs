//! The systemd driver: systemd makes the cgroup, as a transient scope that holds the container's
//! first process.
//!
//! systemd is reached over its private socket where that is possible: one program less takes part
//! than over the message bus, it works before a bus runs, and the end of a job is told without
//! asking for it. Each command opens a connection of its own and makes as few calls as it can:
//! starting a container is two (the version, the unit with all of its limits), against runc's
//! five to seven (runc#4853).
//!
//! What systemd cannot express, and older versions do not know, is written to the cgroup's files
//! as by the other driver; so is everything else, because systemd rounds.

mod annotation;
mod bus;
#[cfg(test)]
mod fake;
mod properties;
#[cfg(test)]
mod tests;
mod wire;

use super::plan::{Plan, Request};
use crate::error::{Error, Kind, Result};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bus::{Address, Bus, CallError};
use oci::runtime::Resources;
use properties::{Context, Property};
use wire::Value;

/// Prefix of the names of scopes whose configuration names none.
const DEFAULT_PREFIX: &str = "tare";
/// Longest unit name (`UNIT_NAME_MAX` of systemd).
const NAME_LIMIT_BYTES: usize = 255;
/// Sockets of the system's manager, in the order in which they are tried.
const SYSTEM_PRIVATE: &str = "/run/systemd/private";
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

oci::document! {
    /// The unit of a container.
    #[derive(Eq)]
    Unit(snake, strict) {
        /// `tare-ID.scope`.
        name: String => required,
        /// The slice it is in: `system.slice`.
        slice: String => required,
        /// The cgroup of the manager: `/` but for a user's.
        manager: String => required,
        /// The user's manager, not the system's.
        user: bool,
        /// The container runs in a user namespace whose uids the bus does not know.
        unnamed: bool,
        /// D-Bus address, if not the default one.
        address: Option<String>,
        /// The user whose default address it is.
        uid: u32 => required,
        /// Properties from annotations: name and text of the value.
        properties: Vec<(String, String)>,
    }
}

/// A scope of an ordinary user's, around a process that runs already.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// `NAME.scope`
    pub name: &'a str,
    /// The user.
    pub uid: u32,
    /// D-Bus address of the user's systemd, if not the default one.
    pub address: Option<&'a str>,
}

/// Has the user's systemd start a scope around process `pid`, whose cgroup is the user's to divide (v2). With the
/// process it comes out of wherever the kernel lets nobody but root make cgroups, or move processes from.
pub fn adopt(scope: Scope<'_>, pid: i32) -> Result<()> {
    check_name(scope.name)?;
    let unit = Unit {
        name: scope.name.to_owned(),
        slice: "user.slice".into(),
        manager: "/".into(),
        user: true,
        unnamed: false,
        address: scope.address.map(ToOwned::to_owned),
        uid: scope.uid,
        properties: Vec::new(),
    };
    let mut bus = unit.connect()?;
    unit.begin(&mut bus, &properties::of_unit(&unit, super::Version::V2, pid))
}

impl Unit {
    /// Reads `slice:prefix:name`; runc's defaults, but for the prefix.
    pub(super) fn new(request: &Request<'_>) -> Result<Self> {
        let path = request.cgroups_path;
        let (slice, prefix, name) = match path {
            "" => ("", DEFAULT_PREFIX, request.id),
            path => {
                let mut parts = path.splitn(3, ':');
                let parts = (parts.next(), parts.next(), parts.next());
                match parts {
                    (Some(slice), Some(prefix), Some(name)) if !name.contains(':') => {
                        (slice, prefix, name)
                    }
                    _ => {
                        return Err(Error::invalid(format!(
                            "linux.cgroupsPath \"{}\": systemd cgroups need the form \
                             \"slice:prefix:name\"",
                            path.escape_debug()
                        )));
                    }
                }
            }
        };
        let name = match (name.ends_with(".slice"), prefix) {
            (true, _) => name.to_owned(),
            (false, "") => format!("{name}.scope"),
            (false, prefix) => format!("{prefix}-{name}.scope"),
        };
        check_name(&name)?;
        let slice = match (slice, request.rootless) {
            ("", true) => "user.slice",
            ("", false) => "system.slice",
            (slice, _) => slice,
        };
        let mut unit = Self {
            name,
            slice: slice.to_owned(),
            manager: "/".into(),
            user: request.rootless,
            unnamed: request.user_namespace,
            address: request.bus_address.map(ToOwned::to_owned),
            uid: request.uid,
            properties: annotation::properties(request.annotations, request.properties)?,
        };
        expand_slice(&unit.slice)?;
        if unit.user {
            unit.manager = unit.connect()?.manager_text("ControlGroup")?;
        }
        Ok(unit)
    }

    /// The unit's cgroup below the root of each hierarchy.
    pub(super) fn cgroup_path(&self) -> Result<String> {
        let path = format!("{}/{}/{}", self.manager, expand_slice(&self.slice)?, self.name);
        super::plan::clean("the unit's cgroup", &path)
    }

    fn addresses(&self) -> Result<Vec<Address>> {
        if let Some(address) = &self.address {
            return Address::parse(address);
        }
        let (private, bus) = match self.user {
            true => {
                let run = format!("/run/user/{}", self.uid);
                (format!("{run}/systemd/private"), format!("{run}/bus"))
            }
            false => (SYSTEM_PRIVATE.into(), SYSTEM_BUS.into()),
        };
        Ok(alloc::vec![
            Address { path: private, private: true },
            Address { path: bus, private: false },
        ])
    }

    fn connect(&self) -> Result<Bus> {
        Bus::connect(&self.addresses()?, !self.unnamed)
    }

    /// Starts the unit with process `pid` in it and waits until it has. Returns warnings.
    pub(super) fn start(
        &self,
        plan: &Plan,
        resources: &Resources,
        pid: i32,
    ) -> Result<Vec<String>> {
        self.start_over(self.connect()?, plan, resources, pid)
    }

    fn start_over(
        &self,
        mut bus: Bus,
        plan: &Plan,
        resources: &Resources,
        pid: i32,
    ) -> Result<Vec<String>> {
        let version = version(&mut bus)?;
        let mut warnings = Vec::new();
        let mut list = properties::of_unit(self, plan.version, pid);
        for (name, text) in &self.properties {
            list.push(annotation::property(name, text)?);
        }
        list.extend(properties::oom_policy(plan.version, resources, version)?);
        let context =
            Context { version: plan.version, systemd: version, devices: !plan.user_namespace };
        let mut resources = resources.clone();
        list.extend(properties::of_resources(&context, &mut resources, &mut warnings)?);
        self.begin(&mut bus, &list)?;
        Ok(warnings)
    }

    /// Has systemd start the unit, and waits until it has.
    fn begin(&self, bus: &mut Bus, list: &[Property]) -> Result<()> {
        let attempt = format!("starting systemd unit {}", self.name);
        let arguments = || {
            alloc::vec![
                Value::text(&self.name),
                Value::text("replace"),
                array(list),
                Value::Array("(sa(sv))".into(), Vec::new()),
            ]
        };
        let mut started = bus.job("StartTransientUnit", arguments());
        if started.as_ref().is_err_and(|error| error.is("UnitExists")) {
            // A failed unit of an earlier container of this name keeps it until it is reset.
            self.reset_failed(bus);
            started = bus.job("StartTransientUnit", arguments());
        }
        match started.map_err(|error| error.context(&attempt))?.as_str() {
            "done" => Ok(()),
            result => {
                self.reset_failed(bus);
                Err(Error::new(Kind::Os, format!("{attempt}: the job ended with \"{result}\"")))
            }
        }
    }

    /// Stops the unit, whose processes systemd kills, and forgets it. One that is not there is no
    /// error.
    pub(super) fn stop(&self) -> Result<()> {
        self.stop_over(self.connect()?)
    }

    fn stop_over(&self, mut bus: Bus) -> Result<()> {
        let arguments = alloc::vec![Value::text(&self.name), Value::text("replace")];
        let stopped = bus.job("StopUnit", arguments);
        self.reset_failed(&mut bus);
        match stopped {
            Ok(_) => Ok(()),
            Err(error) if error.is("NoSuchUnit") => Ok(()),
            Err(error) => Err(error.context(&format!("stopping systemd unit {}", self.name))),
        }
    }

    /// A failed unit stays until it is reset; there is nothing to do if it is not failed.
    fn reset_failed(&self, bus: &mut Bus) {
        let _ = bus.manager("ResetFailedUnit", alloc::vec![Value::text(&self.name)]);
    }

    /// Whether systemd knows the unit.
    pub fn exists(&self) -> Result<bool> {
        match self.connect()?.manager("GetUnit", alloc::vec![Value::text(&self.name)]) {
            Ok(_) => Ok(true),
            Err(error) if error.is("NoSuchUnit") => Ok(false),
            Err(error) => Err(error.context(&format!("looking for systemd unit {}", self.name))),
        }
    }

    /// Tells systemd about new limits, which it would undo otherwise when it reloads. `resources`
    /// are completed and rounded as systemd has them, to be written to the files.
    pub(super) fn update(&self, plan: &Plan, resources: &mut Resources) -> Result<Vec<String>> {
        properties::complete(plan, resources)?;
        self.update_over(self.connect()?, plan, resources)
    }

    fn update_over(
        &self,
        mut bus: Bus,
        plan: &Plan,
        resources: &mut Resources,
    ) -> Result<Vec<String>> {
        let context =
            Context { version: plan.version, systemd: version(&mut bus)?, devices: false };
        let mut warnings = Vec::new();
        let list = properties::of_resources(&context, resources, &mut warnings)?;
        if list.is_empty() {
            return Ok(warnings);
        }
        // True: until the next boot, like the unit.
        let arguments = alloc::vec![Value::text(&self.name), Value::Bool(true), array(&list)];
        bus.manager("SetUnitProperties", arguments)
            .map_err(|error| error.context(&format!("changing systemd unit {}", self.name)))?;
        Ok(warnings)
    }

    /// Has systemd move process `pid` into the unit's cgroup, or one below it.
    pub(super) fn attach(&self, sub: &str, pid: i32) -> Result<()> {
        let arguments = alloc::vec![
            Value::text(&self.name),
            Value::text(&format!("/{sub}")),
            Value::Array("u".into(), alloc::vec![Value::U32(pid as u32)]),
        ];
        let attached = self.connect()?.manager("AttachProcessesToUnit", arguments);
        let attempt = || format!("adding pid {pid} to systemd unit {}", self.name);
        attached.map(drop).map_err(|error: CallError| error.context(&attempt()))
    }
}

/// Works out what would be sent for limits, for the oldest and the newest systemd.
pub(super) fn rehearse(resources: &Resources, version: super::Version) -> Result<()> {
    for systemd in [229, u32::MAX] {
        properties::oom_policy(version, resources, systemd)?;
        let context = Context { version, systemd, devices: true };
        let list = properties::of_resources(&context, &mut resources.clone(), &mut Vec::new())?;
        let call = wire::Call {
            destination: "",
            path: "/",
            interface: "",
            member: "",
            arguments: alloc::vec![array(&list)],
        };
        call.encode(1);
    }
    Ok(())
}

/// `a(sv)`.
fn array(properties: &[Property]) -> Value {
    let one = |(name, value): &Property| {
        Value::Struct(alloc::vec![Value::text(name), value.clone().variant()])
    };
    Value::Array("(sv)".into(), properties.iter().map(one).collect())
}

/// systemd's version: `249` of `v249.11-0ubuntu3`, `249-1.fc35`.
fn version(bus: &mut Bus) -> Result<u32> {
    let text = bus.manager_text("Version")?;
    let digits = text.trim_start_matches(['v', '"']);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let shown = text.escape_debug();
    digits[..end].parse().map_err(|_| {
        Error::new(Kind::Corrupt, format!("systemd says that its version is \"{shown}\""))
    })
}

/// The characters that systemd allows in a unit's name; it is also the name of a directory.
fn check_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    if name.is_empty() || name.len() > NAME_LIMIT_BYTES || !name.bytes().all(allowed) {
        let shown = name.escape_debug().to_string();
        return Err(Error::invalid(format!("\"{shown}\" is not a name of a systemd unit")));
    }
    Ok(())
}

/// The path of a slice, whose name holds those of its parents: `a-b.slice` is `a.slice/a-b.slice`.
fn expand_slice(slice: &str) -> Result<String> {
    let invalid = || Error::invalid(format!("invalid slice name: \"{}\"", slice.escape_debug()));
    let stem = slice.strip_suffix(".slice").ok_or_else(invalid)?;
    check_name(slice).map_err(|_| invalid())?;
    // The root slice.
    if stem == "-" {
        return Ok(String::new());
    }
    let mut path = String::new();
    for (at, _) in stem.match_indices('-').chain([(stem.len(), "")]) {
        let parent = &stem[..at];
        if parent.is_empty() || parent.ends_with('-') {
            return Err(invalid());
        }
        path += &format!("/{parent}.slice");
    }
    Ok(path)
}
