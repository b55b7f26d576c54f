mod machine;
mod model;
mod oracle;
mod random;

use super::*;
use machine::{Data, run, verify};
use random::{Kind, Random};

fn moby() -> Seccomp {
    oci::json::read(include_bytes!("../../../tests/data/seccomp/moby-x86_64.json")).unwrap()
}

#[test]
fn exp() {
    let text = include_str!("../tables/syscalls.tbl");
    let names: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).map(|l| l.split(' ').next().unwrap()).collect();
    let o = match oracle::Oracle::build("exp") { Ok(o) => o, Err(e) => { eprintln!("SKIP {e}"); return; } };
    let archs = [Arch::X86_64, Arch::X86, Arch::X32, Arch::Arm, Arch::Aarch64];
    let common = o.common(&names, &archs);
    eprintln!("{} common {}", o.version, common.len());
    let count: usize = std::env::var("COUNT").map_or(300, |c| c.parse().unwrap());
    let seed: u64 = std::env::var("SEED").map_or(1, |c| c.parse().unwrap());
    let show: usize = std::env::var("SHOW").map_or(3, |c| c.parse().unwrap());
    let cases: [(bool, bool, &'static [usize], usize, usize); 5] = [(true,true,&[0,1,2,3,4,5,6],1,3),(true,true,&[3],3,3),(true,true,&[0,1,2,3,4,5,6],3,3),(true,false,&[0,3,6],1,3),(false,true,&[3],1,1)];
    for (one_action, small, ops, args, indexes) in cases { {{{
    let kind = Kind { one_action, small, ops, args, indexes };
        let mut random = Random::new(seed);
        let profiles: Vec<_> = (0..count).map(|_| random::profile(&mut random, &common, kind)).collect();
        let theirs = o.compile(&profiles);
        let (mut bad, mut both, mut they, mut we, mut model_bad) = (0, 0, 0, 0, 0);
        for (p, t) in profiles.iter().zip(theirs) {
            let ours = compile(p, Arch::X86_64);
            if let Ok(ours) = &ours {
                verify(&ours.instructions);
                let calls = random::calls(&mut random, p, 60);
                let mut m = false;
                for d in &calls {
                    let got = run(&ours.instructions, d).value;
                    let want = model::decide(p, Arch::X86_64, d);
                    if got != want && !m {
                        m = true; model_bad += 1;
                        if model_bad <= show { eprintln!("MODEL {kind:?} {d:x?} got {got:x} want {want:x}\n{:#x?}", model::clauses(p, if d.number & 0x40000000 != 0 { Arch::X32 } else { Arch::ALL.iter().find(|a| audit_arch(a.1)==d.arch).unwrap().1 }, d.number)); }
                    }
                }
                if let Ok(t) = &t {
                    for d in &calls {
                        let got = run(&ours.instructions, d).value;
                        let want = oracle::expected(p, Arch::X86_64, t, d);
                        if got != want {
                            bad += 1;
                            if bad <= show { shrink(&o, p, d); eprintln!("LIB {kind:?} {d:x?} got {got:x} want {want:x}\n{:x?}", model::clauses(p, if d.number & 0x40000000 != 0 { Arch::X32 } else { Arch::ALL.iter().find(|a| audit_arch(a.1)==d.arch).unwrap().1 }, d.number)); }
                            break;
                        }
                    }
                }
            }
            match (&ours, &t) { (Err(_), Err(_)) => both += 1, (Ok(_), Err(e)) => {they += 1; if they <= show {eprintln!("THEY {e}"); shrink2(&o, p);}}, (Err(e), Ok(_)) => { we += 1; if we <= show { eprintln!("WE {e}\n{p:?}"); } } _ => {} }
        }
        eprintln!("{kind:?}: lib bad {bad} model bad {model_bad} errors both {both} they only {they} we only {we} of {count}");
    }}}}
}

fn differs(o: &oracle::Oracle, p: &Seccomp, d: &Data) -> bool {
    let Ok(ours) = compile(p, Arch::X86_64) else { return false };
    let Ok(t) = &o.compile(std::slice::from_ref(p))[0] else { return false };
    run(&ours.instructions, d).value != oracle::expected(p, Arch::X86_64, t, d)
}
fn shrink(o: &oracle::Oracle, p: &Seccomp, d: &Data) {
    let mut p = p.clone();
    loop {
        let mut done = true;
        for i in (0..p.syscalls.len()).rev() {
            let mut q = p.clone(); q.syscalls.remove(i);
            if differs(o, &q, d) { p = q; done = false; }
            else { let mut j = 0; while j < p.syscalls[i].names.len() { let mut q = p.clone(); q.syscalls[i].names.remove(j); if differs(o, &q, d) { p = q; done = false; } else { j += 1; } }
              let mut j = 0; while j < p.syscalls[i].args.len() { let mut q = p.clone(); q.syscalls[i].args.remove(j); if !p.syscalls[i].args.is_empty() && differs(o, &q, d) { p = q; done = false; } else { j += 1; } } }
        }
        for i in (0..p.architectures.len()).rev() { let mut q = p.clone(); q.architectures.remove(i); if differs(o, &q, d) { p = q; done = false; } }
        if done { break; }
    }
    eprintln!("SHRUNK {}", oci::json::write(&p));
    let t = o.compile(std::slice::from_ref(&p)).remove(0).unwrap();
    let bytes: Vec<u8> = t.iter().flat_map(|i| { let mut v = i.code.to_le_bytes().to_vec(); v.push(i.jt); v.push(i.jf); v.extend(i.k.to_le_bytes()); v }).collect();
    std::fs::write("/tmp/sc/shrunk.bpf", bytes).unwrap();
}

fn shrink2(o: &oracle::Oracle, p: &Seccomp) {
    let differs = |p: &Seccomp| compile(p, Arch::X86_64).is_ok() && o.compile(std::slice::from_ref(p))[0].is_err();
    let mut p = p.clone();
    loop {
        let mut done = true;
        for i in (0..p.syscalls.len()).rev() {
            let mut q = p.clone(); q.syscalls.remove(i);
            if differs(&q) { p = q; done = false; }
            else { let mut j = 0; while j < p.syscalls[i].names.len() { let mut q = p.clone(); q.syscalls[i].names.remove(j); if differs(&q) { p = q; done = false; } else { j += 1; } }
              }
        }
        for i in (0..p.architectures.len()).rev() { let mut q = p.clone(); q.architectures.remove(i); if differs(&q) { p = q; done = false; } }
        if done { break; }
    }
    eprintln!("SHRUNK {}", oci::json::write(&p));
}
