//! What a caller can do about an error, which is all that most callers need to know of it.

/// The kinds of error, each named after what its receiver should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request itself is wrong: change it before trying again.
    Invalid,
    /// The credential is missing, unknown or not entitled: use another.
    Denied,
    /// Nothing of that name is there, or it is not the caller's to see. The two are never told apart.
    NotFound,
    /// The state is not what the caller believed: read again, then decide.
    Conflict,
    /// A bound was reached: the same request may be sent again after a while.
    Busy,
    /// Something that the request needs does not work right now: try again later, tell the operator.
    Unavailable,
    /// Stored bytes are not what was written: tell the operator.
    Corrupt,
    /// A mistake of ours.
    Internal,
}

impl ErrorKind {
    /// The kind's name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Internal => "internal",
        }
    }
}
