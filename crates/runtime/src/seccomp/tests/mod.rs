//! The compiler against a model of what profiles mean, and against libseccomp.

mod machine;
mod model;
mod oracle;
mod random;
mod rules;

use super::*;
use machine::{Data, run, verify};
use model::Model;
use oci::runtime::{Action, ArgRule, SyscallRule};
use oracle::Oracle;
use random::{Kind, Random};
use std::io::Write;

/// The default profile of Docker, see README.md beside it.
const MOBY: &[u8] = include_bytes!("../../../tests/data/seccomp/moby-x86_64.json");

/// Sets of arguments for each call with conditional rules.
const ARGUMENTS: usize = 40;

fn moby() -> Seccomp {
    oci::json::read(MOBY).unwrap()
}

fn all_names() -> Vec<String> {
    let lines = include_str!("../tables/syscalls.tbl").lines();
    lines.filter(|line| !line.starts_with('#')).map(|line| first_word(line).to_string()).collect()
}

fn first_word(line: &str) -> &str {
    line.split(' ').next().unwrap()
}

/// Written past the capture of the test harness, so that it is seen.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Compares a program with the model of its profile.
fn agrees(profile: &Seccomp, program: &Program, calls: &[Data]) {
    let model = Model::new(profile);
    verify(&program.instructions);
    for data in calls {
        let (ours, meant) = (run(&program.instructions, data).value, model.decide(data));
        assert!(ours == meant, "{ours:#x}, not {meant:#x} for {data:x?} in {profile:?}");
    }
}

#[test]
fn moby_profile_is_small_and_means_what_it_says() {
    let profile = moby();
    let program = compile(&profile, Arch::X86_64).unwrap();
    // 241 today. libseccomp's tree has 1,246.
    assert!(program.instructions.len() <= 245, "{}", program.instructions.len());
    assert_eq!((program.notify, program.flags), (false, 4));
    assert_eq!(program.warnings, Vec::<String>::new());
    let model = Model::new(&profile);
    agrees(&profile, &program, &random::calls(&mut Random::new(1), &model, 400));
}

#[test]
fn kernel_can_remember_what_does_not_depend_on_arguments() {
    let profile = moby();
    let program = compile(&profile, Arch::X86_64).unwrap();
    let model = Model::new(&profile);
    let (mut steps, mut count) = (0, 0);
    for data in random::calls(&mut Random::new(2), &model, 4) {
        let run = run(&program.instructions, &data);
        assert_eq!(run.constant, model.compared(&data).is_empty(), "{data:x?}");
        if data.number < 472 && run.constant {
            steps += run.steps;
            count += 1;
        }
    }
    // Including those of architectures that are not listed.
    assert!(steps <= 10 * count, "{steps} steps for {count} calls");
}

#[test]
fn random_profiles_mean_what_they_say() {
    let names = all_names();
    for kind in Kind::ALL {
        let mut random = Random::new(3);
        for _ in 0..60 {
            let profile = random::profile(&mut random, &names, kind);
            let Ok(program) = compile(&profile, Arch::X86_64) else { continue };
            let calls = random::calls(&mut random, &Model::new(&profile), ARGUMENTS);
            agrees(&profile, &program, &calls);
            assert_eq!(compile(&profile, Arch::X86_64).unwrap(), program);
        }
    }
}

#[test]
fn programs_with_long_jumps_mean_what_they_say() {
    // Every call has its own action, so that nothing can be merged, and a quarter of them conditions.
    let mut random = Random::new(4);
    let mut profile = moby();
    profile.syscalls.clear();
    for (at, name) in all_names().into_iter().enumerate() {
        let arg = |index| ArgRule { index, value: random.next() >> 32, ..ArgRule::default() };
        let args = if at % 4 == 0 { [0, 3].map(arg).to_vec() } else { Vec::new() };
        let errno_ret = Some(at as u32 + 2);
        let rule = SyscallRule { names: vec![name], action: Action::Errno, errno_ret, args };
        profile.syscalls.push(rule);
    }
    let program = compile(&profile, Arch::X86_64).unwrap();
    assert!((2_500..4_096).contains(&program.instructions.len()), "{}", program.instructions.len());
    let calls = random::calls(&mut random, &Model::new(&profile), 20);
    agrees(&profile, &program, &calls);
}

#[test]
fn no_profile_makes_the_compiler_panic() {
    let names = all_names();
    let mut random = Random::new(5);
    for round in 0..400 {
        let mut profile = random::profile(&mut random, &names, Kind::Anything);
        profile.architectures = Arch::VALUES[random.below(Arch::VALUES.len())..].to_vec();
        profile.default_errno_ret = Some(random.next() as u32);
        for rule in &mut profile.syscalls {
            rule.errno_ret = Some(random.next() as u32);
            rule.names.push("write".repeat(random.below(3)));
            for arg in &mut rule.args {
                arg.index = if random.below(9) == 0 { random.next() as u32 } else { arg.index };
                arg.value = random.next();
            }
        }
        let native = Arch::VALUES[round % Arch::VALUES.len()];
        if let Ok(program) = compile(&profile, native) {
            verify(&program.instructions);
        }
    }
}

#[test]
fn decides_as_libseccomp() {
    let oracle = match Oracle::build("seccomp") {
        Ok(oracle) => oracle,
        Err(reason) => return skips::skip("decides_as_libseccomp", &reason),
    };
    let names = all_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let common =
        oracle.common(&names, &[Arch::X86_64, Arch::X86, Arch::X32, Arch::Arm, Arch::Aarch64]);
    // 2.5.4 lacks 22 of the newest calls.
    assert!(common.len() >= 480, "libseccomp {} shares {} names", oracle.version, common.len());

    let mut moby = moby();
    for rule in &mut moby.syscalls {
        rule.names.retain(|name| common.contains(name));
    }
    let mut native = moby.clone();
    native.architectures.clear();
    let mut random = Random::new(6);
    assert_eq!(deviations(&oracle, &[moby, native], &mut random), (0, 0));
    let mut compared = 2;
    for kind in Kind::ALL {
        let profiles: Vec<_> =
            (0..80).map(|_| random::profile(&mut random, &common, kind)).collect();
        let (different, refused) = deviations(&oracle, &profiles, &mut random);
        compared += profiles.len();
        // Ranges over several arguments or 64 bits, and conflicting overlaps: libseccomp takes the
        // wrong word of an argument for some of them (see the module documentation), and what we do
        // is what the model says.
        let most = if kind == Kind::Anything { profiles.len() / 4 } else { 0 };
        assert!(different <= most, "{different} {kind:?} profiles differ");
        // Contradicting rules for calls that the architecture does not have are no error here.
        assert!(refused <= profiles.len() / 8, "{refused} {kind:?} profiles are refused there");
    }
    say(&format!("decides_as_libseccomp: {compared} profiles, version {}", oracle.version));
}

/// How many profiles libseccomp decides differently, how many only it refuses.
fn deviations(oracle: &Oracle, profiles: &[Seccomp], random: &mut Random) -> (usize, usize) {
    let (mut different, mut refused) = (0, 0);
    for (profile, theirs) in profiles.iter().zip(oracle.compile(profiles)) {
        let (ours, theirs) = match (compile(profile, Arch::X86_64), theirs) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Ok(_), Err(_)) => {
                refused += 1;
                continue;
            }
            (Err(_), Err(_)) => continue,
            (Err(error), Ok(_)) => panic!("{error}: only here, in {profile:?}"),
        };
        let model = Model::new(profile);
        let calls = random::calls(random, &model, ARGUMENTS);
        agrees(profile, &ours, &calls);
        let differs = |data: &Data| {
            run(&ours.instructions, data).value != oracle::expected(&model, &theirs, data)
        };
        different += usize::from(calls.iter().any(differs));
    }
    (different, refused)
}

/// `cargo test --release -p runtime compile_time -- --nocapture` measures. A thousand times the
/// time of an optimised program is the bound: a compiler that looks at every pair of rules is over.
#[test]
fn compile_time_is_bounded() {
    const LIMIT: std::time::Duration = std::time::Duration::from_millis(50);
    let profile = moby();
    let mut best = std::time::Duration::MAX;
    for _ in 0..20 {
        let start = std::time::Instant::now();
        std::hint::black_box(compile(std::hint::black_box(&profile), Arch::X86_64).unwrap());
        best = best.min(start.elapsed());
    }
    say(&format!("compile_time: {best:?} for Moby's profile"));
    assert!(best < LIMIT, "{best:?}");
}
