//! What is refused before it is sent, by the real client and the fake alike.

use metadata_core::id::ZkVersion;

use super::{CreateMode, ZkCode, ZkOp};

/// To the server this number means "any version".
const ANY_VERSION: ZkVersion = ZkVersion(-1);

/// Whether ZooKeeper takes it for a path (`PathUtils.validatePath`): absolute, no empty name, no `.` or `..`, none of
/// the characters that ZooKeeper excludes.
pub(crate) fn is_path(path: &str) -> bool {
    let Some(names) = path.strip_prefix('/') else { return false };
    names.is_empty() || names.split('/').all(is_name)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.chars().any(is_excluded)
}

fn is_excluded(c: char) -> bool {
    matches!(u32::from(c), 0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..=0xffff)
}

/// Why an op must not be sent.
pub(crate) fn refusal(op: &ZkOp) -> Option<ZkCode> {
    let path = match op {
        // The number may be the whole name: "/a/" makes "/a/0000000000".
        ZkOp::Create { path, mode: CreateMode::PersistentSequential | CreateMode::EphemeralSequential, .. } => {
            path.strip_suffix('/').filter(|parent| !parent.is_empty()).unwrap_or(path)
        }
        _ => op.path(),
    };
    if !is_path(path) {
        return Some(ZkCode::BadArguments);
    }
    match op {
        // A predicted version that lands on -1 would turn a guarded write into an unguarded one.
        ZkOp::Check { version: ANY_VERSION, .. }
        | ZkOp::SetData { version: Some(ANY_VERSION), .. }
        | ZkOp::Delete { version: Some(ANY_VERSION), .. } => Some(ZkCode::BadArguments),
        ZkOp::Delete { path, .. } if path == "/" => Some(ZkCode::BadArguments),
        ZkOp::Create { acl, .. } if acl.entries().is_empty() => Some(ZkCode::InvalidAcl),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ZkAcl;

    #[test]
    fn paths_are_judged_as_zookeeper_judges_them() {
        for path in ["/", "/a", "/a/b", "/a.b/..c", "/a b", "/é/…", "/consumers"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["", "a", "//", "/a/", "/a//b", "/.", "/a/..", "/a/./b", "/\0", "/a\n", "/\u{7f}", "/\u{f000}"] {
            assert!(!is_path(path), "{path:?}");
        }
    }

    #[test]
    fn ops_that_zookeeper_would_misread_are_refused() {
        let sequential = |path: &str| ZkOp::Create {
            path: path.to_owned(),
            data: Default::default(),
            acl: ZkAcl::world_all(),
            mode: CreateMode::PersistentSequential,
        };
        let any = ZkVersion(-1);
        for (op, expected) in [
            (ZkOp::check("/a", ZkVersion(0)), None),
            (ZkOp::check("/a", ZkVersion(i32::MIN)), None),
            (ZkOp::check("/a", any), Some(ZkCode::BadArguments)),
            (ZkOp::set_data("/a", "", None), None),
            (ZkOp::set_data("/a", "", any), Some(ZkCode::BadArguments)),
            (ZkOp::delete("/a", any), Some(ZkCode::BadArguments)),
            (ZkOp::delete("/", None), Some(ZkCode::BadArguments)),
            (ZkOp::create("/a/", "", ZkAcl::world_all()), Some(ZkCode::BadArguments)),
            (ZkOp::create("/a", "", ZkAcl::new(vec![])), Some(ZkCode::InvalidAcl)),
            (sequential("/a/"), None),
            (sequential("/"), None),
            (sequential("/a//"), Some(ZkCode::BadArguments)),
        ] {
            assert_eq!(refusal(&op), expected, "{op:?}");
        }
    }
}
