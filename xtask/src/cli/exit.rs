//! How a process ends.

use std::process::ExitCode;

use metadata_core::error::ErrorKind;

/// The exit codes, which scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed: something that was needed is missing, refused or out of reach.
    Failed = 1,
    /// Wrong usage: nothing was tried.
    Usage = 2,
    /// Blocked: it could be done, but must not be done now. Every reason is listed.
    Blocked = 3,
    /// The two sides differ.
    Divergent = 4,
    /// Data are damaged, or an invariant is broken. An operator must look.
    Damaged = 5,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// An error of a port ends the process like this, unless the verb knows better.
impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Corrupt => Self::Damaged,
            ErrorKind::GovernedElsewhere => Self::Blocked,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_that_scripts_rely_on() {
        let codes = [Exit::Done, Exit::Failed, Exit::Usage, Exit::Blocked, Exit::Divergent, Exit::Damaged];
        assert_eq!(codes.map(Exit::code), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn kinds_of_errors_end_as_designed() {
        for (kind, exit) in [
            (ErrorKind::Corrupt, Exit::Damaged),
            (ErrorKind::GovernedElsewhere, Exit::Blocked),
            (ErrorKind::ControllerFenced, Exit::Failed),
            (ErrorKind::Conflict, Exit::Failed),
            (ErrorKind::Unavailable, Exit::Failed),
            (ErrorKind::Unauthorized, Exit::Failed),
            (ErrorKind::Invalid, Exit::Failed),
            (ErrorKind::Unsupported, Exit::Failed),
        ] {
            assert_eq!(Exit::from(kind), exit, "{kind:?}");
        }
    }
}
