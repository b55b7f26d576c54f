//! `tare-runtime`: an OCI runtime with runc's command line.
#![no_std]
#![no_main]

extern crate alloc;

mod args;
mod criu;
mod exec;
mod log;
mod output;
mod update;
mod usage;
mod verbs;

use alloc::vec::Vec;
use args::Args;

rt::entry!(main);

fn main(arguments: rt::Arguments) -> i32 {
    let args =
        arguments.args.iter().map(|arg| alloc::string::String::from_utf8_lossy(arg).into_owned());
    let args: Vec<_> = args.collect();
    let env = args::Environment::new(&arguments);
    match Args::parse(&args, &usage::GLOBAL) {
        Ok(global) => verbs::dispatch(global, &env, &arguments),
        Err(error) => log::Log::new(env.name).fail(&error, 1),
    }
}
