//! Who may read and write a znode that we create. Access lists are given at creation; setting data never changes them.

/// The access list that a new znode gets (Kafka: `ZkData.defaultAcls`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// `world:anyone`, all rights.
    Open,
    /// All rights for the creator, reading for everyone.
    CreatorAndReaders,
    /// All rights for the creator, nothing for anyone else.
    CreatorOnly,
}

/// Paths that start so hold secrets. Compared as plain text, as Kafka does.
const SENSITIVE: [&str; 3] = ["/config/users", "/config/brokers", "/delegation_token/tokens"];

/// The access list for a znode created at `path`; `secure` is `zookeeper.set.acl`.
///
/// The path must be whole: Kafka's migration judges new config nodes by the path without its root, so that credentials
/// become readable by everyone.
pub fn access_for(path: &str, secure: bool) -> Access {
    if !secure || path == "/consumers" {
        Access::Open
    } else if SENSITIVE.iter().any(|prefix| path.starts_with(prefix)) {
        Access::CreatorOnly
    } else {
        Access::CreatorAndReaders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_lists_are_kafkas() {
        let cases = [
            ("/consumers", Access::Open),
            ("/consumers/g", Access::CreatorAndReaders),
            ("/config/users", Access::CreatorOnly),
            ("/config/users/alice", Access::CreatorOnly),
            ("/config/users/alice/clients/app", Access::CreatorOnly),
            ("/config/brokers/1", Access::CreatorOnly),
            ("/config/brokers/<default>", Access::CreatorOnly),
            ("/delegation_token/tokens/t", Access::CreatorOnly),
            ("/delegation_token/token_changes", Access::CreatorAndReaders),
            ("/config/topics/t", Access::CreatorAndReaders),
            ("/config/clients/c", Access::CreatorAndReaders),
            ("/brokers/topics/t", Access::CreatorAndReaders),
        ];
        for (path, secure) in cases {
            assert_eq!(access_for(path, true), secure, "{path}");
            assert_eq!(access_for(path, false), Access::Open, "{path}");
        }
    }
}
