//! The program that containers of the benchmark run: it ends at once, or with any
//! argument waits until it is killed.
#![no_std]
#![no_main]

extern crate alloc;

rt::entry!(main);

fn main(arguments: rt::Arguments) -> i32 {
    while arguments.args.len() > 1 {
        let _ = sys::wait::poll(&mut [], None);
    }
    0
}
