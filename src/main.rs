//! The program `forethought`: see [`forethought::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    forethought::cli::main(std::env::args_os())
}
