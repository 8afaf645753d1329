//! Where a real ZooKeeper's program comes from.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::debian;
use super::maven::{Artifact, NoMaven, class_path, jars_in, maven_jars};

/// The release that is fetched with Maven: the one that Kafka 3.9 ships with.
const MAVEN_VERSION: &str = "3.8.4";

/// The logger that ZooKeeper brings logs everything by default; the simple one is quiet enough, and is what Debian's
/// package works with. The last two are left by ZooKeeper's own project file to the one who deploys it; without them it
/// starts and never serves.
const MAVEN_ARTIFACTS: [Artifact; 4] = [
    Artifact { without: &["ch.qos.logback"], ..Artifact::new("org.apache.zookeeper", "zookeeper", MAVEN_VERSION) },
    Artifact::new("org.slf4j", "slf4j-simple", "1.7.30"),
    Artifact::new("io.dropwizard.metrics", "metrics-core", "4.1.12.1"),
    Artifact::new("org.xerial.snappy", "snappy-java", "1.1.10.5"),
];

const DEBIAN_PACKAGES: [&str; 2] = ["libzookeeper-java", "openjdk-17-jre-headless"];

/// A ZooKeeper program that can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZooKeeperProgram {
    /// The `java` to run it with.
    pub java: String,
    /// Java's class path.
    pub class_path: String,
    /// Where it was found, for people.
    pub source: String,
}

/// Finds a ZooKeeper, or gets one. In this order: `ZOOKEEPER_HOME`; an installed Debian package; Maven, cached below
/// cargo's target folder; and, as root on Debian, an installation with `apt-get`. `say` is told before anything is
/// fetched or installed.
///
/// Blocks, for minutes if something has to be fetched.
///
/// # Errors
/// What was tried, why each failed, and what to install.
pub fn find_zookeeper(say: &dyn Fn(&str)) -> Result<ZooKeeperProgram, String> {
    let mut tried = Vec::new();
    let java = find_java();
    if let Some(java) = &java {
        if let Some(home) = std::env::var_os("ZOOKEEPER_HOME") {
            return from_home(Path::new(&home), java);
        }
        match from_debian(java) {
            Ok(program) => return Ok(program),
            Err(reason) => tried.push(reason),
        }
        match from_maven(java, say) {
            Ok(program) => return Ok(program),
            Err(reason) => tried.push(reason),
        }
    } else {
        tried.push("no java in JAVA_HOME or on the PATH".to_owned());
    }
    match debian::install(&DEBIAN_PACKAGES, say) {
        Ok(()) => {
            let java = find_java().ok_or("java was installed but can't be run")?;
            return from_debian(&java);
        }
        Err(reason) => tried.push(reason),
    }
    Err(format!(
        "no ZooKeeper to start: {}. Install Java 17 and ZooKeeper (on Debian: apt-get install {}), or set \
         ZOOKEEPER_HOME to an unpacked ZooKeeper release",
        tried.join("; "),
        DEBIAN_PACKAGES.join(" ")
    ))
}

/// A `java` that can be run: in `JAVA_HOME`, or on the PATH.
pub fn find_java() -> Option<String> {
    let at_home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let candidates = at_home.into_iter().chain([PathBuf::from("java")]);
    candidates
        .filter_map(|java| java.to_str().map(str::to_owned))
        .find(|java| Command::new(java).arg("-version").output().is_ok_and(|output| output.status.success()))
}

fn from_home(home: &Path, java: &str) -> Result<ZooKeeperProgram, String> {
    let jars = jars_in(&home.join("lib")).or_else(|_| jars_in(home));
    match jars {
        Ok(jars) if jars.iter().any(|jar| is_zookeeper_jar(jar)) => Ok(ZooKeeperProgram {
            java: java.to_owned(),
            class_path: class_path(&jars),
            source: format!("ZOOKEEPER_HOME={}", home.display()),
        }),
        _ => Err(format!(
            "ZOOKEEPER_HOME is {}, but there is no zookeeper-*.jar in it or in its lib folder: unset it, or point it to \
             an unpacked ZooKeeper release",
            home.display()
        )),
    }
}

fn is_zookeeper_jar(jar: &Path) -> bool {
    let name = jar.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("zookeeper").is_some_and(|rest| {
        let rest = rest.trim_start_matches('-');
        rest == ".jar" || rest.starts_with(|c: char| c.is_ascii_digit())
    })
}

/// What the manifest of Debian's jar forgets: a logger, and what the TLS listener needs.
const DEBIAN_EXTRAS: [&str; 3] = ["slf4j-simple.jar", "netty-codec.jar", "netty-resolver.jar"];

/// The jar's manifest names the rest of what it needs.
fn from_debian(java: &str) -> Result<ZooKeeperProgram, String> {
    let listed = Command::new("dpkg").args(["-L", "libzookeeper-java"]).output();
    let files = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => return Err("the Debian package libzookeeper-java is not installed".to_owned()),
    };
    let jar = files.lines().map(Path::new).find(|file| file.file_name().is_some_and(|name| name == "zookeeper.jar"));
    let Some(jar) = jar.filter(|jar| jar.exists()) else {
        return Err("the Debian package libzookeeper-java has no zookeeper.jar".to_owned());
    };
    let extras = DEBIAN_EXTRAS.map(|name| jar.with_file_name(name));
    let jars: Vec<_> = [jar.to_path_buf()].into_iter().chain(extras).filter(|jar| jar.exists()).collect();
    Ok(ZooKeeperProgram {
        java: java.to_owned(),
        class_path: class_path(&jars),
        source: "the Debian package libzookeeper-java".to_owned(),
    })
}

fn from_maven(java: &str, say: &dyn Fn(&str)) -> Result<ZooKeeperProgram, String> {
    let jars = maven_jars(&format!("zookeeper-{MAVEN_VERSION}"), &MAVEN_ARTIFACTS, NoMaven::Refuse, say)?;
    Ok(ZooKeeperProgram {
        java: java.to_owned(),
        class_path: class_path(&jars),
        source: format!("ZooKeeper {MAVEN_VERSION} from Maven"),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_the_servers_own_jar_counts() {
        for (name, expected) in [
            ("zookeeper-3.8.4.jar", true),
            ("zookeeper.jar", true),
            ("zookeeper-jute-3.8.4.jar", false),
            ("zookeeper-prometheus-metrics-3.8.4.jar", false),
            ("netty.jar", false),
        ] {
            assert_eq!(is_zookeeper_jar(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn a_home_without_a_server_is_refused_with_the_remedy() {
        let home = tempfile::tempdir().unwrap();
        let error = from_home(home.path(), "java").unwrap_err();
        assert!(error.contains("no zookeeper-*.jar") && error.contains("unpacked ZooKeeper release"), "{error}");

        fs::create_dir(home.path().join("lib")).unwrap();
        for jar in ["zookeeper-3.9.3.jar", "netty.jar", "notes.txt"] {
            fs::write(home.path().join("lib").join(jar), "").unwrap();
        }
        let program = from_home(home.path(), "java").unwrap();
        let names: Vec<_> = program.class_path.split(':').filter_map(|jar| jar.rsplit('/').next()).collect();
        assert_eq!(names, ["netty.jar", "zookeeper-3.9.3.jar"]);
    }
}
