//! A digest of the settings that all controllers of a quorum must have in common.

use metadata_core::controllers::ZooKeeperFingerprint;
use sha2::{Digest as _, Sha256};

use super::ZkSettings;

impl ZkSettings {
    /// The fingerprint of what all controllers must agree on: the servers, in whatever order, the chroot, whether TLS is used,
    /// whether new znodes get access lists, and how passwords are encoded. Time-outs and file names may differ. Of secrets it
    /// has only whether there are any.
    pub fn fingerprint(&self) -> ZooKeeperFingerprint {
        let mut servers: Vec<String> = self.client.connect.servers().iter().map(ToString::to_string).collect();
        servers.sort_unstable();
        servers.dedup();
        let encoding = self.password_encoder.as_ref().map(|encoder| format!("{:?}", encoder.encoding));
        let parts = [
            servers.join(","),
            self.client.connect.chroot().to_owned(),
            format!("tls={}", self.client.tls.is_some()),
            format!("sasl={} digest={}", self.client.sasl.is_some(), self.client.digest.is_some()),
            format!("acl={}", self.secure_acls),
            encoding.unwrap_or_default(),
        ];
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        ZooKeeperFingerprint::of_digest(digest.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Properties;
    use super::*;

    fn fingerprint(text: &str) -> ZooKeeperFingerprint {
        let properties = Properties::parse(text).unwrap();
        let read = |_: &std::path::Path| Ok("username=u\npassword=p\n".to_owned());
        ZkSettings::from_properties(&properties, &read).unwrap().fingerprint()
    }

    #[test]
    fn what_must_agree_is_in_it_and_nothing_else() {
        let base = "zookeeper.connect=a:1,b:2/kafka\npassword.encoder.secret=one\n";
        let of_base = fingerprint(base);
        for (name, text, same) in [
            ("the order of the servers", "zookeeper.connect=b:2,a:1/kafka\npassword.encoder.secret=one\n", true),
            ("the secret itself", "zookeeper.connect=a:1,b:2/kafka\npassword.encoder.secret=two\n", true),
            ("a time-out", &format!("{base}zookeeper.session.timeout.ms=5000\n"), true),
            ("another server", "zookeeper.connect=a:1,c:2/kafka\npassword.encoder.secret=one\n", false),
            ("another chroot", "zookeeper.connect=a:1,b:2/other\npassword.encoder.secret=one\n", false),
            ("no secret", "zookeeper.connect=a:1,b:2/kafka\n", false),
            ("other iterations", &format!("{base}password.encoder.iterations=5000\n"), false),
            ("SASL", &format!("{base}zookeeper.auth.sasl.file=f\n"), false),
            ("access lists", &format!("{base}zookeeper.auth.sasl.file=f\nzookeeper.set.acl=true\n"), false),
        ] {
            assert_eq!(fingerprint(text) == of_base, same, "{name}");
        }
    }
}
