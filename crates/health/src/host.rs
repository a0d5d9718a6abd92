// SPDX-License-Identifier: Apache-2.0

/// What a probe says as its host: what is configured, else the endpoint's address, and `localhost` to a
/// Unix socket, which has no name that could stand there.
pub(crate) fn host<'a>(configured: Option<&'a str>, address: &'a str) -> &'a str {
    let is_name =
        !address.starts_with("unix:") && address.bytes().all(|byte| byte.is_ascii_graphic());
    match configured {
        Some(host) => host,
        None if is_name => address,
        None => "localhost",
    }
}
