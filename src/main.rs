//! The program `forethought`: see [`forethought::cli`].

use std::process::ExitCode;

/// For `bench scale`, in a build that is to tell how often memory is asked for.
#[cfg(feature = "count-allocations")]
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    forethought::cli::main(std::env::args_os())
}
