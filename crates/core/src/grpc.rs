// SPDX-License-Identifier: Apache-2.0
/// How many codes there are.
const CODES: usize = 17;

/// The names of gRPC's codes by their numbers, as settings, metrics and messages have them.
const NAMES: [&str; CODES] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

/// How a call of gRPC ended, as `grpc-status` tells it (gRPC's `statuscodes.md`).
///
/// A number that has no name is `unknown`, as gRPC's clients read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrpcCode(u8);

impl GrpcCode {
    /// The call ended well.
    pub const OK: Self = Self(0);
    /// The client gave it up.
    pub const CANCELLED: Self = Self(1);
    /// Something that has no code.
    pub const UNKNOWN: Self = Self(2);
    /// It took too long.
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// What was asked for is not there.
    pub const NOT_FOUND: Self = Self(5);
    /// The caller may not.
    pub const PERMISSION_DENIED: Self = Self(7);
    /// A limit was reached.
    pub const RESOURCE_EXHAUSTED: Self = Self(8);
    /// There is no such service or method.
    pub const UNIMPLEMENTED: Self = Self(12);
    /// Something broke.
    pub const INTERNAL: Self = Self(13);
    /// Not now; it may be tried again.
    pub const UNAVAILABLE: Self = Self(14);
    /// Data was lost or spoilt.
    pub const DATA_LOSS: Self = Self(15);
    /// Nobody knows who calls.
    pub const UNAUTHENTICATED: Self = Self(16);
    /// How many there are.
    pub const COUNT: usize = CODES;

    /// All of them, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CODES as u8).map(Self)
    }

    /// The code of a number.
    pub fn new(number: u8) -> Self {
        match usize::from(number) < CODES {
            true => Self(number),
            false => Self::UNKNOWN,
        }
    }

    /// The code of a `grpc-status`: digits. `None` for what is no number.
    pub fn read(value: &[u8]) -> Option<Self> {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(value).ok().filter(|_| is_number)?;
        Some(Self::new(text.parse().unwrap_or(u8::MAX)))
    }

    /// The code of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|code| code.name() == name)
    }

    /// Its number: 0 to 16.
    #[inline]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its name, such as `unavailable`.
    pub fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or("unknown")
    }
}

impl std::fmt::Display for GrpcCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::GrpcCode;

    #[test]
    fn a_code_has_a_number_and_a_name() {
        assert_eq!(GrpcCode::all().count(), GrpcCode::COUNT);
        for code in GrpcCode::all() {
            assert_eq!(GrpcCode::named(code.name()), Some(code));
            let digits = code.number().to_string();
            assert_eq!(GrpcCode::read(digits.as_bytes()), Some(code));
        }
        for (code, number, name) in [
            (GrpcCode::OK, 0, "ok"),
            (GrpcCode::CANCELLED, 1, "cancelled"),
            (GrpcCode::DEADLINE_EXCEEDED, 4, "deadline_exceeded"),
            (GrpcCode::UNAVAILABLE, 14, "unavailable"),
            (GrpcCode::UNAUTHENTICATED, 16, "unauthenticated"),
        ] {
            assert_eq!((code.number(), code.name()), (number, name));
        }
    }

    #[test]
    fn what_has_no_name_is_unknown_and_what_is_no_number_nothing() {
        for other in ["17", "200", "256", "99999999999999999999"] {
            assert_eq!(GrpcCode::read(other.as_bytes()), Some(GrpcCode::UNKNOWN));
        }
        for nothing in ["", "-1", "+1", " 1", "1 ", "OK", "0x1"] {
            assert_eq!(GrpcCode::read(nothing.as_bytes()), None, "{nothing}");
        }
        assert_eq!(GrpcCode::named("UNAVAILABLE"), None);
    }
}
