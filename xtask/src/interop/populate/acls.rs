//! Access control lists: what a call of the tool makes, and how it is spelled.

use super::made::{AclEntry, Grant, Pattern, Resource};

impl Resource {
    /// The option of the tool, which takes the name, except for the cluster, which has but one.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Topic => "--topic",
            Self::Group => "--group",
            Self::Cluster => "--cluster",
            Self::TransactionalId => "--transactional-id",
            Self::DelegationToken => "--delegation-token",
            Self::User => "--user-principal",
        }
    }

    /// As Kafka spells it in paths.
    pub fn word(self) -> &'static str {
        match self {
            Self::Topic => "Topic",
            Self::Group => "Group",
            Self::Cluster => "Cluster",
            Self::TransactionalId => "TransactionalId",
            Self::DelegationToken => "DelegationToken",
            Self::User => "User",
        }
    }
}

impl Pattern {
    /// As the tool spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Literal => "literal",
            Self::Prefixed => "prefixed",
        }
    }
}

impl Grant {
    /// Each entry that it makes.
    pub fn entries(&self) -> Vec<AclEntry> {
        let mut entries = Vec::new();
        for (resource, name) in &self.resources {
            for operation in &self.operations {
                for (allow, (principals, hosts)) in [(true, &self.allow), (false, &self.deny)] {
                    for (principal, host) in
                        principals.iter().flat_map(|principal| hosts.iter().map(move |host| (principal, host)))
                    {
                        entries.push(AclEntry {
                            resource: *resource,
                            name: name.clone(),
                            pattern: self.pattern,
                            principal: principal.clone(),
                            host: host.clone(),
                            operation: operation.clone(),
                            allow,
                        });
                    }
                }
            }
        }
        entries
    }

    /// The tool's arguments, without where the cluster is.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments =
            vec!["--add".to_owned(), "--resource-pattern-type".to_owned(), self.pattern.word().to_owned()];
        let mut option = |name: &str, value: &str| arguments.extend([name.to_owned(), value.to_owned()]);
        self.operations.iter().for_each(|operation| option("--operation", operation));
        self.allow.0.iter().for_each(|principal| option("--allow-principal", principal));
        self.allow.1.iter().for_each(|host| option("--allow-host", host));
        self.deny.0.iter().for_each(|principal| option("--deny-principal", principal));
        self.deny.1.iter().for_each(|host| option("--deny-host", host));
        for (resource, name) in &self.resources {
            match resource {
                Resource::Cluster => arguments.push(resource.option().to_owned()),
                _ => arguments.extend([resource.option().to_owned(), name.clone()]),
            }
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn a_grant_makes_each_combination_once() {
        let grant = Grant {
            resources: vec![(Resource::Topic, "t".into()), (Resource::Cluster, "kafka-cluster".into())],
            pattern: Pattern::Literal,
            operations: some(&["Create", "Describe"]),
            allow: (some(&["User:a", "User:b"]), some(&["h1", "h2"])),
            deny: (some(&["User:c"]), some(&["*"])),
        };
        let entries = grant.entries();
        assert_eq!(entries.len(), 2 * 2 * (2 * 2 + 1));
        assert_eq!(entries.iter().collect::<std::collections::BTreeSet<_>>().len(), entries.len());
        assert_eq!(entries.iter().filter(|entry| !entry.allow).count(), 4);
        let line = grant.arguments().join(" ");
        assert_eq!(
            line,
            "--add --resource-pattern-type literal --operation Create --operation Describe --allow-principal User:a \
             --allow-principal User:b --allow-host h1 --allow-host h2 --deny-principal User:c --deny-host * --topic t \
             --cluster"
        );
    }
}
