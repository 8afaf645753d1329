//! Where a real ZooKeeper's program comes from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release that is fetched with Maven: the one that Kafka 3.9 ships with.
const MAVEN_VERSION: &str = "3.8.4";

/// Libraries that ZooKeeper's own project file leaves to the one who deploys it; without them it starts and never
/// serves.
const MAVEN_EXTRAS: [(&str, &str, &str); 2] =
    [("io.dropwizard.metrics", "metrics-core", "4.1.12.1"), ("org.xerial.snappy", "snappy-java", "1.1.10.5")];

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
    match install_on_debian(say) {
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

fn find_java() -> Option<String> {
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
            class_path: join(&jars),
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

fn jars_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut jars = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jar") {
            jars.push(path);
        }
    }
    if jars.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no jars"));
    }
    jars.sort();
    Ok(jars)
}

fn join(jars: &[PathBuf]) -> String {
    jars.iter().map(|jar| jar.to_string_lossy()).collect::<Vec<_>>().join(":")
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
        class_path: join(&jars),
        source: "the Debian package libzookeeper-java".to_owned(),
    })
}

fn from_maven(java: &str, say: &dyn Fn(&str)) -> Result<ZooKeeperProgram, String> {
    let cache = target_folder().join(format!("zookeeper-{MAVEN_VERSION}"));
    let program = |jars: &[PathBuf]| ZooKeeperProgram {
        java: java.to_owned(),
        class_path: join(jars),
        source: format!("Maven, cached in {}", cache.display()),
    };
    let in_cache = |error: io::Error| format!("{}: {error}", cache.display());
    fs::create_dir_all(&cache).map_err(in_cache)?;
    // Several test binaries may want it at once; the lock goes when the file is closed.
    let lock = fs::File::create(cache.join("lock")).map_err(in_cache)?;
    lock.lock().map_err(in_cache)?;
    let complete = cache.join("complete");
    let jars = cache.join("lib");
    if !complete.exists() {
        if !Command::new("mvn").arg("--version").output().is_ok_and(|output| output.status.success()) {
            return Err("no mvn on the PATH".to_owned());
        }
        say(&format!("fetching ZooKeeper {MAVEN_VERSION} with Maven into {}", cache.display()));
        fs::write(cache.join("pom.xml"), pom()).map_err(in_cache)?;
        let fetched = Command::new("mvn")
            .args(["--batch-mode", "--quiet", "--file"])
            .arg(cache.join("pom.xml"))
            .arg("dependency:copy-dependencies")
            .arg(format!("-DoutputDirectory={}", jars.display()))
            .output()
            .map_err(|error| format!("mvn can't be run: {error}"))?;
        if !fetched.status.success() {
            let output = String::from_utf8_lossy(&fetched.stdout).into_owned();
            let reason = output.lines().find(|line| line.contains("ERROR")).unwrap_or("no reason given").to_owned();
            return Err(format!("mvn could not fetch ZooKeeper {MAVEN_VERSION}: {reason}"));
        }
        fs::write(&complete, "").map_err(in_cache)?;
    }
    Ok(program(&jars_in(&jars).map_err(in_cache)?))
}

/// A project of nothing but dependencies. The logger that ZooKeeper brings logs everything by default; the simple one
/// is quiet enough, and is what Debian's package works with.
fn pom() -> String {
    let extras: String = MAVEN_EXTRAS
        .iter()
        .map(|(group, artifact, version)| {
            format!(
                "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
                 <version>{version}</version></dependency>\n"
            )
        })
        .collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>store-zk.testkit</groupId>
  <artifactId>zookeeper</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.zookeeper</groupId><artifactId>zookeeper</artifactId><version>{MAVEN_VERSION}</version>
      <exclusions>
        <exclusion><groupId>ch.qos.logback</groupId><artifactId>*</artifactId></exclusion>
      </exclusions>
    </dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.30</version></dependency>
{extras}  </dependencies>
</project>
"#
    )
}

/// Cargo marks its target folder; the running binary lies in it. Elsewhere (an installed binary) the system's
/// temporary folder has to do.
pub(super) fn target_folder() -> PathBuf {
    let binary = std::env::current_exe().unwrap_or_default();
    let target = binary.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.map_or_else(std::env::temp_dir, Path::to_path_buf)
}

fn install_on_debian(say: &dyn Fn(&str)) -> Result<(), String> {
    if !Path::new("/etc/debian_version").exists() {
        return Err("this is no Debian to install packages on".to_owned());
    }
    let user = Command::new("id").arg("-u").output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    if user.is_ok_and(|user| user.trim() != "0") {
        return Err("installing packages needs root".to_owned());
    }
    say(&format!("installing {} with apt-get", DEBIAN_PACKAGES.join(" and ")));
    // An old package list is better than none: only the installation has to succeed.
    _ = apt_get(&["update"]);
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(DEBIAN_PACKAGES);
    apt_get(&arguments)
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let run = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output();
    match run {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            let last = errors.lines().last().unwrap_or("no reason given");
            Err(format!("apt-get {} failed: {last}", arguments.join(" ")))
        }
        Err(error) => Err(format!("apt-get can't be run: {error}")),
    }
}

#[cfg(test)]
mod tests {
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
