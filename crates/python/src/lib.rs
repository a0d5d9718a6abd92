// SPDX-License-Identifier: Apache-2.0
//! The Python module `tidegate._engine`: thin, no logic.
use pyo3::prelude::*;

mod asking;
mod issuing;
mod node;
mod worker;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The engine, as Python sees it. Private: use the package `tidegate`.
#[pymodule(gil_used = false)]
mod _engine {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::node::{
        certificate_validity, check_snapshot, condition_problem, decide, hash_password,
        parse_request, run_node,
    };

    #[pymodule_export]
    use super::asking::ask;

    #[pymodule_export]
    use super::issuing::{
        AcmeClient, certificate_details, certificate_problem, challenge_certificate,
        development_authority, development_certificate, development_may_sign, make_key,
        revocation_inquiry, revocation_verdict,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::worker::register(module)
    }

    /// The version of the compiled engine.
    #[pyfunction]
    fn version() -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}
