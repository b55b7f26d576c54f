//! L1, L3, L4: archives that mean harm. Each is unpacked in every form; what is outside of the root
//! must be as it was, and the refusal must be the expected one.

use crate::place::{Place, listing};
use crate::tables::bombs::bombs;
use crate::tables::headers::{devices, parsers};
use crate::tables::links::{links, whiteouts};
use crate::tables::names::traversal;
use crate::tables::peers::{Peer, Shows, To};
use crate::tables::peers::{containerd, containers_storage, layers_of_containers_storage, umoci};
use crate::tables::{AnyRefusal, Case, Has, Lacks, Refused};
use archive::apply::{Devices, Form, Notes, Options, Owners, Report, apply};
use archive::tar::Reader;
use archive::{Error, Limits};

pub fn unpack(place: &Place, bytes: &[u8], form: Form) -> Result<Report, Error> {
    let root = place.open("root");
    let keep = place.open("kept");
    let options =
        Options { form, devices: Devices::Make, owners: Owners::Exact, keep: Some(keep.borrow()) };
    apply(root.borrow(), &mut Reader::new(bytes, Limits::default()), options)
}

fn check(cases: Vec<Case>) {
    if sys::ids::euid() != 0 {
        skips::skip("hostile", "devices, owners and trusted attributes need root");
        return;
    }
    let mut wrong = Vec::new();
    for (name, craft, fate) in cases {
        for form in [Form::Overlay(Notes::Trusted), Form::Overlay(Notes::User), Form::Plain] {
            let place = Place::new("hostile");
            let before = place.outside();
            let result = unpack(&place, &craft.clone().end(), form);
            let inside = listing(&place.root());
            let fine = match (fate, &result) {
                (Refused(kind), Err(error)) => error.kind() == kind,
                (AnyRefusal, Err(_)) => true,
                (Has(path), Ok(_)) => inside.contains_key(path),
                (Lacks(path), Ok(_)) => !inside.contains_key(path),
                _ => false,
            };
            if !fine {
                wrong.push(format!(
                    "{name} ({form:?}): {fate:?}, but {result:?}, {:?}",
                    inside.keys()
                ));
            }
            if let Err(error) = &result
                && error.to_string().len() > 1000
            {
                wrong.push(format!("{name}: a refusal of {} bytes", error.to_string().len()));
            }
            if place.outside() != before {
                wrong.push(format!("{name} ({form:?}): ESCAPED: {:?}", place.outside()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn l1_names_never_lead_out() {
    check(traversal());
}

#[test]
fn l1_links_never_lead_out() {
    check(links());
}

#[test]
fn l1_whiteouts_never_lead_out() {
    check(whiteouts());
}

#[test]
fn l2_what_programs_read_differently_is_refused() {
    check(parsers());
}

#[test]
fn l3_bombs_meet_limits() {
    check(bombs());
}

#[test]
fn l4_devices_and_modes_are_made_exactly_or_refused() {
    check(devices());
}

/// A layer upon what is below it in a plain tree, and alone as overlayfs has it.
fn check_peers(cases: Vec<Peer>) {
    if sys::ids::euid() != 0 {
        skips::skip("hostile", "devices, owners and trusted attributes need root");
        return;
    }
    let mut wrong = Vec::new();
    for (name, below, layer, comes) in cases {
        for form in [Form::Plain, Form::Overlay(Notes::Trusted)] {
            let place = Place::new("peers");
            let before = place.outside();
            if form == Form::Plain {
                unpack(&place, &below.clone().end(), form).unwrap();
            }
            let result = unpack(&place, &layer.clone().end(), form);
            let inside = listing(&place.root());
            let shows = |(path, text): &(&str, &str)| match inside.get(*path) {
                Some(found) => !text.is_empty() && found.contains(text),
                None => text.is_empty(),
            };
            let fine = match (comes, &result) {
                (To(kind), Err(error)) => error.kind() == kind,
                (Shows(all), Ok(_)) => form != Form::Plain || all.iter().all(shows),
                _ => false,
            };
            if !fine {
                wrong.push(format!("{name} ({form:?}): {comes:?}, but {result:?}, {inside:?}"));
            }
            if place.outside() != before {
                wrong.push(format!("{name} ({form:?}): ESCAPED: {:?}", place.outside()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn l1_the_cases_of_containerd() {
    check_peers(containerd());
}

#[test]
fn l1_the_cases_of_umoci() {
    check_peers(umoci());
}

#[test]
fn l1_the_cases_of_containers_storage() {
    check_peers(containers_storage());
    let place = Place::new("layers");
    for (names, expected) in layers_of_containers_storage() {
        let mut layer = crate::tables::new();
        for name in names {
            layer = if name.ends_with('/') { layer.dir(name) } else { layer.file(name, b"") };
        }
        unpack(&place, &layer.end(), Form::Plain).unwrap();
        let mut found: Vec<String> = listing(&place.root()).into_keys().collect();
        found.retain(|name| !name.is_empty());
        let expected: Vec<&str> = expected.iter().map(|it| it.trim_end_matches('/')).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn the_corpus_is_as_large_as_it_says() {
    let all = [traversal(), links(), whiteouts(), devices(), parsers(), bombs()].concat();
    let names: std::collections::BTreeSet<_> = all.iter().map(|case| case.0).collect();
    assert_eq!(names.len(), all.len(), "a name twice");
    assert!(all.len() >= 170, "{}", all.len());
}
